"""Two small runs whose verdicts were worked out with pencil and paper, and are kept: `signoff verify` finds the same.

The figures and verdicts that the tests name below were worked out by hand, with the reasons beside them. The evidence
is written by `python -m tests.evidence.golden.make`; verdict.json, which is kept with it, was drawn once and compared
with the work by hand: it changes only when a person changes it.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from signoff import report
from signoff.cli import main
from signoff.evidence import read
from signoff.judges.run import Result

GOLDEN = Path(__file__).parent / "golden"


def printed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / name / "verdict.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["overhead", "answers"])
def test_the_kept_verdict_is_verified(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / name, run)
    for page, text in report.drawn(Result(read(run))).items():
        if page != report.VERDICT:
            (run / page).write_text(text, encoding="utf-8")
    report.seal(run)
    assert main(["verify", str(run)]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out == f"verified: {printed(name)['headline']}\n"


def test_the_overhead_by_hand() -> None:
    """60 rounds, whose direct and control requests always agree, so that the control is 0.

    Plain (even rounds, 30 of them): direct 10 ms, proxied 30, which is 20 more; in round 4 it is 5 more, in round 8 it
    is 90. In ascending order 5, 20 (28 times), 90: the 15th and 16th of 30 are 20, so that is the median. Streamed (odd
    rounds): 12 and 52 ms, which is 40 more; 41 in round 5 and 39 in round 9: 39, 40 (28 times), 41, whose median is 40.
    Both together: (20 + 40) / 2 = 30.

    An interval of a median is that of its draws. For a draw to have another median than 20, half of its 30 plain rounds
    would have to be copies of two of them, which no draw of two thousand is: the ends are 20 and 20; and so are 40 and
    30. Of 100 ms all are below, of 25 ms the plain one alone.
    """
    wide, narrow = (printed("overhead")["checks"][name] for name in ("overhead", "overhead-of-25"))
    assert wide["estimates"] == {
        "median": {"value": 30.0, "low": 30.0, "high": 30.0},
        "median_plain": {"value": 20.0, "low": 20.0, "high": 20.0},
        "median_streamed": {"value": 40.0, "low": 40.0, "high": 40.0},
    }
    assert set(wide["cases"].values()) == {"passed"}
    assert narrow["cases"] == {"median": "failed", "median_plain": "passed", "median_streamed": "failed"}


def test_the_answers_by_hand() -> None:
    """vLLM says "a crow" twice, LiteLLM as well; then vLLM says "the Inn" twice, and LiteLLM "the Ill": not equal.

    The two answers of vLLM differ from one another. Of 10 requests 10 arrived, which is each once; of the next 10 only
    9, so that one was lost.
    """
    told = {name: each["verdict"] for name, each in printed("answers")["checks"].items()}
    assert told == {
        "equal-answers": "failed",
        "answers-differ": "passed",
        "each-once": "passed",
        "none-lost": "failed",
    }
    assert printed("answers")["exit_status"] == 10
