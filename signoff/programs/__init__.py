"""Programs that the suite needs and Python's index has not: found, downloaded with their checksums, or built."""
