"""The values that story 14.1 fixes. Each is written here once; everything else derives from it."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Criterion:
    """One acceptance criterion; `key` is the Gherkin tag that ties scenarios to it."""

    key: str
    text: str


CRITERIA = (
    Criterion("AC1", "LiteLLM starts in the ml namespace and exposes an OpenAI-compatible API endpoint"),
    Criterion("AC2", "LiteLLM proxies requests to vLLM and answers in OpenAI API format"),
    Criterion("AC3", "The answer matches vLLM's own, and the latency overhead is below 100 ms (NFR66)"),
)
NOTES = Criterion("notes", "Placement off the GPU node, Gaming Mode, and the findings of the first deployment")
"""What the story's tasks and notes ask beyond its three criteria; judged beside them, under its own heading."""
