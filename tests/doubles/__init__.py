"""Doubles for the tests: a backend that answers predictably, and a gateway that tampers on demand."""
