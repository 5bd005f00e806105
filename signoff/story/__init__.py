"""The values that story 14.1 fixes for the machinery: names, nodes, ports.

What must be judged is declared in features/story.yaml; tests/story/test_story.py sees that both agree.
"""

from signoff.core.node import Node

NAMESPACE = "ml"
MODEL = "Qwen/Qwen2.5-7B-Instruct-AWQ"

ALLOWED_NODES = ("k3s-worker-01", "k3s-worker-02")
GPU_NODE = "k3s-gpu-worker"

GATEWAY = "litellm"
GATEWAY_PORT = 4000
GATEWAY_LABELS = {"app.kubernetes.io/name": "litellm", "app.kubernetes.io/part-of": "home-lab"}
GATEWAY_LAYOUT = {
    "deployment.yaml": ("Deployment", "Service"),
    "configmap.yaml": ("ConfigMap",),
    "ingressroute.yaml": ("Certificate", "IngressRoute"),
}
GATEWAY_HOST = "litellm.home.jetzinger.com"

BACKEND = "vllm-api"
BACKEND_PORT = 8000

OVERHEAD_LIMIT_MS = 100.0
"""NFR66: the gateway adds less than this to a request."""


def gpu_node(name: str) -> Node:
    """A node as NVIDIA's operator and a careful owner leave it: the GPU is allocatable, and others are kept away.

    Source: https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/getting-started.html
    """
    return Node(name, {"nvidia.com/gpu.present": "true"}, ("nvidia.com/gpu=true:NoSchedule",), {"nvidia.com/gpu": 1})


NODES = (*map(Node, ALLOWED_NODES), gpu_node(GPU_NODE))
