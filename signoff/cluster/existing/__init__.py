"""A person's own cluster, which is there before a run and after it."""
