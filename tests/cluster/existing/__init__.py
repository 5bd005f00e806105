"""A person's own cluster: the embedded one, opened only by its kubeconfig and context."""
