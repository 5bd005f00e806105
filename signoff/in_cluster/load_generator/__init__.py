"""The load generator: what bench/locustfile.py is made of, on this machine or in Locust's pods."""
