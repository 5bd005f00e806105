"""What `signoff parity` says before it starts anything, and of two matrices."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from doubles.faulty_gateway import Tampering, drop, put
from signoff.cli import main
from signoff.cluster.embedded.images import Images
from signoff.commands import parity
from signoff.core.errors import SignoffError
from signoff.core.paths import cache_dir
from signoff.evidence import Evidence, read
from signoff.evidence.models import End, Note, ParityMatrix, Run, SetUpFailure
from signoff.parity import cases
from signoff.parity.matrix import matrix
from signoff.parity.matrix import read as matrix_in
from signoff.parity.runner import Observation
from signoff.parity.verdict import judge, matrix_of
from signoff.report import parity as page
from signoff.settings import read as read_settings
from signoff.settings.shown import record
from signoff.verdicts import Code, Value
from tests.parity_bench import NOTHING_KNOWN, Bench

CASES = Path(__file__).parent.parent / "parity" / "cases"
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
    settings = {"now": record(read_settings({})), "next": record(read_settings({"namespace": ["ai"]}))}
    for name, tampering in (("now", Tampering()), ("next", Tampering(body=drop("usage")))):
        results = bench.ask("chat.plain/*", tampering=tampering)
        (tmp_path / name).mkdir()
        made = matrix(results, NOTHING_KNOWN, version=name, image="i", seconds=1, settings=settings[name])
        page.save(made, tmp_path / name)
    assert main(["parity", "diff", str(tmp_path / "now"), str(tmp_path / "next")]) == 1
    told = capsys.readouterr().out
    assert "newly broken      chat.plain/plain/hosted_vllm: equal -> defect\n" in told
    assert "+ lost body.usage in 1 run\n" in told
    assert told.count("not the story's") == 1
    assert f"{tmp_path / 'next'}: not the story's: namespace = ai, by --namespace ai; the story's is ml\n" in told
    assert told.endswith("1 newly broken\n")
    assert main(["parity", "diff", str(tmp_path / "next"), str(tmp_path / "now")]) == 0
    assert "1 fixed" in capsys.readouterr().out


@dataclass
class Asked:
    """What is asked of both sides: nothing but the doubles, instead of a cluster."""

    observed: list[Observation]

    def __call__(
        self, chosen: object, choice: object, manifests: object, evidence: Evidence
    ) -> tuple[list[Observation], float]:
        evidence.add(Note(text="the doubles were asked"))
        return self.observed, 1.0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked([])
    monkeypatch.setattr(parity, "_observe", asked)
    return asked


def test_the_evidence_of_a_matrix_holds_the_settings_and_whoever_draws_it_again_names_them(
    bench: Bench, asked: Asked, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked.observed = [each.observation for each in bench.ask("chat.plain/*")]
    folder = str(tmp_path / "run")
    command = ["parity", "--cases", str(CASES), "--only", "chat.plain/*", "--out", folder]
    main([*command, "--allowed-nodes", "k3s-worker-01"])
    told = capfd.readouterr()
    named = "not the story's: allowed_nodes = k3s-worker-01, by --allowed-nodes k3s-worker-01; "
    assert named in told.err and named in told.out
    main(["report", folder])
    assert "; allowed_nodes is not the story's\n" in capfd.readouterr().out
    assert main(["verify", folder]) == 0


def test_what_is_known_is_known_of_the_model_of_the_settings(
    bench: Bench, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (bench.backend, bench.faulty_gateway, bench.sides):
        monkeypatch.setattr(each, "model", "org/own")
    tampering = Tampering(body=put("model", "hosted_vllm/org/own"))
    asked.observed = [each.observation for each in bench.ask("chat.plain/plain/*", tampering=tampering)]
    folder = tmp_path / "run"
    command = ["parity", "--cases", str(CASES), "--only", "chat.plain/plain/*", "--out", str(folder)]
    main([*command, "--model", "org/own"])
    (run,) = matrix_in(folder)["runs"]
    assert [(each["path"], each["known"]) for each in run["differences"]] == [("body.model", "model-echo-prefixed")]


def test_a_text_names_the_model_of_the_settings_to_both_sides() -> None:
    run, *_ = cases.runs(cases.load(), ["errors.bad-json/*"])
    text = '{"model": "org/own", "messages": ['
    assert (run.body("org/own"), run.body("hosted_vllm-3", "org/own")) == (text, text)


@pytest.mark.parametrize(
    ("judged", "idle", "status", "told"),
    [(0, 4, 1, "no run with the story's settings was judged"), (9, 1, 1, "1 of 10 runs"), (39, 1, 0, "gate passed")],
)
def test_a_matrix_that_proves_too_little_does_not_pass(
    judged: int, idle: int, status: int, told: str,
    bench: Bench, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (good,), (vacuous,) = bench.ask("chat.plain/plain/*"), bench.ask("chat.tool/*")
    asked.observed = [good.observation] * judged + [vacuous.observation] * idle
    assert main(["parity", "--out", str(tmp_path / "run"), "--cases", str(CASES)]) == status
    assert told in capsys.readouterr().out
    verdict = judge(read(tmp_path / "run"))
    assert verdict.code is (Code.PROVES_NOTHING if status else Code.AS_WANTED)


def test_a_gate_that_fails_fails_the_matrix(
    bench: Bench, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.observed = [
        each.observation for each in bench.ask("chat.plain/plain/*", tampering=Tampering(body=drop("usage")))
    ]
    assert main(["parity", "--out", str(tmp_path / "run"), "--cases", str(CASES)]) == 1
    assert "not passed: the gate fails: " in capsys.readouterr().out
    assert judge(read(tmp_path / "run")).value is Value.FAILED


@pytest.mark.parametrize("arguments", [["--only", "chat.plain"], ["--cases", str(CASES)]])
def test_a_part_of_the_matrix_cannot_tell_that_a_defect_is_fixed(
    arguments: list[str], bench: Bench, asked: Asked, tmp_path: Path
) -> None:
    asked.observed = [each.observation for each in bench.ask("chat.plain/plain/*")]
    main(["parity", "--out", str(tmp_path / "run"), *arguments])
    (recorded,) = read(tmp_path / "run").of(ParityMatrix)
    assert not recorded.whole


def test_what_was_asked_is_in_evidence_from_which_all_follows_again(
    bench: Bench, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    asked.observed = [each.observation for each in bench.ask("chat.plain/*")]
    assert main(["parity", "--out", str(out), "--cases", str(CASES)]) == 0
    recorded = read(out)
    assert recorded.run.tool == "parity" and recorded.run.commit
    assert [type(line.record) for line in recorded.lines] == [Run, Note, ParityMatrix, End]
    (matrix_record,) = recorded.of(ParityMatrix)
    assert matrix_record.calls_file.name == "calls.json"
    assert (out / page.FILE).read_text() == page.as_json(matrix_of(recorded))
    assert main(["verify", str(out)]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / page.FILE).write_text("{}")
    (out / page.PAGE).unlink()
    assert main(["verify", str(out)]) == 1
    assert main(["report", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    capsys.readouterr()
    (out / "calls.json").write_text((out / "calls.json").read_text().replace("chatcmpl", "chatcmpL", 1))
    assert main(["report", str(out)]) == 1
    assert "calls.json is not the file that the evidence names" in capsys.readouterr().err


def test_a_folder_that_holds_a_run_is_refused(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("evidence.jsonl", "parity.json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("{}")
        assert main(["parity", "--out", str(tmp_path / name)]) == 4
        told = capsys.readouterr().err
        assert f"a run's {name} is there already" in told and f"--out {tmp_path / name}" in told
        assert [path.name for path in (tmp_path / name).iterdir()] == [name]


def test_what_ended_a_matrix_is_in_its_evidence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise SignoffError("no cluster", where="port 6443")

    monkeypatch.setattr(parity, "_observe", fail)
    assert main(["parity", "--out", str(tmp_path / "run")]) == 1
    recorded = read(tmp_path / "run")
    (failure,) = recorded.of(SetUpFailure)
    assert failure.where == "port 6443" and "no cluster" in failure.cause.what
    assert isinstance(recorded.lines[-1].record, End)
    assert main(["report", str(tmp_path / "run")]) == 1
    assert "the evidence holds no parity matrix" in capsys.readouterr().err
