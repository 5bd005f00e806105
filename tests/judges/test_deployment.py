"""What single judges of the deployment make of what was seen."""

from collections.abc import Callable
from typing import Any

import pytest

from signoff import judges
from signoff.evidence.models import VersionSeen
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Value, Verdict

assert judges, "the judges register themselves"
CHECK = Check(text="it is", judge="version", min={"pods": 1})


def verdict_on(tag: str, told: str) -> Verdict:
    image = f"ghcr.io/berriai/litellm:{tag}"
    seen = VersionSeen(check="version", manifest=image, pods={"litellm-1": image}, tells=told)
    rule: Callable[..., Any] = JUDGES["version"].rule
    ((_, verdict),) = rule([seen], CHECK, None)
    assert isinstance(verdict, Verdict)
    return verdict


@pytest.mark.parametrize(
    ("tag", "told", "value"),
    [
        ("main-v1.80.16-stable", "1.80.16", Value.PASSED),
        ("main-v1.80.16-stable", "1.80.16.dev6", Value.FAILED),
        ("main-v1.80.16.dev6", "1.80.16.dev6", Value.PASSED),
        ("v1.80.16-dev6", "1.80.16.dev6", Value.PASSED),
        ("main-v1.80.16.dev6", "1.80.16", Value.INCONCLUSIVE),
        ("main-v1.80.16.dev6", "1.80.16.dev7", Value.FAILED),
        ("main-v1.80.16.dev6", "1.80.16rc1", Value.FAILED),
        ("main-v1.80.16.dev6", "1.80.16.post2", Value.FAILED),
        ("main-v1.80.16.dev6", "1.80.16+local", Value.FAILED),
        ("main-v1.80.16.dev6", "1.80.17", Value.FAILED),
        ("v1.106.0-rc.1", "1.106.0rc1", Value.PASSED),
        ("v1.106.0-rc.1", "1.106.0", Value.FAILED),
        ("v1.80.16-nightly", "1.80.16", Value.PASSED),
        ("v1.80.16", "unknown", Value.FAILED),
        ("latest", "1.80.16", Value.INCONCLUSIVE),
    ],
)
def test_a_tag_and_what_litellm_says_are_the_same_version(tag: str, told: str, value: Value) -> None:
    verdict = verdict_on(tag, told)
    assert verdict.value is value, verdict.reason


def test_a_release_that_litellm_reports_does_not_prove_its_development_build() -> None:
    reason = verdict_on("main-v1.80.16.dev6", "1.80.16").reason
    assert reason == "LiteLLM reports release 1.80.16; the tag names its development build 1.80.16.dev6"


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("pinned", "pulled", "said"),
    [
        ("", "litellm-1.80.16", ""),
        (f"@{DIGEST}", f"ghcr.io/berriai/litellm@{DIGEST}", ""),
        (
            f"@{DIGEST}",
            "litellm-1.80.16",
            ", by its tag: sha256:000000000000... is pinned, and what ran is litellm-1.80",
        ),
        (f"@{DIGEST}", "", ", by its tag: sha256:000000000000... is pinned, and what ran is "),
        (f"@{DIGEST}", None, ", by its tag: sha256:000000000000... is pinned, and no node says what it pulled"),
    ],
)
def test_a_digest_that_was_not_honoured_is_told(pinned: str, pulled: str | None, said: str) -> None:
    image = f"ghcr.io/berriai/litellm:main-v1.80.16-stable{pinned}"
    ran = {} if pulled is None else {"p": pulled}
    seen = VersionSeen(check="v", manifest=image, pods={"p": image}, pulled=ran, tells="1.80.16")
    rule: Callable[..., Any] = JUDGES["version"].rule
    ((_, verdict),) = rule([seen], CHECK, None)
    assert verdict.value is Value.PASSED
    assert verdict.reason.startswith(f"1.80.16{said}") and (said or verdict.reason == "1.80.16")
