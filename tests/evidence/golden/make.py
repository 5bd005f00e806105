"""Writes the golden evidence (not the verdicts, which are kept): `python -m tests.evidence.golden.make`.

The files are kept, so that evidence of today is still read, and judged alike, by whatever comes later.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from signoff.evidence import Evidence, chain, side_file
from signoff.evidence.models import (
    CallsCounted,
    CounterSeen,
    End,
    Observation,
    OverheadTimed,
    Plan,
    PlannedScenario,
    Run,
    ScenarioEnd,
    Trio,
    TriosSeen,
)
from signoff.traffic.pairs import Timing
from tests.evidence.runs import Writer, scenario_id, write_timings

HERE = Path(__file__).parent


class _Clock:
    """Stands still."""

    @staticmethod
    def now(_: object) -> "_Clock":
        return _Clock()

    def isoformat(self, timespec: str) -> str:
        assert timespec == "milliseconds"
        return "2026-01-01T00:00:00.000+00:00"


def check(text: str, judge: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "judge": judge, **more}


def overhead(evidence: Evidence) -> Iterator[Observation]:
    path = evidence.dir / "overhead.csv"
    write_timings(path, list(rounds()))
    for name in ("overhead", "overhead-of-25"):
        yield OverheadTimed(
            check=name,
            requests=side_file(path),
            blocks=[],
            seed=1,
            pairs_asked=60,
            limit_asked_ms=100 if name == "overhead" else 25,
            place="from this machine",
            counted=CallsCounted(sent=180, answered=180),
        )


def rounds() -> Iterator[Timing]:
    """60 rounds of three requests: test_golden.py says what they are."""
    for at in range(60):
        streamed = at % 2 == 1
        direct, added = (12.0, 40.0) if streamed else (10.0, 20.0)
        added = {4: 5.0, 8: 90.0, 5: 41.0, 9: 39.0}.get(at, added)
        for position, (arm, ms) in enumerate((("direct", direct), ("proxied", direct + added), ("control", direct))):
            held = {"tokens": 8, "prompt_tokens": 30, "pieces": 8 if streamed else None, "characters": 40}
            yield Timing(at, position, arm, float(at), ms, streamed=streamed, **held)  # type: ignore[arg-type]


def answers(evidence: Evidence) -> Iterator[Observation]:
    writer = Writer(evidence, None)  # type: ignore[arg-type]
    told = {"Name a bird.": ("a crow", "a crow", "a crow"), "Name a river.": ("the Inn", "the Inn", "the Ill")}
    trios = []
    for prompt, texts in told.items():
        first, again, proxied = (writer.ask("direct", prompt, text=text) for text in texts)
        trios.append(Trio(prompt=prompt, direct=first, again=again, proxied=proxied))
    yield TriosSeen(check="equal-answers", case="plain", trios=trios)
    yield TriosSeen(check="answers-differ", case="plain", trios=trios)
    for name, grown in (("each-once", 10), ("none-lost", 9)):
        yield CounterSeen(check=name, metric="vllm:request_success_total", requests=10, grown=grown)


def make(name: str, checks: dict[str, Any], observe: Callable[[Evidence], Iterator[Observation]]) -> None:
    folder = HERE / name
    verdict = (folder / "verdict.json").read_bytes() if (folder / "verdict.json").exists() else b""
    shutil.rmtree(folder, ignore_errors=True)
    story = {
        "schema": "signoff.story/1",
        "name": "golden",
        "title": f"A run of {name} that is judged by hand",
        "criteria": {key: {"text": each["text"], "checks": [key]} for key, each in checks.items()},
        "checks": checks,
    }
    with mock.patch.object(chain, "datetime", _Clock), mock.patch("time.monotonic", lambda: 1.0):
        evidence = Evidence(
            folder, Run(cluster="embedded", story=story, story_file="story.yaml", story_sha256="00" * 32)
        )
        play(evidence, list(checks), observe)
    if verdict:
        (folder / "verdict.json").write_bytes(verdict)


def play(evidence: Evidence, checks: Sequence[str], observe: Callable[[Evidence], Iterator[Observation]]) -> None:
    ids = {name: scenario_id(name) for name in checks}
    planned = [PlannedScenario(id=ids[name], name=name, feature="a.feature", checks=[name]) for name in checks]
    evidence.add(Plan(scenarios=planned, selected=list(ids.values())))
    for seen in list(observe(evidence)):
        evidence.scenario = ids[seen.check]
        evidence.add(seen)
        evidence.add(ScenarioEnd(id=ids[seen.check], end="whole", seconds=1.0))
        evidence.scenario = ""
    evidence.add(End())
    evidence.close()


if __name__ == "__main__":
    cases = ["median", "median_plain", "median_streamed"]
    limits = {"overhead": 100, "overhead-of-25": 25}
    make(
        "overhead",
        {
            name: check(
                f"the overhead is below {limit} ms",
                "overhead",
                wants={"limit_ms": limit},
                cases=cases,
                min={"pairs": 60},
            )
            for name, limit in limits.items()
        },
        overhead,
    )
    make(
        "answers",
        {
            "equal-answers": check("answers are equal", "equal-answers", cases=["plain"], min={"prompts": 2}),
            "answers-differ": check("answers differ", "answers-differ", cases=["plain"], min={"prompts": 2}),
            "each-once": check("each arrives once", "counter", min={"requests": 10}),
            "none-lost": check("none is lost", "counter", min={"requests": 10}),
        },
        answers,
    )
