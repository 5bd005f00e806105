"""A Kubernetes cluster on a bare machine: the real control plane, and nodes that run containers as processes."""
