"""The three verdicts, and the judgement of the story's criteria: a pure function of the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from signoff.story import CRITERIA, NOTES, Criterion


class Verdict(Enum):
    """What a check says of its subject. "Could not judge" is one of them and never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Inconclusive(Exception):
    """Raised by a check that cannot judge; its text is the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


NOT_RUN = "not run"


@dataclass(frozen=True)
class Judgement:
    """One criterion's verdict; `verdict` is None when not all of its scenarios were run."""

    criterion: Criterion
    verdict: Verdict | None
    reason: str
    scenarios: tuple[dict[str, Any], ...]
    """Scenario records; one that was planned and not run has the outcome "not run"."""

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return self.verdict.value if self.verdict else "not judged"


def judge(records: Sequence[dict[str, Any]]) -> list[Judgement]:
    """Each criterion of the story, then its notes."""
    planned = [scenario for record in records if record["kind"] == "plan" for scenario in record["scenarios"]]
    ran = {record["id"]: record for record in records if record["kind"] == "scenario"}
    return [_judge(criterion, planned, ran) for criterion in (*CRITERIA, NOTES)]


def _judge(criterion: Criterion, planned: list[dict[str, Any]], ran: dict[str, dict[str, Any]]) -> Judgement:
    scenarios = tuple(
        ran.get(each["id"], {**each, "outcome": NOT_RUN, "reason": ""})
        for each in planned
        if criterion.key in each["criteria"]
    )
    outcomes = [scenario["outcome"] for scenario in scenarios]

    def naming(outcome: str) -> str:
        return ", ".join(s["name"] for s in scenarios if s["outcome"] == outcome)

    if Verdict.FAILED.value in outcomes:
        return Judgement(criterion, Verdict.FAILED, naming("failed"), scenarios)
    if not outcomes or NOT_RUN in outcomes:
        return Judgement(criterion, None, f"not run: {naming(NOT_RUN) or 'any scenario of it'}", scenarios)
    if "skipped" in outcomes:
        return Judgement(criterion, Verdict.INCONCLUSIVE, f"skipped: {naming('skipped')}", scenarios)
    if Verdict.INCONCLUSIVE.value in outcomes:
        return Judgement(criterion, Verdict.INCONCLUSIVE, naming("inconclusive"), scenarios)
    return Judgement(criterion, Verdict.PASSED, "", scenarios)


def signed_off(judgements: Sequence[Judgement]) -> bool:
    """Whether every criterion has passed."""
    return all(judgement.verdict is Verdict.PASSED for judgement in judgements)
