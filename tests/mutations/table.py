"""The table: what is broken, and exactly which scenarios then fail."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from signoff import story
from signoff.core.paths import MANIFESTS, ROOT
from signoff.kube.manifests import load
from signoff.kube.objects import containers
from tests.mutations.scenarios import (
    ANSWERS_INSIDE,
    ASKING,
    BELOW_LIMIT,
    BOTH_REASONS,
    CERTIFICATE,
    CHAT,
    CLIENT,
    CLIENT_STREAMED,
    CONFIGURED,
    CORDON,
    COUNTED_0,
    COUNTED_10,
    COUNTER,
    DIFFER,
    EQUAL,
    EQUAL_STREAMED,
    EQUALS_OWN,
    ERROR_IN_TIME,
    EXERCISED,
    FILES,
    FORMAT,
    FORMAT_STREAMED,
    GAMING_MODE,
    GATE_PASSES,
    GOOD_CERTIFICATE,
    GPU,
    HOST,
    IN_FILES,
    IN_FORMAT,
    INGRESS_OWN_KEY,
    INGRESS_OWN_KEY_ALONE,
    INGRESS_WITHOUT_KEY,
    INGRESS_WRONG_KEY,
    INSIDE,
    IS_CONFIGURED,
    LABELLED,
    LABELS,
    LARGE,
    LARGE_ARRIVES,
    LEADS_TO_LITELLM,
    MODEL_LIST,
    MODELS,
    NAMES_KEY,
    NAMES_MODEL,
    NO_GPU,
    NO_KEY,
    NOT_HELD_BACK,
    NOT_ON_GPU,
    NOWHERE_ELSE,
    ON_WORKERS,
    ONE_BY_ONE,
    OVERHEAD,
    OWN_ANSWER,
    OWN_ANSWER_STREAMED,
    OWN_KEY,
    OWN_KEY_ALONE,
    PARITY,
    PLAIN_CHAT,
    PLAIN_MODELS,
    PLAIN_PAGE,
    PLAIN_TURNED_AWAY,
    POD,
    POD_READY,
    PROBES,
    READS_SAME,
    RECORDED,
    RECORDED_GATE,
    RULE,
    SAME_VERSION,
    SAYS_THE_SAME,
    SERVES_AGAIN,
    SERVICE,
    SERVICE_ON_PORT,
    SERVICE_TO_ALL,
    SLOW,
    SLOW_ARRIVES,
    SLOW_STREAMED,
    SOME_TEXT,
    STAYS_PENDING,
    STAYS_READY,
    TELLS_MODE,
    TOKENS_ONE_BY_ONE,
    TOLD,
    TOLD_WHO_ASKED,
    UNKNOWN_BY_HTTP,
    UNKNOWN_BY_HTTPS,
    UNKNOWN_TURNED_AWAY,
    VERSION,
    VLLM_ON_GPU,
    WITHOUT_KEY,
    WORKER,
    WRONG_KEY,
    WRONG_MODEL,
)

Objects = dict[str, dict[str, Any]]
"""The objects of manifests/litellm by kind, and `BackendService`, vLLM's; edited in place, and objects may be added."""

FAULTY_GATEWAY = "litellm-faulty-gateway"
"""The ConfigMap with the double's code. It begins as all of LiteLLM's objects do, so that a second LiteLLM gets one of
its own."""
GATEWAY_CODE = ROOT / "doubles" / "gateway.py"
FAULTY_PORT = 4400
OPEN_DOOR = "sk-of-an-open-door"
FAULTY_BACKEND = "vllm-faulty-gateway"
BACKEND_IMAGE = next(each["image"] for manifest in load(MANIFESTS / "vllm") for each in containers(manifest.body))

BACKEND_URL = f"http://{story.BACKEND}.{story.NAMESPACE}.svc.cluster.local:{story.BACKEND_PORT}"


@dataclass(frozen=True)
class Mutation:
    """One way to break the deployment.

    `red` is the exact set of scenarios that must then have this `outcome`; `steps` are Then steps that are what they
    fail at. `before_then`: some fail at a Given or When already, since what they ask cannot be reached.
    `make test` runs the features named in `features`, or else those that hold a red scenario, and times the overhead
    only where that is to turn red; of the table it takes the sample. `make prove` runs all features for each, but that
    of the way in only where a mutation is about that: what breaks LiteLLM itself breaks whatever leads to it.
    """

    name: str
    edit: Callable[[Objects], None]
    red: frozenset[str]
    steps: frozenset[str]
    features: tuple[str, ...] = ()
    outcome: str = "failed"
    before_then: bool = False
    options: tuple[str, ...] = ()
    """What the run is asked for besides."""
    file: str = ""
    """The one file that all of LiteLLM's objects then stand in."""

    @property
    def tested(self) -> list[str]:
        """The features that `make test` runs."""
        return list(self.features) or sorted({name.split(":")[0] for name in self.red})


def pod_spec(objects: Objects) -> dict[str, Any]:
    """The pod template's spec of LiteLLM's Deployment."""
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def litellm(objects: Objects) -> dict[str, Any]:
    """LiteLLM's container."""
    container: dict[str, Any] = pod_spec(objects)["containers"][0]
    return container


def config(edit: Callable[[dict[str, Any]], None]) -> Callable[[Objects], None]:
    """A mutation of LiteLLM's config.yaml."""

    def change(objects: Objects) -> None:
        data = objects["ConfigMap"]["data"]
        parsed = yaml.load(data["config.yaml"], yaml.CSafeLoader)
        edit(parsed)
        data["config.yaml"] = yaml.safe_dump(parsed, sort_keys=False)

    return change


def model_params(**params: str | None) -> Callable[[Objects], None]:
    """Set parameters of the configured model; None removes one."""

    def edit(parsed: dict[str, Any]) -> None:
        for entry in parsed["model_list"]:
            for key, value in params.items():
                entry["litellm_params"].pop(key, None)
                if value is not None:
                    entry["litellm_params"][key] = value

    return config(edit)


def model_name(parsed: dict[str, Any]) -> None:
    """Offer the model under another name, as the story's first sketch of the configuration did."""
    parsed["model_list"][0]["model_name"] = "default"


def no_affinity(objects: Objects) -> None:
    """Let LiteLLM run anywhere."""
    del pod_spec(objects)["affinity"]


def tolerate_the_gpu(spec: dict[str, Any]) -> dict[str, Any]:
    """Let pods of this spec onto the GPU worker, whose taint keeps others off."""
    return spec | {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}


def gpu_affinity(objects: Objects) -> None:
    """Send LiteLLM to the GPU worker, as a copy of vLLM's affinity and tolerations does."""
    objects["Deployment"]["spec"]["template"]["spec"] = tolerate_the_gpu(pod_spec(objects))
    required = pod_spec(objects)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = ["k3s-gpu-worker"]


def placed_by(*, tolerant: bool = False, **rule: Any) -> Callable[[Objects], None]:
    """Place LiteLLM by what stands in for its affinity and, if it is tolerant, past the taint of the GPU worker."""

    def change(objects: Objects) -> None:
        spec = pod_spec(objects)
        del spec["affinity"]
        spec |= rule | (tolerate_the_gpu({}) if tolerant else {})

    return change


def on_nodes(operator: str, *names: str) -> dict[str, Any]:
    """A term of an affinity that knows nodes by their names."""
    return {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": list(names)}]}


def beside_vllm(kind: str) -> dict[str, Any]:
    """An affinity to vLLM's pods, or one that keeps off their node."""
    vllm = {"labelSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}}}
    return {kind: {REQUIRED: [vllm | {"topologyKey": "kubernetes.io/hostname"}]}}


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NOT_ON_THE_GPU_WORKER = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [on_nodes("NotIn", story.GPU_NODE)]}}}
PREFERRED = {"weight": 100, "preference": on_nodes("In", *story.ALLOWED_NODES)}
RATHER_ON_WORKERS = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [PREFERRED]}}


def readiness_asks_the_model(objects: Objects) -> None:
    """Probe /health, which asks the models themselves.

    LiteLLM 1.80.16 answers 200 there even when no model does, but after 1.3 to 1.5 s of retries: more than the second
    that a probe has by default. On a busy machine it may do so now and then while vLLM is there: hence the threshold.
    """
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 5}
    litellm(objects)["readinessProbe"] = probe


def never_ready(objects: Objects) -> None:
    """Probe a path that is not there; do not wait long for it."""
    litellm(objects)["readinessProbe"] |= {"httpGet": {"path": "/nowhere", "port": "http"}, "periodSeconds": 1}
    objects["Deployment"]["spec"]["progressDeadlineSeconds"] = 12


def service_port(objects: Objects) -> None:
    """Offer the Service on another port."""
    objects["Service"]["spec"]["ports"][0]["port"] = 4001


def label(objects: Objects) -> None:
    """Misspell one label of the pods."""
    objects["Deployment"]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "homelab"


def inherited_key(objects: Objects) -> None:
    """Give LiteLLM an OPENAI_API_KEY to fall back on."""
    litellm(objects)["env"].append({"name": "OPENAI_API_KEY", "value": "sk-inherited"})


def no_end_of_broken_streams(objects: Objects) -> None:
    """Take out the setting with which LiteLLM tells a client that its stream broke off."""
    container = litellm(objects)
    container["env"] = [each for each in container["env"] if each["name"] != "DISABLE_AIOHTTP_TRANSPORT"]


def faulty_gateway(tampering: str = "", **options: str) -> Callable[[Objects], None]:
    """Put a gateway that tampers so between the Service and LiteLLM, as a second container of the pod.

    It runs in LiteLLM's own image, which has what the double needs, so that no cluster needs an image of its own.
    """

    def change(objects: Objects) -> None:
        service = objects["Service"]
        objects["ServiceBehind"] = renamed(service, "litellm-behind")
        service["spec"]["ports"][0]["targetPort"] = FAULTY_PORT
        upstream = f"litellm-behind.{story.NAMESPACE}.svc.cluster.local:{story.GATEWAY_PORT}"
        container, volume = faulty_container(objects, upstream, tampering, **options)
        pod_spec(objects)["containers"].append(container)
        pod_spec(objects)["volumes"].append(volume)

    return change


def faulty_backend(tampering: str) -> Callable[[Objects], None]:
    """Put a gateway that tampers so between everybody and vLLM, as a pod of its own behind vLLM's Service."""

    def change(objects: Objects) -> None:
        service = objects["BackendService"]
        objects["BackendBehind"] = renamed(service, "vllm-behind")
        service["spec"]["selector"] = {"app.kubernetes.io/name": FAULTY_BACKEND}
        service["spec"]["ports"][0]["targetPort"] = FAULTY_PORT
        upstream = f"vllm-behind.{story.NAMESPACE}.svc.cluster.local:{story.BACKEND_PORT}"
        container, volume = faulty_container(objects, upstream, tampering)
        objects["FaultyBackend"] = pod(FAULTY_BACKEND, container, story.ALLOWED_NODES, volumes=[volume])

    return change


def renamed(service: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of the Service, as it is so far, under another name."""
    copy = deepcopy(service)
    copy["metadata"]["name"] = name
    return copy


def faulty_container(
    objects: Objects, upstream: str, tampering: str, **options: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The double of doubles/gateway.py as a container, and the volume with its code."""
    objects["GatewayCode"] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": FAULTY_GATEWAY, "namespace": story.NAMESPACE},
        "data": {GATEWAY_CODE.name: GATEWAY_CODE.read_text()},
    }
    told = {"tampering": tampering, **options} if tampering else options
    extra = [f"--{key.replace('_', '-')}={value}" for key, value in told.items()]
    container = {
        "name": "faulty-gateway",
        "image": litellm(objects)["image"],
        "command": ["python3", f"/gateway/{GATEWAY_CODE.name}"],
        "args": ["--host=0.0.0.0", f"--port={FAULTY_PORT}", f"--upstream=http://{upstream}", *extra],
        "ports": [{"containerPort": FAULTY_PORT}],
        "volumeMounts": [{"name": "faulty-gateway", "mountPath": "/gateway", "readOnly": True}],
        "readinessProbe": {"tcpSocket": {"port": FAULTY_PORT}, "periodSeconds": 1},
    }
    return container, {"name": "faulty-gateway", "configMap": {"name": FAULTY_GATEWAY}}


def pod(app: str, container: dict[str, Any], nodes: Sequence[str], **spec: Any) -> dict[str, Any]:
    """A pod labelled as a part of this app, on one of these nodes; it ends at once when it is deleted."""
    on_nodes = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [on_nodes]}}
    labels = {**story.GATEWAY_LABELS, "app.kubernetes.io/name": app}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{app}-alone", "namespace": story.NAMESPACE, "labels": labels},
        "spec": {
            "containers": [container],
            "affinity": {"nodeAffinity": required},
            "terminationGracePeriodSeconds": 1,
            **spec,
        },
    }


SLEEPS = {"name": "sleeps", "command": ["python3", "-c", "import time; time.sleep(3600)"]}


def serves_everybody(objects: Objects) -> None:
    """Have LiteLLM ask for a key, and put a gateway before it that has one for who has none."""
    litellm(objects)["env"].append({"name": "LITELLM_MASTER_KEY", "value": OPEN_DOOR})
    faulty_gateway(key=OPEN_DOOR)(objects)


def stranger_on_the_gpu_worker(objects: Objects) -> None:
    """A pod labelled as LiteLLM's runs beside vLLM, and never becomes Ready."""
    never = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}, "periodSeconds": 5}
    container = SLEEPS | {"image": BACKEND_IMAGE, "readinessProbe": never}
    objects["Stranger"] = pod(story.GATEWAY, container, [story.GPU_NODE], **tolerate_the_gpu({}))


def stranger_asks_for_a_gpu(objects: Objects) -> None:
    """A second pod labelled as LiteLLM's asks for a GPU, which no worker has."""
    asks = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    objects["Stranger"] = pod(story.GATEWAY, SLEEPS | asks | {"image": litellm(objects)["image"]}, story.ALLOWED_NODES)


def vllm_on_a_worker(objects: Objects) -> None:
    """A pod labelled as vLLM's runs on a worker without a GPU, and never becomes Ready."""
    never = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}, "periodSeconds": 5}
    container = SLEEPS | {"image": litellm(objects)["image"], "readinessProbe": never}
    objects["Stranger"] = pod("vllm", container, story.ALLOWED_NODES)


def another_routing_strategy(parsed: dict[str, Any]) -> None:
    """Route by latency, of which a single backend has one."""
    parsed["router_settings"]["routing_strategy"] = "latency-based-routing"


def another_number_of_retries(parsed: dict[str, Any]) -> None:
    """Try five times where the story tries twice."""
    parsed["router_settings"]["num_retries"] = 5


def another_timeout(parsed: dict[str, Any]) -> None:
    """Wait ten minutes where the story waits half of one."""
    parsed["router_settings"]["timeout"] = 600


def another_mode(parsed: dict[str, Any]) -> None:
    """Say that the model completes texts."""
    parsed["model_list"][0]["model_info"]["mode"] = "completion"


def service_misses_a_pod(objects: Objects) -> None:
    """A Ready pod labelled as LiteLLM's is not selected by the Service."""
    track = {"track": "stable"}
    objects["Deployment"]["spec"]["template"]["metadata"]["labels"] |= track
    objects["Service"]["spec"]["selector"] |= track
    objects["Canary"] = pod(story.GATEWAY, SLEEPS | {"image": litellm(objects)["image"]}, story.ALLOWED_NODES)


def second_port(objects: Objects) -> None:
    """Offer LiteLLM's metrics on a port of their own."""
    objects["Service"]["spec"]["ports"].append({"name": "metrics", "port": 9090, "targetPort": "http"})


def external_address(objects: Objects) -> None:
    """Answer at an address of the home's network, too."""
    objects["Service"]["spec"]["externalIPs"] = ["192.0.2.7"]


def port_of_the_node(objects: Objects) -> None:
    """Take a port of the node that the pod runs on."""
    litellm(objects)["ports"][0]["hostPort"] = 4401


def second_service(objects: Objects) -> None:
    """Open LiteLLM on every node by a Service beside its own."""
    objects["ServiceOutside"] = renamed(objects["Service"], "litellm-outside")
    objects["ServiceOutside"]["spec"]["type"] = "NodePort"


def service_takes_another_pod(objects: Objects) -> None:
    """The Service selects a Ready pod beside LiteLLM's, which is none of it, though it passes on what it is asked."""
    objects["ServiceBehind"] = renamed(objects["Service"], "litellm-behind")
    upstream = f"litellm-behind.{story.NAMESPACE}.svc.cluster.local:{story.GATEWAY_PORT}"
    container, volume = faulty_container(objects, upstream, tampering="")
    container["ports"] = [{"name": "http", "containerPort": FAULTY_PORT}]
    objects["Stranger"] = pod("beside", container, story.ALLOWED_NODES, volumes=[volume])
    objects["Service"]["spec"]["selector"] = {"serves": "models"}
    for template in (objects["Deployment"]["spec"]["template"], objects["Stranger"]):
        template["metadata"]["labels"]["serves"] = "models"


def nobody_listens(objects: Objects) -> None:
    """Send to a port of the pods on which nothing listens."""
    objects["Service"]["spec"]["ports"][0]["targetPort"] = 4001


def liveness_asks_the_model(objects: Objects) -> None:
    """Have the liveness probe ask /health, now and then."""
    litellm(objects)["livenessProbe"] |= {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 100}


def sidecar_asks_the_model(objects: Objects) -> None:
    """Have a sidecar's liveness probe ask LiteLLM's /health, now and then."""
    probe = {"httpGet": {"path": "/health", "port": story.GATEWAY_PORT}, "periodSeconds": 100}
    sidecar = SLEEPS | {"image": litellm(objects)["image"], "restartPolicy": "Always", "livenessProbe": probe}
    pod_spec(objects)["initContainers"] = [sidecar]


def impatient_liveness(objects: Objects) -> None:
    """End LiteLLM before it has started; do not wait long for it."""
    del litellm(objects)["startupProbe"]
    litellm(objects)["livenessProbe"] |= {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}
    objects["Deployment"]["spec"]["progressDeadlineSeconds"] = 12


def service_type(kind: str) -> Callable[[Objects], None]:
    """Open the Service beyond the cluster."""

    def change(objects: Objects) -> None:
        objects["Service"]["spec"]["type"] = kind

    return change


def rule_of(objects: Objects) -> dict[str, Any]:
    """The rule of LiteLLM's IngressRoute; the last one, where a mutation has put another before it."""
    rule: dict[str, Any] = objects["IngressRoute"]["spec"]["routes"][-1]
    return rule


def another_host(objects: Objects) -> None:
    """Lead another host name to LiteLLM."""
    rule_of(objects)["match"] = "Host(`llm.home.jetzinger.com`)"


def straight_to_vllm(objects: Objects) -> None:
    """Lead the host name past LiteLLM."""
    rule_of(objects)["services"] = [{"name": story.BACKEND, "port": story.BACKEND_PORT}]


def tampered_on_the_way(objects: Objects) -> None:
    """Lead the host name to LiteLLM through a gateway that changes what it says."""
    upstream = f"{story.GATEWAY}.{story.NAMESPACE}.svc.cluster.local:{story.GATEWAY_PORT}"
    container, volume = faulty_container(objects, upstream, "changed_text")
    objects["OnTheWay"] = pod("on-the-way", container, story.ALLOWED_NODES, volumes=[volume])
    objects["ServiceOnTheWay"] = renamed(objects["Service"], "litellm-on-the-way")
    spec = objects["ServiceOnTheWay"]["spec"]
    spec["selector"] = {"app.kubernetes.io/name": "on-the-way"}
    spec["ports"][0]["targetPort"] = FAULTY_PORT
    rule_of(objects)["services"] = [{"name": "litellm-on-the-way", "port": story.GATEWAY_PORT}]


def of_traefik(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of Traefik's beside LiteLLM's IngressRoute."""
    metadata = {"name": f"litellm-{kind.lower()}", "namespace": story.NAMESPACE, "labels": story.GATEWAY_LABELS}
    return {"apiVersion": "traefik.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def by_middleware(**spec: Any) -> Callable[[Objects], None]:
    """Send what is asked through a Middleware of Traefik's."""

    def change(objects: Objects) -> None:
        objects["Middleware"] = of_traefik("Middleware", spec)
        rule_of(objects)["middlewares"] = [{"name": objects["Middleware"]["metadata"]["name"]}]

    return change


def buffering(objects: Objects) -> None:
    """Have the ingress hold streams and large prompts, all but for a rule of its own for the probe of a monitor."""
    by_middleware(buffering={"maxRequestBodyBytes": 100_000})(objects)
    probed = {**rule_of(objects), "match": f"{rule_of(objects)['match']} && Path(`/health/liveliness`)"}
    del probed["middlewares"]
    objects["IngressRoute"]["spec"]["routes"].insert(0, probed)


def impatient_ingress(objects: Objects) -> None:
    """Have the ingress wait for ten seconds until LiteLLM begins to answer, which is less than LiteLLM itself waits."""
    objects["Transport"] = of_traefik("ServersTransport", {"forwardingTimeouts": {"responseHeaderTimeout": "10s"}})
    rule_of(objects)["services"][0]["serversTransport"] = objects["Transport"]["metadata"]["name"]


def key_on_the_way(objects: Objects) -> None:
    """Have LiteLLM ask for a key, and the ingress know it for everybody."""
    litellm(objects)["env"].append({"name": "LITELLM_MASTER_KEY", "value": OPEN_DOOR})
    by_middleware(headers={"customRequestHeaders": {"Authorization": f"Bearer {OPEN_DOOR}"}})(objects)


def by_plain_http(objects: Objects) -> None:
    """Lead plain HTTP to LiteLLM as well."""
    objects["PlainRoute"] = another_route(objects, "plain", rule_of(objects)["match"])


def any_host(objects: Objects) -> None:
    """Lead whatever other host name is asked for LiteLLM's API to LiteLLM, at both entry points."""
    others = f"PathPrefix(`/v1`) && !{rule_of(objects)['match']}"
    objects["OtherRoute"] = another_route(objects, "others", others, tls={}, entryPoints=["websecure"])
    objects["OtherPlainRoute"] = another_route(objects, "others-plain", others)


def another_route(objects: Objects, name: str, match: str, **spec: Any) -> dict[str, Any]:
    """An IngressRoute beside LiteLLM's own; for plain HTTP, if nothing else is said."""
    made = renamed(objects["IngressRoute"], f"litellm-{name}")
    made["spec"] = {"entryPoints": ["web"], "routes": [{**rule_of(objects), "match": match}], **spec}
    return made


def renewed_too_late(objects: Objects) -> None:
    """Have the certificate renewed five minutes before it expires."""
    objects["Certificate"]["spec"]["renewBefore"] = "5m"


EQUALITY = frozenset({EQUAL, EQUAL_STREAMED})
READING = frozenset({CLIENT, CLIENT_STREAMED})
FORM = frozenset({PARITY, RECORDED})
WRITTEN = frozenset({FILES, CONFIGURED, VERSION})
PLAIN = frozenset({PLAIN_PAGE, PLAIN_MODELS, PLAIN_CHAT})
UNKNOWN = frozenset({UNKNOWN_BY_HTTPS, UNKNOWN_BY_HTTP})
WAY_IN = frozenset(
    {
        *(HOST, OWN_ANSWER, OWN_ANSWER_STREAMED, ONE_BY_ONE, SLOW, SLOW_STREAMED, LARGE, TOLD, CERTIFICATE),
        *(INGRESS_OWN_KEY, INGRESS_WRONG_KEY, INGRESS_WITHOUT_KEY, *PLAIN, *UNKNOWN),
    }
)
KEYS = frozenset({OWN_KEY, WRONG_KEY, WITHOUT_KEY})
NO_COMPLETION = frozenset({*ASKING, RECORDED, GAMING_MODE})
NEVER_READY = frozenset(
    {POD, LABELS, SERVICE, WORKER, CORDON, GPU, MODELS, CHAT, *WRITTEN, *NO_COMPLETION, WRONG_MODEL, NO_KEY, *KEYS}
)
"""All that wait for LiteLLM's pods, or for pods made like them."""

TABLE = (
    Mutation("affinity removed", no_affinity, frozenset({RULE, CORDON}), frozenset({NOWHERE_ELSE})),
    Mutation(
        "affinity to the GPU worker",
        gpu_affinity,
        frozenset({WORKER, RULE, CORDON}),
        frozenset({ON_WORKERS, STAYS_PENDING, NOWHERE_ELSE}),
    ),
    Mutation(
        "affinity that leaves out the GPU worker by its name",
        placed_by(affinity=NOT_ON_THE_GPU_WORKER),
        frozenset({RULE}),
        frozenset({NOWHERE_ELSE}),
    ),
    Mutation(
        "affinity that is only preferred",
        placed_by(affinity=RATHER_ON_WORKERS),
        frozenset({RULE, CORDON}),
        frozenset({NOWHERE_ELSE}),
    ),
    Mutation(
        "affinity that is only preferred, and the GPU's taint tolerated",
        placed_by(affinity=RATHER_ON_WORKERS, tolerant=True),
        frozenset({RULE, CORDON}),
        frozenset({NOWHERE_ELSE, STAYS_PENDING}),
    ),
    Mutation(
        "anti-affinity to vLLM",
        placed_by(affinity=beside_vllm("podAntiAffinity"), tolerant=True),
        frozenset({RULE, CORDON}),
        frozenset({NOWHERE_ELSE, STAYS_PENDING}),
    ),
    Mutation(
        "affinity to vLLM",
        placed_by(affinity=beside_vllm("podAffinity"), tolerant=True),
        frozenset({WORKER, RULE, CORDON}),
        frozenset({ON_WORKERS, STAYS_PENDING, NOWHERE_ELSE}),
    ),
    Mutation(
        "a label that every node has",
        placed_by(nodeSelector={"kubernetes.io/os": "linux"}),
        frozenset({RULE, CORDON}),
        frozenset({NOWHERE_ELSE}),
    ),
    Mutation(
        "a stranger on the GPU worker",
        stranger_on_the_gpu_worker,
        frozenset({POD, WORKER, CORDON, GAMING_MODE, VERSION}),
        frozenset({POD_READY, ON_WORKERS, NOT_ON_GPU}),
        ("deploy", "placement"),
    ),
    Mutation(
        "readiness probes /health",
        readiness_asks_the_model,
        frozenset({GAMING_MODE, COUNTER, NO_KEY, RECORDED}),
        frozenset({STAYS_READY}),
        ("gaming_mode",),
    ),
    Mutation("pod label", label, frozenset({LABELS}), frozenset({LABELLED})),
    Mutation("Service port", service_port, frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("Service type", service_type("NodePort"), frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("a load balancer", service_type("LoadBalancer"), frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("a second port", second_port, frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("an external address", external_address, frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("a port of the node", port_of_the_node, frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation("a second Service, open outside", second_service, frozenset({SERVICE}), frozenset({SERVICE_ON_PORT})),
    Mutation(
        "the Service takes another pod", service_takes_another_pod, frozenset({SERVICE}), frozenset({SERVICE_TO_ALL})
    ),
    Mutation(
        "nobody listens where the Service sends",
        nobody_listens,
        frozenset({SERVICE, MODELS, *NO_COMPLETION, VERSION, CONFIGURED, WRONG_MODEL, NO_KEY}),
        frozenset({SERVICE_TO_ALL}),
        ("deploy",),
        before_then=True,
    ),
    Mutation("liveness probes /health", liveness_asks_the_model, frozenset({POD}), frozenset({PROBES})),
    Mutation("a sidecar's liveness probes /health", sidecar_asks_the_model, frozenset({POD}), frozenset({PROBES})),
    Mutation("the Service misses a pod", service_misses_a_pod, frozenset({SERVICE}), frozenset({SERVICE_TO_ALL})),
    Mutation(
        "backend model",
        model_params(model="hosted_vllm/qwen2.5:14b"),
        NO_COMPLETION | {CONFIGURED},
        frozenset({SERVES_AGAIN}),
        ("gaming_mode",),
    ),
    Mutation(
        "model_name",
        config(model_name),
        frozenset({MODELS, CONFIGURED, *NO_COMPLETION, WRONG_MODEL, NO_KEY}) - {RECORDED},
        frozenset({MODEL_LIST, SOME_TEXT, NAMES_MODEL, NAMES_KEY}),
        ("deploy", "misconfiguration"),
        options=("--asked-model", story.MODEL),
    ),
    Mutation(
        "api_key missing",
        model_params(model="openai/Qwen/Qwen2.5-7B-Instruct-AWQ", api_key=None),
        frozenset({*NO_COMPLETION, WRONG_MODEL}),
        frozenset({SOME_TEXT, ANSWERS_INSIDE}),
        ("deploy",),
    ),
    Mutation("OPENAI_API_KEY inherited", inherited_key, frozenset({NO_KEY}), frozenset({NAMES_KEY})),
    Mutation(
        "server error",
        faulty_gateway("server_error"),
        frozenset({*NO_COMPLETION, WRONG_MODEL, NO_KEY}),
        frozenset({ERROR_IN_TIME}),
        ("gaming_mode",),
    ),
    Mutation(
        # So far above the limit that even a restless machine's intervals are.
        "150 ms in front of LiteLLM",
        faulty_gateway("delay", delay_ms="150"),
        frozenset({OVERHEAD}),
        frozenset({BELOW_LIMIT}),
    ),
    Mutation(
        "changed text",
        faulty_gateway("changed_text"),
        EQUALITY | READING | FORM,
        frozenset({SAYS_THE_SAME, READS_SAME}),
        ("completion", "proxying"),
    ),
    Mutation(
        "changed usage",
        faulty_gateway("changed_usage"),
        EQUALITY | READING | FORM,
        frozenset({GATE_PASSES, RECORDED_GATE}),
        ("parity",),
    ),
    Mutation(
        "swapped finish_reason",
        faulty_gateway("swapped_finish_reason"),
        EQUALITY | READING | FORM,
        frozenset({SAYS_THE_SAME}),
        ("completion",),
    ),
    Mutation(
        "a broken answer looks whole", no_end_of_broken_streams, frozenset({RECORDED}), frozenset({RECORDED_GATE})
    ),
    Mutation(
        "eight events of a stream at a time",
        faulty_gateway("batches"),
        frozenset({RECORDED}),
        frozenset({TOKENS_ONE_BY_ONE}),
    ),
    Mutation(
        "malformed stream chunk",
        faulty_gateway("malformed_chunk"),
        frozenset({FORMAT_STREAMED, EQUAL_STREAMED, CLIENT_STREAMED, *FORM}),
        frozenset({IN_FORMAT, SAYS_THE_SAME, READS_SAME}),
        ("proxying", "completion"),
    ),
    Mutation(
        "no object field",
        faulty_gateway("no_object"),
        frozenset({FORMAT, FORMAT_STREAMED, INSIDE, *FORM}),
        frozenset({IN_FORMAT}),
        ("proxying",),
    ),
    Mutation(
        "vLLM is asked beside LiteLLM",
        faulty_gateway("asks_aside", aside=BACKEND_URL),
        frozenset({COUNTER, NO_KEY, OVERHEAD}),
        frozenset({COUNTED_10, COUNTED_0}),
        ("misconfiguration", "proxying"),
    ),
    Mutation(
        "vLLM says the same to everything",
        faulty_backend("same_text"),
        EQUALITY | FORM,
        frozenset({DIFFER, EXERCISED}),
        outcome="inconclusive",
    ),
    Mutation(
        "vLLM never ends by itself",
        faulty_backend("always_length"),
        EQUALITY,
        frozenset({BOTH_REASONS}),
        outcome="inconclusive",
    ),
    Mutation(
        "never ready",
        never_ready,
        NEVER_READY,
        frozenset(),
        ("deploy",),
        before_then=True,
    ),
    Mutation(
        "liveness ends it while it starts",
        impatient_liveness,
        NEVER_READY,
        frozenset(),
        ("deploy",),
        before_then=True,
    ),
    Mutation("all in one file", lambda _: None, frozenset({FILES}), frozenset({IN_FILES}), file="all.yaml"),
    Mutation(
        "another routing strategy",
        config(another_routing_strategy),
        frozenset({CONFIGURED}),
        frozenset({IS_CONFIGURED}),
    ),
    Mutation(
        "another number of retries",
        config(another_number_of_retries),
        frozenset({CONFIGURED}),
        frozenset({IS_CONFIGURED}),
    ),
    Mutation("another timeout", config(another_timeout), frozenset({CONFIGURED}), frozenset({IS_CONFIGURED})),
    Mutation(
        "api_base without /v1",
        model_params(api_base=BACKEND_URL),
        NO_COMPLETION - {RECORDED} | {CONFIGURED, WRONG_MODEL, VERSION},
        frozenset({IS_CONFIGURED}),
        ("manifests",),
    ),
    Mutation(
        "api_base with another port",
        model_params(api_base=BACKEND_URL.replace(str(story.BACKEND_PORT), "8001") + "/v1"),
        NO_COMPLETION - {RECORDED} | {CONFIGURED, WRONG_MODEL, VERSION},
        frozenset({IS_CONFIGURED}),
        ("manifests",),
    ),
    Mutation("everybody is served", serves_everybody, frozenset({WRONG_KEY, WITHOUT_KEY}), frozenset({OWN_KEY_ALONE})),
    Mutation("another mode", config(another_mode), frozenset({CONFIGURED}), frozenset({TELLS_MODE})),
    Mutation(
        "LiteLLM tells another version",
        faulty_gateway(header="x-litellm-version=9.9.9"),
        frozenset({VERSION, *FORM}),
        frozenset({SAME_VERSION}),
        ("manifests",),
    ),
    Mutation(
        "a second pod asks for a GPU",
        stranger_asks_for_a_gpu,
        frozenset({POD, WORKER, GPU, GAMING_MODE}),
        frozenset({NO_GPU}),
        ("placement",),
    ),
    Mutation(
        "vLLM on a worker without a GPU",
        vllm_on_a_worker,
        frozenset({GPU, GAMING_MODE}),
        frozenset({VLLM_ON_GPU}),
        ("placement",),
    ),
    Mutation("another host", another_host, WAY_IN, frozenset(), before_then=True),
    Mutation("the host leads straight to vLLM", straight_to_vllm, frozenset({HOST}), frozenset({LEADS_TO_LITELLM})),
    Mutation(
        "changed text on the way in",
        tampered_on_the_way,
        frozenset({HOST, OWN_ANSWER, OWN_ANSWER_STREAMED}),
        frozenset({LEADS_TO_LITELLM, EQUALS_OWN}),
    ),
    Mutation(
        "the ingress buffers, up to 100 kB",
        buffering,
        frozenset({ONE_BY_ONE, LARGE}),
        frozenset({NOT_HELD_BACK, LARGE_ARRIVES}),
    ),
    Mutation("the ingress waits for 10 s", impatient_ingress, frozenset({SLOW}), frozenset({SLOW_ARRIVES})),
    Mutation(
        "the ingress says that it was asked by plain HTTP",
        by_middleware(headers={"customRequestHeaders": {"X-Forwarded-Proto": "http"}}),
        frozenset({TOLD}),
        frozenset({TOLD_WHO_ASKED}),
    ),
    Mutation(
        "the ingress has the key for everybody",
        key_on_the_way,
        frozenset({INGRESS_WRONG_KEY, INGRESS_WITHOUT_KEY}),
        frozenset({INGRESS_OWN_KEY_ALONE}),
    ),
    Mutation("plain HTTP leads in as well", by_plain_http, PLAIN, frozenset({PLAIN_TURNED_AWAY})),
    Mutation("any host name leads in", any_host, UNKNOWN, frozenset({UNKNOWN_TURNED_AWAY})),
    Mutation(
        "a certificate that is renewed too late",
        renewed_too_late,
        frozenset({CERTIFICATE}),
        frozenset({GOOD_CERTIFICATE}),
    ),
)
