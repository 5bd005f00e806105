"""Load and soak: what the Locust users record, and what is concluded from it."""
