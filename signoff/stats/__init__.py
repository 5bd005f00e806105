"""The suite's statistics: what a figure may be (`estimate`), how it is found (`bootstrap`, `proportions`, `trend`).

Nothing here knows of LiteLLM or of milliseconds. scipy is imported where it is used: it takes a second, and most
commands that import this package estimate nothing. Pods that run the suite's code (signoff.in_cluster) have no numpy,
and use none of it.
"""
