"""The way in, its certificate and its controllers."""
