"""Doubles for the tests: a backend that answers predictably, and a gateway that lies on demand."""
