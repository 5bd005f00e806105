"""Doubles for tests and scripts: a backend that answers predictably, and gateways that tamper on demand."""
