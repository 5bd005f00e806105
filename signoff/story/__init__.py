"""The values that story 14.1 fixes for the machinery: names, nodes, ports.

What must be judged is declared in features/story.yaml; tests/story/test_story.py sees that both agree.
"""

NAMESPACE = "ml"
MODEL = "Qwen/Qwen2.5-7B-Instruct-AWQ"

ALLOWED_NODES = ("k3s-worker-01", "k3s-worker-02")
GPU_NODE = "k3s-gpu-worker"
NODES = (*ALLOWED_NODES, GPU_NODE)

GATEWAY = "litellm"
GATEWAY_PORT = 4000
GATEWAY_LABELS = {"app.kubernetes.io/name": "litellm", "app.kubernetes.io/part-of": "home-lab"}
GATEWAY_HOST = "litellm.home.jetzinger.com"

BACKEND = "vllm-api"
BACKEND_PORT = 8000

OVERHEAD_LIMIT_MS = 100.0
"""NFR66: the gateway adds less than this to a request."""
