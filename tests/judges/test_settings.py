"""A run with values that are not the story's says so in its headline, whatever it ends with."""

import json
from pathlib import Path
from typing import Any

import pytest

from signoff import report
from signoff.evidence import Recorded
from signoff.evidence.models import Run
from signoff.judges.run import Result
from signoff.settings import read
from signoff.settings.shown import record
from tests.evidence import runs


def settings_of(given: dict[str, str]) -> dict[str, Any]:
    """What evidence says of these options."""
    return record(read({name: [text] for name, text in given.items()}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run in which everything passed."""
    return runs.whole_run(tmp_path_factory.mktemp("runs") / "whole").evidence


def result_with(whole: Recorded, given: dict[str, str]) -> Result:
    """The run with these options."""
    first, *others = whole.lines
    run = Run(**{**dict(whole.run), "settings": settings_of(given)})
    return Result(Recorded(whole.folder, [first.model_copy(update={"record": run}), *others]))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, ""),
        ({"overhead_pairs": "800", "manifests": "lab", "reports": "out", "cluster": "kind", "gateway": "x"}, ""),
        ({"overhead_limit_ms": "100"}, ""),
        ({"overhead_limit_ms": "500"}, "; overhead_limit_ms = 500 is not the story's"),
        ({"port": "8080", "namespace": "ai"}, "; namespace = ai and port = 8080 are not the story's"),
        ({"labels": "a=b", "timeout": "60"}, "; labels and timeout = 60 are not the story's"),
        (
            {"labels": "a=b", "timeout": "60", "port": "8080", "namespace": "ai"},
            "; namespace, labels, port and timeout are not the story's",
        ),
    ],
)
def test_the_headline_names_what_is_not_the_storys(whole: Recorded, given: dict[str, str], told: str) -> None:
    found = result_with(whole, given)
    assert found.headline == f"Signed off; 1 check waived{told}"
    assert ("not_the_storys" in found.to_record()) is bool(told)


def test_a_run_that_is_not_signed_off_names_it_too(tmp_path: Path) -> None:
    writer = runs.open_run(tmp_path / "run", {}, settings=record(read({"overhead_limit_ms": ["500"]})))
    runs.plan(writer, runs.OBSERVES)
    found = runs.finish(writer)
    assert found.headline.startswith("Judged 0 of ")
    assert found.headline.endswith("; not a sign-off; overhead_limit_ms = 500 is not the story's")


def test_it_stands_at_the_top_of_every_page_and_in_the_terminal(tmp_path: Path) -> None:
    given = {"overhead_limit_ms": "500", "allowed_nodes": "n1,n2", "overhead_pairs": "800"}
    found = runs.whole_run(tmp_path / "run", settings=settings_of(given))
    for page in report.PAGES:
        text = (found.evidence.folder / page).read_text(encoding="utf-8")
        top = text[: text.index("Story 14.1")]
        assert "Not judged by the story's own values" in top
        for word in ("overhead_limit_ms", "500", "--overhead-limit-ms 500", "100", "n1, n2", "k3s-worker-01"):
            assert word in top
        assert "--overhead-pairs 800" in text[len(top) :]
    lines = [line for line, _ in report.terminal_lines(found)]
    assert "not the story's: overhead_limit_ms = 500, by --overhead-limit-ms 500; the story's is 100" in lines
    assert lines[-2].endswith("; allowed_nodes and overhead_limit_ms = 500 are not the story's")
    verdict = json.loads((found.evidence.folder / report.VERDICT).read_text(encoding="utf-8"))
    assert verdict["not_the_storys"]["overhead_limit_ms"] == {"value": "500", "story": "100"}


@pytest.mark.parametrize(
    "former",
    [
        {},
        {"cluster": "embedded", "overhead_pairs": 400},
        {"port": {"value": 4000, "origin": "the story"}},
    ],
)
def test_evidence_without_them_reads_as_before(tmp_path: Path, former: dict[str, Any]) -> None:
    assert runs.whole_run(tmp_path / "run", settings=former).headline == "Signed off; 1 check waived"
