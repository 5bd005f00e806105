"""The scenarios of features/ by short names, so that the table of mutations stays readable."""

POD = "deploy: The LiteLLM pod starts in the ml namespace"
LABELS = "deploy: LiteLLM carries the standard labels"
SERVICE = "deploy: LiteLLM is reached by a ClusterIP Service on port 4000"
MODELS = "deploy: LiteLLM lists the model of its configuration"
CHAT = "deploy: LiteLLM answers a chat completion"
WORKER = "placement: LiteLLM runs on a worker without a GPU"
CORDON = "placement: LiteLLM rather waits than runs on the GPU worker"
COUNTER = "proxying: Each chat completion reaches vLLM once"
FORMAT = "proxying: Answers are in OpenAI API format [plain]"
FORMAT_STREAMED = "proxying: Answers are in OpenAI API format [streamed]"
EQUAL = "completion: The answer matches the model output from vLLM [plain]"
EQUAL_STREAMED = "completion: The answer matches the model output from vLLM [streamed]"
OVERHEAD = "completion: The latency overhead is below 100 ms (NFR66)"
GAMING_MODE = "gaming_mode: LiteLLM outlives its backend"
WRONG_MODEL = "findings: A model name that vLLM does not serve"
NO_KEY = "findings: A missing api_key"

ASKING = {COUNTER, FORMAT, FORMAT_STREAMED, EQUAL, EQUAL_STREAMED, OVERHEAD, CHAT}
"""Those that need a completion from the LiteLLM under test."""
EVERY = {POD, LABELS, SERVICE, MODELS, WORKER, CORDON, GAMING_MODE, WRONG_MODEL, NO_KEY, *ASKING}
