"""Kubernetes through its Python client: manifests, what is applied and waited for, and what is cleared away."""
