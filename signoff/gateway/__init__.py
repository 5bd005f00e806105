"""What stands on the cluster: LiteLLM and vLLM from the manifests, their configuration, and who can reach them."""
