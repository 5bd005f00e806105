"""What a run of each set has to end with, check by check: whatever is not named here has passed."""

from dataclasses import dataclass, field

from signoff.kube.mounts import ConfigFile
from signoff.kube.roles import Workload


@dataclass(frozen=True)
class Expected:
    """Who is who in a set, and how its checks end on the embedded cluster, the overhead left out."""

    gateway: Workload
    config: ConfigFile
    asked: str
    backend_service: str
    has_key: bool
    failed: dict[str, str]
    """The checks that are red, and words of their reasons: what was seen, where, and what to write."""
    not_judged: frozenset[str] = frozenset()
    """Those that no scenario came to, since it was red before."""
    waived: frozenset[str] = frozenset(
        {
            *("way-in", "plain-http", "unknown-host", "certificate"),
            *("ingress-answers", "ingress-streams", "ingress-timeouts", "ingress-large-prompt"),
            *("ingress-headers", "ingress-key-asked"),
        }
    )
    """All of the way in: these labs have none that leads the story's host name to LiteLLM."""
    notes: dict[str, str] = field(default_factory=dict)
    """Words of the reasons of checks that have passed."""


_BROKEN_STREAMS = {"request-fidelity": "faults.die-in-stream/streamed, faults.status-404/plain"}
"""LiteLLM 1.80.16 tells nobody that a stream broke off, unless DISABLE_AIOHTTP_TRANSPORT is set; and it cools a backend
down after another client's 404, unless the router is told not to.
"""
_AFTER_THEM = frozenset({"calls-exercised"})

EXPECTED = {
    "home_lab": Expected(
        Workload("Deployment", "llm-proxy", "attic", {"app": "llm-proxy"}, "proxy", 4000),
        ConfigFile("proxy-settings", "proxy.yaml"),
        "house-model",
        "engine",
        has_key=True,
        failed={
            **_BROKEN_STREAMS,
            # The model's own goes before the router's 30 s.
            "configuration": "timeout is 90; write timeout: 30 (gateway/configmap.yaml:19)",
        },
        not_judged=_AFTER_THEM | {"mode-chat"},
    ),
    "one_file": Expected(
        Workload("Deployment", "switchboard", "ml", {"svc": "switchboard"}, "switchboard", 4000),
        ConfigFile("switchboard", "router.yaml"),
        "chatty",
        "llm-engine",
        has_key=True,
        failed={
            **_BROKEN_STREAMS,
            "labels": "Deployment/switchboard has no label app.kubernetes.io/name and no label "
            "app.kubernetes.io/part-of; write app.kubernetes.io/name: litellm and app.kubernetes.io/part-of: home-lab "
            "among its labels (see everything.yml:37)",
            "service": "takes port 4000 of its node, which leads past the Service and keeps a second pod off that "
            "node; take hostPort out (see everything.yml:51)",
        },
        not_judged=_AFTER_THEM | {"endpoints"},
        # One node only is no failure: the pod is where it may be, and never on the GPU worker.
        notes={"scheduler-asked": "may run on k3s-worker-01 alone, so that nothing takes over while that node is away"},
    ),
    "nulls": Expected(
        Workload("Deployment", "gateway", "ml", {"app.kubernetes.io/name": "litellm"}, "gateway", 4000),
        ConfigFile("gateway-config", "litellm.yaml"),
        "Qwen/Qwen2.5-7B-Instruct-AWQ",
        "qwen",
        has_key=False,
        failed={
            **_BROKEN_STREAMS,
            "labels": "ConfigMap/gateway-config has no label app.kubernetes.io/name",
            # An empty router_settings leaves LiteLLM's own 6000 s; the other sets say in their settings that they
            # want those, and this one is judged by the story's 30 s.
            "configuration": "timeout is 6000; write timeout: 30 (all.yaml:22)",
        },
        not_judged=_AFTER_THEM | {"mode-chat"},
        notes={"scheduler-asked": "knows k3s-gpu-worker by name, so that a new GPU node would be accepted"},
    ),
    "chart": Expected(
        Workload(
            "Deployment",
            "front-litellm",
            "default",
            {"app.kubernetes.io/name": "litellm", "app.kubernetes.io/instance": "front"},
            "front-litellm",
            4000,
        ),
        ConfigFile("front-litellm-config", "config.yaml"),
        "assistant",
        "qwen-engine",
        has_key=True,
        failed={
            **_BROKEN_STREAMS,
            "labels": "ConfigMap/front-litellm-config has no label app.kubernetes.io/name",
            # The GPU worker's taint keeps it off today, and nothing keeps it off a new worker.
            "scheduler-asked": "require a node affinity with key kubernetes.io/hostname, operator In, values "
            "k3s-worker-01, k3s-worker-02 (see rendered.yaml:76)",
        },
        not_judged=_AFTER_THEM,
    ),
}
