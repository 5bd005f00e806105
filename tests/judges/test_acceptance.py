"""What the scheduler says of each node: a rule that keeps LiteLLM off the forbidden ones, told from luck."""

from typing import Any

import pytest

from signoff import judges
from signoff.evidence.models import NodeAsked, SchedulerAsked
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Value, Verdict

assert judges, "the judges register themselves"
AT, TOLERATIONS = "lab/all.yaml:7", "lab/all.yaml:9"
NAMES = "require a node affinity with key kubernetes.io/hostname, operator"
AFFINITY = "0/5 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
CONFLICT = "0/5 nodes are available: pod affinity terms conflict."
TAINT = "0/5 nodes are available: 1 node(s) had untolerated taint {gpu: true}."
BESIDE = "0/5 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
FULL = "0/5 nodes are available: 1 Too many pods."
ALLOWED, FORBIDDEN = ["w1", "w2"], ["gpu"]
ACCEPTED = ""
MARKS: dict[str, dict[str, Any]] = {
    "labels": {"labels": {"gpu": "true"}},
    "taints": {"taints": ["gpu=true:NoSchedule"]},
    "resources": {"labels": {"gpu": ""}, "taints": ["gpu=true:NoSchedule"], "resources": {"nvidia.com/gpu": 1}},
}


def node(name: str, message: str, **more: Any) -> NodeAsked:
    return NodeAsked(name=name, accepted=message == ACCEPTED, message=message, **more)


def verdict(
    by: str = "allowed-names", case: str = "open", *, marks: dict[str, Any] | None = None, **said: Any
) -> Verdict:
    """The verdict where each node said this; by affinity where that is not told, on a worker nothing."""
    own = MARKS.get(by, MARKS["resources"]) if marks is None else marks
    seen = [
        node("w1", said.get("w1", ACCEPTED)),
        node("w2", said.get("w2", ACCEPTED)),
        node("gpu", said.get("gpu", AFFINITY), **own),
        node("signoff-worker", said.get("worker", ACCEPTED if "names" not in by else AFFINITY), new=True),
        node("signoff-gpu-worker-1", said.get("other", AFFINITY), new=True, like="gpu", **own),
    ]
    asked = SchedulerAsked(
        check="c",
        case=case,
        forbidden_by=by,
        tolerant=by not in ("taints", "resources"),
        nodes=seen if case == "open" else seen[:3],
        file=AT,
        tolerations=TOLERATIONS,
    )
    wants = {"forbidden_by": by, "allowed": ALLOWED, "forbidden": FORBIDDEN}
    check = Check(text="it is", judge="scheduler-asked", wants=wants, cases=("open", "cordoned"))
    ((found, judged),) = JUDGES["scheduler-asked"].rule([asked], check, None)  # type: ignore[arg-type]
    assert found == case
    return judged


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("allowed-names", {}),
        ("allowed-names", {"gpu": CONFLICT, "worker": CONFLICT, "other": CONFLICT}),
        ("allowed-names", {"w1": BESIDE}),
        ("forbidden-names", {"worker": ACCEPTED}),
        ("labels", {}),
        ("labels", {"worker": AFFINITY}),
        ("taints", {"gpu": TAINT, "other": TAINT}),
        ("resources", {"gpu": TAINT, "other": TAINT}),
        ("resources", {}),
    ],
)
@pytest.mark.parametrize("case", ["open", "cordoned"])
def test_a_rule_holds(by: str, said: dict[str, Any], case: str) -> None:
    found = verdict(by, case, **said)
    assert found.value is Value.PASSED
    assert found.reason.startswith("the scheduler refuses LiteLLM on gpu")
    assert "; " not in found.reason


@pytest.mark.parametrize(
    ("by", "said", "saw", "write"),
    [
        (
            "allowed-names",
            {"gpu": ACCEPTED},
            "accepts LiteLLM on gpu, taints set aside; ",
            f"{NAMES} In, values w1, w2",
        ),
        ("allowed-names", {"worker": ACCEPTED}, "accepts LiteLLM on a new worker; ", f"{NAMES} In, values w1, w2"),
        ("allowed-names", {"gpu": BESIDE}, f"keeps LiteLLM off gpu but what is there today ({BESIDE}); ", NAMES),
        ("forbidden-names", {"gpu": ACCEPTED}, "accepts LiteLLM on gpu, taints", f"{NAMES} NotIn, values gpu"),
        (
            "labels",
            {"other": ACCEPTED},
            "accepts LiteLLM on a new node like gpu (gpu=true); ",
            "require a node affinity with key gpu, operator NotIn, values true",
        ),
        (
            "taints",
            {"gpu": ACCEPTED, "other": ACCEPTED},
            "accepts LiteLLM on gpu and a new node like gpu (gpu=true:NoSchedule); ",
            "let it not tolerate gpu=true:NoSchedule",
        ),
        (
            "resources",
            {"other": ACCEPTED},
            "a new node like gpu (gpu= gpu=true:NoSchedule nvidia.com/gpu:1); ",
            "let it not tolerate gpu=true:NoSchedule",
        ),
    ],
)
def test_luck_is_red_with_what_was_seen_and_what_to_write(by: str, said: dict[str, Any], saw: str, write: str) -> None:
    found = verdict(by, **said)
    assert found.value is Value.FAILED
    assert saw in found.reason and write in found.reason
    assert found.reason.endswith(f" (see {TOLERATIONS if by in ('taints', 'resources') else AT})")


def test_a_taint_is_no_rule_about_labels() -> None:
    assert verdict("labels", gpu=TAINT).value is Value.FAILED


@pytest.mark.parametrize(
    ("by", "marks", "write"),
    [
        ("labels", {}, "give gpu a label of its own"),
        ("labels", {"labels": {"gpu": ""}}, "with key gpu, operator DoesNotExist"),
        (
            "resources",
            {"resources": {"nvidia.com/gpu": 1}},
            "give gpu a taint, or a label that a node",
        ),
    ],
)
def test_what_to_write_of_a_node_with_less(by: str, marks: dict[str, Any], write: str) -> None:
    assert write in verdict(by, marks=marks, gpu=ACCEPTED).reason


def test_a_full_node_proves_nothing() -> None:
    assert verdict(gpu=FULL).value is Value.INCONCLUSIVE


@pytest.mark.parametrize(
    ("by", "said", "note"),
    [
        ("allowed-names", {"w2": AFFINITY}, "run on w1 alone, so that nothing takes over while that node is away"),
        ("forbidden-names", {"other": ACCEPTED}, "knows gpu by name, so that a new GPU node would be accepted"),
    ],
)
def test_a_rule_that_holds_says_what_it_leaves_open(by: str, said: dict[str, Any], note: str) -> None:
    found = verdict(by, **said)
    assert found.value is Value.PASSED
    assert found.reason.endswith(f"{note} (see {AT})")
