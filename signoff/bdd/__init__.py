"""What ties pytest and Gherkin to the story: features collected, steps tied to checks, a run ended with its verdict."""
