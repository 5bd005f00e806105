"""Asking an OpenAI-compatible server, and keeping exactly what it answered."""
