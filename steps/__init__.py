"""What the words of the features mean: one module per subject."""
