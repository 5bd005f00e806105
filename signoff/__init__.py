"""Is this LLM gateway, on this cluster, faithful, fast and safe enough to sign off?"""
