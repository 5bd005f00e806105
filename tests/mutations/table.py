"""The table: what is broken, and exactly which scenarios then fail."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.mutations.scenarios import (
    ASKING,
    CHAT,
    CORDON,
    COUNTER,
    EQUAL,
    EQUAL_STREAMED,
    FORMAT,
    FORMAT_STREAMED,
    GAMING_MODE,
    LABELS,
    MODELS,
    NO_KEY,
    OVERHEAD,
    POD,
    SERVICE,
    WORKER,
    WRONG_MODEL,
)

Objects = dict[str, dict[str, Any]]
"""The objects of manifests/litellm by kind; `Service` and the rest may be edited in place, and objects added."""

LIAR = "litellm-liar"
"""The ConfigMap with the double's code. It begins as all of LiteLLM's objects do, so that a second LiteLLM gets one of
its own."""
LIAR_CODE = Path(__file__).parent.parent / "doubles" / "gateway.py"
LIAR_PORT = 4400


@dataclass(frozen=True)
class Mutation:
    """One way to break the deployment; `red` is the exact set of scenarios that must then fail.

    `make test` runs the features named in `features`, or else those that hold a red scenario; `make mutations` runs
    all of them for each.
    """

    name: str
    edit: Callable[[Objects], None]
    red: frozenset[str]
    features: tuple[str, ...] = ()

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
        parsed = yaml.safe_load(data["config.yaml"])
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


def gpu_affinity(objects: Objects) -> None:
    """Send LiteLLM to the GPU worker."""
    required = pod_spec(objects)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = ["k3s-gpu-worker"]


def readiness_asks_the_model(objects: Objects) -> None:
    """Probe /health, which asks the models themselves.

    LiteLLM 1.80.16 answers 200 there even when no model does, but after 1.3 to 1.5 s of retries: more than the second
    that a probe has by default.
    """
    litellm(objects)["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}


def never_ready(objects: Objects) -> None:
    """Probe a path that is not there; do not wait long for it."""
    litellm(objects)["readinessProbe"] |= {"httpGet": {"path": "/nowhere", "port": "http"}, "periodSeconds": 1}
    objects["Deployment"]["spec"]["progressDeadlineSeconds"] = 25


def service_port(objects: Objects) -> None:
    """Offer the Service on another port."""
    objects["Service"]["spec"]["ports"][0]["port"] = 4001


def service_selector(objects: Objects) -> None:
    """Select pods that are not there."""
    objects["Service"]["spec"]["selector"] = {"app.kubernetes.io/name": "litelm"}


def label(objects: Objects) -> None:
    """Misspell one label of the pods."""
    objects["Deployment"]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "homelab"


def inherited_key(objects: Objects) -> None:
    """Give LiteLLM an OPENAI_API_KEY to fall back on."""
    litellm(objects)["env"].append({"name": "OPENAI_API_KEY", "value": "sk-inherited"})


def liar(lie: str, **options: str) -> Callable[[Objects], None]:
    """Put a gateway that tells this lie between the Service and LiteLLM, as a second container of the pod.

    It runs in LiteLLM's own image, which has what the double needs, so that no cluster needs an image of its own.
    """

    def change(objects: Objects) -> None:
        service = objects["Service"]
        behind = yaml.safe_load(yaml.safe_dump(service))
        behind["metadata"]["name"] = "litellm-behind"
        objects["ServiceBehind"] = behind
        service["spec"]["ports"][0]["targetPort"] = LIAR_PORT
        objects["LiarCode"] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LIAR, "namespace": "ml"},
            "data": {LIAR_CODE.name: LIAR_CODE.read_text()},
        }
        extra = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        pod_spec(objects)["volumes"].append({"name": "liar", "configMap": {"name": LIAR}})
        pod_spec(objects)["containers"].append(
            {
                "name": "liar",
                "image": litellm(objects)["image"],
                "command": ["python3", f"/liar/{LIAR_CODE.name}"],
                "args": [
                    "--host=0.0.0.0",
                    f"--port={LIAR_PORT}",
                    "--upstream=http://litellm-behind.ml.svc.cluster.local:4000",
                    f"--lie={lie}",
                    *extra,
                ],
                "ports": [{"containerPort": LIAR_PORT}],
                "volumeMounts": [{"name": "liar", "mountPath": "/liar", "readOnly": True}],
                "readinessProbe": {"tcpSocket": {"port": LIAR_PORT}, "periodSeconds": 1},
            }
        )

    return change


EQUALITY = frozenset({EQUAL, EQUAL_STREAMED})
NO_COMPLETION = frozenset({*ASKING, GAMING_MODE})

TABLE = (
    Mutation("affinity removed", no_affinity, frozenset({CORDON})),
    Mutation("affinity to the GPU worker", gpu_affinity, frozenset({WORKER, CORDON})),
    Mutation("pod label", label, frozenset({LABELS})),
    Mutation(
        "Service port",
        service_port,
        frozenset({SERVICE, MODELS, *NO_COMPLETION, WRONG_MODEL, NO_KEY}),
        ("deploy",),
    ),
    Mutation(
        "model_name",
        config(model_name),
        frozenset({MODELS, *NO_COMPLETION, WRONG_MODEL, NO_KEY}),
        ("deploy", "findings"),
    ),
    Mutation("backend model", model_params(model="hosted_vllm/qwen2.5:14b"), NO_COMPLETION, ("deploy", "proxying")),
    Mutation(
        "api_key missing",
        model_params(model="openai/Qwen/Qwen2.5-7B-Instruct-AWQ", api_key=None),
        NO_COMPLETION,
        ("deploy", "completion"),
    ),
    Mutation("OPENAI_API_KEY inherited", inherited_key, frozenset({NO_KEY})),
    Mutation(
        "readiness probes /health",
        readiness_asks_the_model,
        frozenset({GAMING_MODE, COUNTER, NO_KEY}),
        ("proxying", "gaming_mode"),
    ),
    Mutation("150 ms in front of LiteLLM", liar("delay", delay_ms="150"), frozenset({OVERHEAD})),
    Mutation("changed text", liar("changed_text"), EQUALITY, ("proxying", "completion")),
    Mutation("changed usage", liar("changed_usage"), EQUALITY),
    Mutation("swapped finish_reason", liar("swapped_finish_reason"), EQUALITY),
    Mutation("malformed stream chunk", liar("malformed_chunk"), frozenset({FORMAT_STREAMED, EQUAL_STREAMED})),
    Mutation("no object field", liar("no_object"), frozenset({FORMAT, FORMAT_STREAMED})),
    Mutation("server error", liar("server_error"), frozenset({*NO_COMPLETION, WRONG_MODEL, NO_KEY}), ("deploy",)),
    Mutation(
        "never ready",
        never_ready,
        frozenset({POD, LABELS, SERVICE, WORKER, CORDON, MODELS, CHAT, *NO_COMPLETION, WRONG_MODEL, NO_KEY}),
        ("deploy",),
    ),
)
