"""The scenarios of features/ and their Then steps by short names, so that the table of mutations stays readable."""

POD = "deploy: The LiteLLM pod starts"
LABELS = "deploy: LiteLLM carries the standard labels"
SERVICE = "deploy: LiteLLM is reached by a Service"
MODELS = "deploy: LiteLLM lists the model of its configuration"
CHAT = "deploy: LiteLLM answers a chat completion"
WORKER = "placement: LiteLLM runs on a worker without a GPU"
RULE = "placement: A rule keeps LiteLLM off other nodes, not luck"
CORDON = "placement: LiteLLM waits rather than run on the GPU worker"
COUNTER = "proxying: Each chat completion reaches vLLM once"
FORMAT = "proxying: Answers are in OpenAI API format [plain]"
FORMAT_STREAMED = "proxying: Answers are in OpenAI API format [streamed]"
EQUAL = "completion: The answer matches the model output from vLLM [plain]"
EQUAL_STREAMED = "completion: The answer matches the model output from vLLM [streamed]"
OVERHEAD = "completion: The latency overhead is below its limit (NFR66)"
PARITY = "parity: The response format matches vLLM's"
RECORDED = "parity: Requests arrive as they were sent, and a broken answer never looks whole"
GAMING_MODE = "gaming_mode: LiteLLM outlives its backend"
WRONG_MODEL = "misconfiguration: A model name that vLLM does not serve"
NO_KEY = "misconfiguration: A missing api_key"
INSIDE = "deploy: The endpoint answers inside the cluster"
CLIENT = "proxying: The official client reads the same [plain]"
CLIENT_STREAMED = "proxying: The official client reads the same [streamed]"
FILES = "manifests: The manifests lie where the story lists them"
CONFIGURED = "manifests: LiteLLM is configured for vLLM"
VERSION = "manifests: The version that runs is the one that was deployed"
GPU = "placement: The GPU is vLLM's alone"
OWN_KEY = "keys: A chat completion is answered with LiteLLM's own key alone [its own]"
WRONG_KEY = "keys: A chat completion is answered with LiteLLM's own key alone [a wrong]"
WITHOUT_KEY = "keys: A chat completion is answered with LiteLLM's own key alone [no]"

ASKING = {
    COUNTER,
    FORMAT,
    FORMAT_STREAMED,
    CLIENT,
    CLIENT_STREAMED,
    EQUAL,
    EQUAL_STREAMED,
    OVERHEAD,
    CHAT,
    INSIDE,
    PARITY,
    OWN_KEY,
}
"""Those that need a completion from the LiteLLM under test."""

POD_READY = "the LiteLLM pod is Running and Ready in its namespace"
PROBES = "no probe asks a model, and none ends LiteLLM while it starts"
LABELLED = "all objects of LiteLLM carry the standard labels"
SERVICE_ON_PORT = "LiteLLM's Service is of the type and on the port of the story"
SERVICE_TO_ALL = "LiteLLM's Service sends to every Ready LiteLLM pod"
MODEL_LIST = "the answer is an OpenAI model list with the model of the story"
SOME_TEXT = "the answer has status 200 and some text"
ON_WORKERS = "every LiteLLM pod runs on an allowed node"
STAYS_PENDING = "the new LiteLLM pod stays Pending and the scheduler says that no node matches"
NOWHERE_ELSE = "the scheduler accepts LiteLLM on no forbidden node"
NOT_ON_GPU = "no LiteLLM pod runs on the GPU worker"
COUNTED_10 = "the counter of each model's own vLLM has grown by exactly as many requests"
IN_FORMAT = "the answer is in OpenAI API format"
SAYS_THE_SAME = "LiteLLM's text, finish_reason and usage equal vLLM's"
DIFFER = "the answers of vLLM differ from prompt to prompt"
BOTH_REASONS = "vLLM itself ended answers for each of these reasons"
BELOW_LIMIT = "the overhead is below its limit with 95 % confidence"
GATE_PASSES = "no difference fails the parity gate"
EXERCISED = "vLLM exercised every call"
STAYS_READY = "LiteLLM stays Ready for 20 seconds"
ERROR_IN_TIME = "LiteLLM answers a chat completion with an OpenAI error within 30 seconds"
SERVES_AGAIN = "LiteLLM serves chat completions again"
NAMES_MODEL = "the answer is an OpenAI error that names qwen2.5:14b"
NAMES_KEY = "the answer is an OpenAI error that names api_key"
COUNTED_0 = "nothing has reached vLLM"
RECORDED_GATE = "no difference of the recorded calls fails the parity gate"
ANSWERS_INSIDE = "the endpoint answers by its cluster name from inside a pod"
READS_SAME = "it reads the same from both"
IN_FILES = "the manifests lie in the files that the story lists"
IS_CONFIGURED = "LiteLLM's configuration is the story's"
TELLS_MODE = "LiteLLM says that the mode of the story's model is chat"
SAME_VERSION = "the version that runs is the one that was deployed"
NO_GPU = "LiteLLM asks for no GPU"
VLLM_ON_GPU = "vLLM runs on the GPU worker"
OWN_KEY_ALONE = "it is answered if the key is LiteLLM's own, and refused if not"
