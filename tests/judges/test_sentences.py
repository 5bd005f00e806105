"""Every red verdict on a manifest ends in a sentence with the file and line, what was seen, and what to write."""

from collections.abc import Callable
from typing import Any

import pytest

from signoff import judges
from signoff.evidence.models import (
    ConfigurationSeen,
    EndpointsSeen,
    FilesSeen,
    LabelsSeen,
    ModesSeen,
    Observation,
    Opening,
    PendingSeen,
    PlacesSeen,
    PodsSeen,
    Probe,
    ProbesSeen,
    ResourcesSeen,
    ServiceSeen,
    VersionSeen,
)
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Value, Verdict

assert judges, "the judges register themselves"
AT = "lab/all.yaml:7"
PODS = {"min": {"pods": 1}}
WORKERS = ["w1", "w2"]
RULE = "require a node affinity with key kubernetes.io/hostname, operator In, values w1, w2"
LABELS = {"app": "proxy", "tier": "edge"}
WANTED = {"type": "ClusterIP", "port": 4000}
PENDING = {"pod": "p", "node": None, "phase": "Pending", "reason": "Unschedulable", "cordoned": WORKERS, "seconds": 6.0}


def verdict_on(judge: str, seen: Observation, **declared: Any) -> Verdict:
    check = Check(text="it is", judge=judge, **declared)
    rule: Callable[..., Any] = JUDGES[judge].rule
    ((_, verdict),) = rule([seen], check, None)
    assert isinstance(verdict, Verdict)
    return verdict


def labels(**own: str) -> LabelsSeen:
    return LabelsSeen(check="c", case="Service", labels={"Service/p": own}, files={"Service/p": AT}, asked=LABELS)


def service(kind: str = "ClusterIP", ports: tuple[int, ...] = (4000,), host: dict[int, str] | None = None) -> Any:
    return ServiceSeen(check="c", type=kind, ports=list(ports), file=AT, host_ports=host or {}, asked=WANTED)


def opened(what: Any, value: str) -> ServiceSeen:
    opening = Opening(object="Service/p", what=what, value=value, file=AT)
    return ServiceSeen(check="c", type="ClusterIP", ports=[4000], openings=[opening], asked=WANTED)


def probed(role: Any, asks: str = "/health/readiness", seconds: int = 60, **more: Any) -> ProbesSeen:
    ends = role != "readiness"
    probe = Probe(container="litellm", role=role, asks=asks, seconds=seconds, limits_start=ends, file=AT)
    return ProbesSeen(check="c", probes=[probe], starts={"p": 12}, **more)


def places(node: str, **more: Any) -> PlacesSeen:
    return PlacesSeen(check="c", nodes={"p": node}, asked=more.pop("asked", WORKERS), file=AT, **more)


def pending(**more: Any) -> PendingSeen:
    return PendingSeen.model_validate({"check": "c", "file": AT, "message": "", **PENDING, **more})


ONE_FILE = FilesSeen(check="c", folder="lab/", kinds={"all.yaml": ["Deployment", "Service"]})
CONFIGURATION = ConfigurationSeen(
    check="c", object="ConfigMap/x", file="lab/all.yaml", values={"timeout": [6000]}, lines={"timeout": 7}
)
OF_A_STREAM = ConfigurationSeen(
    check="c",
    object="ConfigMap/x",
    values={"timeout": [30, 5]},
    places={"timeout": ["all.yaml:7", f"{AT}, from Secret/x"]},
)
TWICE = ConfigurationSeen(
    check="c", object="ConfigMap/x", values={"timeout": [30, 30]}, places={"timeout": ["all.yaml:5", AT]}
)
NOT_SET = ConfigurationSeen(check="c", object="ConfigMap/x", values={}, missing={"timeout": AT})
POD_MISSED = EndpointsSeen(check="c", endpoints=[], ready_pods=["10.0.0.1"], file=AT)
STRANGE_POD = EndpointsSeen(check="c", endpoints=["10.0.0.1", "10.0.0.2"], ready_pods=["10.0.0.1"], file=AT)
NOBODY_THERE = EndpointsSeen(
    check="c",
    endpoints=["10.0.0.1"],
    ready_pods=["10.0.0.1"],
    target_port="4001",
    target_file=AT,
    unanswered="connection refused",
)
NOT_READY = PodsSeen(check="c", selector="app=p", ready={"p": False}, states={"p": "CrashLoopBackOff"}, file=AT)
NO_POD = PodsSeen(check="c", selector="app=p", ready={}, states={}, file=AT)
OTHER_IMAGE = VersionSeen(
    check="c", manifest="litellm:v1.80.16", pods={"p": "litellm:v1.81.0"}, tells="1.81.0", file=AT
)
UNTRUE_TAG = VersionSeen(check="c", manifest="litellm:v1.80.16", pods={"p": "litellm:v1.80.16"}, tells="1.9.9", file=AT)
COMPLETES = ModesSeen(check="c", status=200, modes={"m": "completion"}, file=AT)
NO_MODEL = ModesSeen(check="c", status=200, modes={}, file=AT)
ENDED = "litellm Error (exit code 137, signal 9), 2 times"
GPU = ResourcesSeen(check="c", requested={"p/litellm": {"nvidia.com/gpu": "1"}}, file=AT)


@pytest.mark.parametrize(
    ("judge", "declared", "seen", "saw", "write"),
    [
        ("labels", {"wants": LABELS}, labels(tier="edge"), "no label app", "write app: proxy"),
        ("labels", {"wants": LABELS}, labels(app="x", tier="edge"), "app=x", "write app: proxy"),
        ("service", {"wants": WANTED}, service("NodePort"), "is a NodePort with port 4000", "write type: ClusterIP"),
        ("service", {"wants": WANTED}, service(ports=(80,)), "ClusterIP with port 80", "write port: 4000"),
        ("service", {"wants": WANTED}, service(host={4001: AT}), "takes port 4001 of its node", "take hostPort out"),
        ("endpoints", PODS, POD_MISSED, "does not send to the Ready pod at 10.0.0.1", "write labels"),
        ("endpoints", PODS, STRANGE_POD, "sends to 10.0.0.2", "write a selector"),
        (
            "service",
            {"wants": WANTED},
            opened("port", "9090"),
            "Service/p has the port 9090 beside 4000",
            "take it out",
        ),
        ("service", {"wants": WANTED}, opened("externalIPs", "10.9.8.7"), "at 10.9.8.7", "take externalIPs out"),
        ("service", {"wants": WANTED}, opened("NodePort", "30400"), "port 30400 of every", "write type: ClusterIP"),
        ("service", {"wants": WANTED}, opened("LoadBalancer", "80"), "port 80 outside", "write type: ClusterIP"),
        ("service", {"wants": WANTED}, opened("hostNetwork", ""), "the ports of its node", "take hostNetwork out"),
        ("endpoints", PODS, NOBODY_THERE, "sends to the port 4001", "write the port on which it list"),
        ("probes", PODS, probed("readiness", "/health"), "asks /health, which", "write /health/readiness"),
        ("probes", PODS, probed("liveness", "/health"), "asks /health, which", "write /health/liveliness"),
        ("probes", PODS, probed("liveness", seconds=8), "after 8 s, and it took 12 s", "write a startupProbe"),
        ("probes", PODS, probed("startup", seconds=8), "after 8 s, and it took 12 s", "write a startupProbe"),
        ("probes", PODS, probed("liveness", ends={"p": ENDED}), f"of p has ended: {ENDED}", "its liveness probe"),
        (
            "configuration",
            {"wants": {"timeout": 30}},
            CONFIGURATION,
            "timeout is 6000",
            "write timeout: 30 (lab/all.yaml:7)",
        ),
        ("configuration", {"wants": {"timeout": 30}}, OF_A_STREAM, "is 30 and 5", f"30 ({AT}, from Secret/x)"),
        ("configuration", {"wants": {"timeout": 30}}, TWICE, "is 30 and 30", f"timeout: 30 (all.yaml:5; {AT})"),
        ("configuration", {"wants": {"timeout": 30}}, NOT_SET, "timeout is not set", f"timeout: 30 ({AT})"),
        ("no-gpu", {"min": {"containers": 1}}, GPU, "p/litellm asks for nvidia.com/gpu: 1", "take it out"),
        ("on-nodes", {"wants": WORKERS, "min": {"pods": 1}}, places("gpu"), "p on gpu", RULE),
        (
            "off-nodes",
            {"wants": ["gpu"], "min": {"pods": 1}},
            places("gpu", asked=["gpu"]),
            "p runs on gpu",
            "write a node affinity that leaves it out",
        ),
        ("stays-pending", {"wants": WORKERS, "min": {"seconds": 5}}, pending(node="gpu"), "placed on gpu", RULE),
        (
            "stays-pending",
            {"wants": WORKERS, "min": {"seconds": 5}},
            pending(message="1 node(s) had untolerated taint(s)", taints={"gpu": []}),
            "no affinity and no taint that keeps p away",
            RULE,
        ),
        (
            "stays-pending",
            {"wants": WORKERS, "min": {"seconds": 5}},
            pending(message="3 Insufficient cpu"),
            "3 Insufficient cpu",
            RULE,
        ),
    ],
)
def test_it_says_where_what_and_what_to_write(
    judge: str, declared: dict[str, Any], seen: Observation, saw: str, write: str
) -> None:
    verdict = verdict_on(judge, seen, **declared)
    assert verdict.value is Value.FAILED
    for each in (AT, saw, write):
        assert each in verdict.reason


def test_a_file_that_is_missing_is_told_with_the_one_that_has_its_objects() -> None:
    wants = {"deployment.yaml": ["Deployment"], "ingressroute.yaml": ["IngressRoute"], "all.yaml": ["Service"]}
    assert verdict_on("file-layout", ONE_FILE, wants=wants).reason == (
        "in lab/: deployment.yaml is missing; move the Deployment of all.yaml there; "
        "ingressroute.yaml is missing; write the IngressRoute that no file has; or declare your own `layout`"
    )


def test_all_labels_that_an_object_lacks_are_one_sentence() -> None:
    reason = verdict_on("labels", labels(app="x"), wants=LABELS).reason
    assert (
        reason == f"Service/p has app=x and no label tier; write app: proxy and tier: edge among its labels (see {AT})"
    )


def test_both_faults_of_a_service_are_told() -> None:
    verdict = verdict_on("service", service("NodePort", (80,), {4000: AT}), wants=WANTED)
    assert verdict.reason.count("write type: ClusterIP and port: 4000") == verdict.reason.count("hostPort") == 1


@pytest.mark.parametrize(
    "seen",
    [
        pending(message="1 node(s) didn't match Pod's node affinity/selector, 2 node(s) were unschedulable."),
        pending(message="1 node(s) had untolerated taint(s)", taints={"gpu": ["gpu=true:NoSchedule"]}),
    ],
)
def test_an_affinity_or_a_taint_keeps_a_pod_off_the_gpu_worker(seen: PendingSeen) -> None:
    verdict = verdict_on("stays-pending", seen, wants=WORKERS, min={"seconds": 5})
    assert verdict.value is Value.PASSED


@pytest.mark.parametrize(
    ("api_base", "value"),
    [
        ("http://llm.ml.svc.cluster.local:8000/v1", Value.PASSED),
        ("http://llm.ml.svc.cluster.local.:8000/v1/", Value.PASSED),
        ("http://llm.ml.svc:8000/v1", Value.PASSED),
        ("http://llm.ml:8000/v1", Value.PASSED),
        ("http://llm:8000/v1", Value.PASSED),
        ("http://llm.ml.svc.cluster:8000/v1", Value.FAILED),
        ("http://llm.other.svc:8000/v1", Value.FAILED),
        ("http://me@llm:8000/v1", Value.FAILED),
        ("http://llm.ml.svc.cluster.local:8000/v1?[redacted]", Value.FAILED),
        ("http://llm:8001/v1", Value.FAILED),
        ("http://llm:99999/v1", Value.FAILED),
        ("https://llm:8000/v1", Value.FAILED),
        ("http://llm:8000", Value.FAILED),
        (None, Value.FAILED),
    ],
)
def test_a_service_may_be_named_as_a_resolver_completes_it(api_base: Any, value: Value) -> None:
    seen = ConfigurationSeen(check="c", object="ConfigMap/x", values={"api_base": [api_base]})
    wants = {"api_base": "http://llm.ml.svc.cluster.local:8000/v1"}
    assert verdict_on("configuration", seen, wants=wants).value is value


@pytest.mark.parametrize(
    ("values", "value"),
    [([], Value.INCONCLUSIVE), ([2], Value.INCONCLUSIVE), ([9], Value.FAILED), ([2, 9], Value.FAILED)],
)
def test_a_setting_that_nobody_can_read_is_no_pass_whatever_the_default_is(values: list[int], value: Value) -> None:
    unknown = f"os.environ/RETRIES, whose value the manifests do not say; write the value itself ({AT})"
    seen = ConfigurationSeen(
        check="c", object="ConfigMap/x", values={"num_retries": values}, unknown={"num_retries": [unknown]}
    )
    verdict = verdict_on("configuration", seen, wants={"num_retries": 2})
    assert verdict.value is value
    assert f"num_retries is {unknown}" in verdict.reason


@pytest.mark.parametrize("values", [[2], [9]])
def test_a_configuration_that_no_pod_has_loaded_since_proves_nothing_whatever_it_says(values: list[int]) -> None:
    seen = ConfigurationSeen(check="c", object="ConfigMap/x", values={"num_retries": values}, outdated=["p runs since"])
    verdict = verdict_on("configuration", seen, wants={"num_retries": 2})
    assert (verdict.value, verdict.reason) == (Value.INCONCLUSIVE, "p runs since")


@pytest.mark.parametrize(
    ("mode", "value", "told"),
    [
        ("chat", Value.PASSED, ""),
        (None, Value.PASSED, "m names none, which LiteLLM takes for chat"),
        ("completion", Value.FAILED, "m is 'completion'"),
    ],
)
def test_a_mode_that_is_not_told_is_litellms_default_and_said(mode: str | None, value: Value, told: str) -> None:
    verdict = verdict_on("model-mode", ModesSeen(check="c", status=200, modes={"m": mode}), wants={"m": "chat"})
    assert (verdict.value, told in verdict.reason, bool(verdict.reason)) == (value, True, bool(told))


@pytest.mark.parametrize(
    ("asks", "value"),
    [
        ("/health/readiness", Value.PASSED),
        ("/health/liveliness", Value.PASSED),
        ("/healthz", Value.PASSED),
        ("port 4000", Value.PASSED),
        ("/health", Value.FAILED),
        ("/health/", Value.FAILED),
        ("/health?model=m", Value.FAILED),
        ("sh -c curl -f http://localhost:4000/health || exit 1", Value.FAILED),
        ("python -c urlopen('http://localhost:4000/health')", Value.FAILED),
        *(
            (f"sh -c curl -f localhost:4000/health{end}", Value.FAILED)
            for end in ("||exit 1", ";", ")", "|grep up", "&&x")
        ),
        ("health", Value.FAILED),
        ("health/readiness", Value.PASSED),
        ("/health.txt", Value.PASSED),
        ("curl -d @q http://localhost:4000/v1/chat/completions", Value.FAILED),
        ("curl -d @q http://localhost:4000/v1/embeddings", Value.FAILED),
        ("curl -d @q http://localhost:4000/v1/messages", Value.FAILED),
    ],
)
def test_a_probe_that_asks_a_model_is_told_from_one_that_asks_litellm_alone(asks: str, value: Value) -> None:
    assert verdict_on("probes", probed("readiness", asks), **PODS).value is value


def test_what_a_pod_lacks_is_told_and_no_failure() -> None:
    seen = probed("readiness", unbounded={"litellm": AT}, unwatched={"litellm": AT})
    verdict = verdict_on("probes", seen, **PODS)
    assert verdict.value is Value.PASSED
    for each in ("Ready within 12 s", "litellm has no liveness probe", "litellm has no memory limit", AT):
        assert each in verdict.reason


def test_probes_of_pods_that_were_never_ready_are_not_judged() -> None:
    seen = ProbesSeen(check="c", probes=[], starts={})
    assert verdict_on("probes", seen, **PODS).value is Value.NOT_JUDGED


def test_a_liveness_probe_that_waits_for_a_startup_probe_may_be_tight() -> None:
    tight = probed("liveness", seconds=1).probes[0].model_copy(update={"limits_start": False})
    seen = probed("startup", seconds=300)
    both = seen.model_copy(update={"probes": [*seen.probes, tight]})
    assert verdict_on("probes", both, **PODS).value is Value.PASSED


def test_a_full_node_proves_nothing_of_the_rule() -> None:
    """The one that had no room may be the forbidden one, which would have taken the pod otherwise."""
    message = "0/3 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node affinity/selector"
    declared: dict[str, Any] = {"wants": WORKERS, "min": {"seconds": 5}}
    assert verdict_on("stays-pending", pending(message=message), **declared).value is Value.INCONCLUSIVE
    alone = message.replace("1 Insufficient memory, ", "")
    assert verdict_on("stays-pending", pending(message=alone), **declared).value is Value.PASSED
