"""What ties pytest and Gherkin to the story: features collected, steps tied to checks, a run ended with its verdict."""

from signoff.core import interrupts

# The plug-in and the steps take a second to import, in which Ctrl-C has nothing to clean up.
interrupts.heed(nothing_to_clean_up=True)
