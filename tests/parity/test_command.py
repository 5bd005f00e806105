"""What `signoff parity` says before it starts anything, and of two matrices."""

from pathlib import Path

import pytest

from signoff.cli import main
from signoff.cluster.embedded.images import Images
from signoff.parity import command
from signoff.parity.matrix import Matrix, matrix
from signoff.paths import cache_dir
from signoff.report import parity as page
from tests.doubles.liar import Lie, drop
from tests.parity.conftest import NOTHING_KNOWN, Bench

CASES = Path(__file__).parent / "cases"
LITELLM = "ghcr.io/berriai/litellm"


@pytest.mark.parametrize("tag", ["main-v1.80.9-nightly", "sha-abcdef0", "v1.80"])
def test_a_tag_that_names_no_release_is_refused_at_once(tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "--image", f"{LITELLM}:{tag}"]) == 4
    told = capsys.readouterr().err
    for expected in (tag, "names no version", "1.80.16", "nightly", "kind"):
        assert expected in told


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v1.80.5.rc.2", "1.80.5.rc.2"), ("1.106.0-rc.1", "1.106.0-rc.1"), ("main-v1.80.16-stable", "1.80.16")],
)
def test_candidates_and_releases_name_a_version(tag: str, version: str) -> None:
    assert Images(cache_dir()).find(f"{LITELLM}:{tag}")[1] == version


def test_a_diff_says_what_became_of_each_run_and_what_they_have_in_common(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lie in (("now", Lie()), ("next", Lie(body=drop("usage")))):
        results = bench.ask("chat.plain/*", lie=lie)
        (tmp_path / name).mkdir()
        page.save(matrix(results, NOTHING_KNOWN, version=name, image="i", seconds=1), tmp_path / name)
    assert main(["parity", "diff", str(tmp_path / "now"), str(tmp_path / "next")]) == 1
    told = capsys.readouterr().out
    assert "newly broken      chat.plain/plain/hosted_vllm: equal -> defect\n" in told
    assert "+ lost body.usage in 1 run\n" in told
    assert told.endswith("1 newly broken\n")
    assert main(["parity", "diff", str(tmp_path / "next"), str(tmp_path / "now")]) == 0
    assert "1 fixed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("judged", "idle", "status", "told"),
    [(0, 4, 1, "no run with the story's settings was judged"), (9, 1, 1, "1 of 10 runs"), (39, 1, 0, "gate passed")],
)
def test_a_matrix_that_proves_too_little_does_not_pass(
    judged: int, idle: int, status: int, told: str,
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (good,), (vacuous,) = bench.ask("chat.plain/plain/*"), bench.ask("chat.tool/*")
    results = [good] * judged + [vacuous] * idle
    made = matrix(results, NOTHING_KNOWN, version="1.80.16", image="i", seconds=1)
    monkeypatch.setattr(command, "_observe_and_judge", lambda *_, **__: made)
    assert main(["parity", "--out", str(tmp_path)]) == status
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--only", "chat.plain"], ["--cases", str(CASES)]])
def test_a_part_of_the_matrix_cannot_tell_that_a_defect_is_fixed(
    arguments: list[str], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = matrix(bench.ask("chat.plain/plain/*"), NOTHING_KNOWN, version="1.80.16", image="i", seconds=1)
    told: list[bool] = []

    def observe(*_: object, whole: bool) -> Matrix:
        told.append(whole)
        return made

    monkeypatch.setattr(command, "_observe_and_judge", observe)
    assert main(["parity", "--out", str(tmp_path), *arguments]) == 0
    assert told == [False]
