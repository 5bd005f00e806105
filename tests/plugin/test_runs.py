"""A run passes only when every criterion has; whatever happens, its folder says what was seen."""

import os
import time
from pathlib import Path

import pytest

from signoff import report
from tests.plugin.conftest import INTERRUPT, KILL, Project


def test_a_run_passes_when_every_criterion_has(project: Project) -> None:
    project.scenarios("First: Given a start; Then it is fine")
    done = project.run()
    assert done.status == 0, done.output
    assert "Signed off: every criterion passed" in done.output
    for name in ("evidence.jsonl", "junit.xml", *report.PAGES):
        assert (done.run_dir / name).stat().st_size > 0
    (record,) = [each for each in done.records("scenario") if each["name"] == "First"]
    assert record["criteria"] == ["AC1"]
    assert record["outcome"] == "passed"


def test_a_failed_scenario_fails_its_criterion_and_keeps_a_bundle(project: Project) -> None:
    project.scenarios("First: Given a bundle; Then 1 equals 2", "Second: Then it is fine")
    done = project.run()
    assert done.status == 1
    assert "AC1    failed" in done.output
    assert "the moon" in done.output
    failed, passed = (each for each in done.records("scenario") if "AC1" in each["criteria"])
    assert failed["outcome"] == "failed"
    assert "the moon" in (done.run_dir / failed["bundle"]).read_text()
    assert passed["bundle"] == ""


def test_what_cannot_be_judged_is_inconclusive_and_never_passes(project: Project) -> None:
    project.scenarios("First: Then nobody can say")
    done = project.run()
    assert done.status == 1
    assert "AC1    inconclusive" in done.output
    assert "inconclusive: the sky is clouded" in done.output
    assert "Traceback" not in done.output


def test_a_lacking_capability_skips_the_scenario_by_name_and_never_passes(project: Project) -> None:
    project.scenarios("@needs-cordon First: Then it is fine", "@needs-gpu Second: Then it is fine")
    done = project.run()
    assert done.status == 1
    first, second = (each for each in done.records("scenario") if "AC1" in each["criteria"])
    assert first["outcome"] == "passed"
    assert (second["outcome"], second["reason"]) == ("skipped", "the cluster lacks gpu")
    assert "skipped Second: the cluster lacks gpu" in done.output


@pytest.mark.parametrize("arguments", [("features/one.feature",), ("features", "-k", "first")])
def test_a_partial_run_is_not_judged(project: Project, arguments: tuple[str, ...]) -> None:
    project.scenarios("First: Then it is fine")
    done = project.run(*arguments)
    assert done.status == 1
    assert "AC1    passed" in done.output
    assert "AC2    not judged" in done.output


def test_a_failed_set_up_is_said_once_without_a_traceback_and_leaves_a_report(project: Project) -> None:
    project.scenarios("First: Given a broken set-up", "Second: Given a broken set-up")
    done = project.run()
    assert done.status == 1
    assert "no cluster\n  where: port 6443\n  next:  free it" in done.output.replace("E   ", "")
    assert "Traceback" not in done.output
    (failure,) = done.records("setup-failure")
    assert failure["where"] == "port 6443"
    assert "The set-up failed at port 6443" in (done.run_dir / "signoff.html").read_text()


def test_without_git_a_run_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.folder))
    project.scenarios("First: Then it is fine")
    done = project.run()
    assert done.status == 0, done.output
    assert done.records("run")[0]["commit"] == "nogit"


def test_a_scenario_without_a_criterion_is_refused(project: Project) -> None:
    project.scenarios("First: Then it is fine", tags="")
    done = project.run()
    assert done.status == 4
    assert "belongs to no criterion" in done.output


def test_features_further_down_are_judged_too(project: Project) -> None:
    project.scenarios("First: Then it is fine")
    assert "Signed off: every criterion passed" in project.run(".").output


def test_a_failure_names_its_step(project: Project) -> None:
    project.scenarios("First: Given a start; Then it is fine; Then 1 equals 2")
    done = project.run()
    assert [each["step"] for each in done.records("scenario") if each["outcome"] == "failed"] == ["1 equals 2"]


def test_a_gateway_that_does_not_answer_is_no_failed_set_up(project: Project) -> None:
    project.scenarios("First: Then nobody answers")
    done = project.run()
    assert done.status == 1
    assert done.records("setup-failure") == []


def test_secrets_do_not_reach_the_evidence(project: Project) -> None:
    project.scenarios("First: Given a secret in the evidence")
    done = project.run()
    (note,) = done.records("note")
    assert (note["api_key"], note["text"]) == ("[redacted]", "[redacted]")
    assert note["headers"] == {"Authorization": "[redacted]"}


def test_reports_that_cannot_be_written_end_the_run_before_it_starts(project: Project) -> None:
    project.scenarios("First: Given a start")
    project.write("reports", "a file, not a folder")
    done = project.run()
    assert done.status == 4
    assert "the report's folder cannot be written" in done.output
    assert "--reports" in done.output


def test_too_few_pairs_are_refused(project: Project) -> None:
    project.scenarios("First: Given a start")
    done = project.run("features", "--overhead-pairs", "3")
    assert done.status == 4
    assert "at least 20" in done.output


def wait_for(path: Path) -> None:
    for _ in range(300):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")


def test_ctrl_c_leaves_a_report(project: Project) -> None:
    project.scenarios("First: Then it is fine", "Second: Then it takes for ever")
    process = project.start()
    wait_for(project.folder / "waiting")
    process.send_signal(INTERRUPT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2, output
    assert "not judged" in output
    (run_dir,) = (project.folder / "reports").iterdir()
    assert "Not signed off" in (run_dir / "signoff.md").read_text()


def test_kill_9_leaves_evidence_from_which_the_report_can_be_drawn(project: Project) -> None:
    project.scenarios("First: Then it is fine", "Second: Then it takes for ever")
    process = project.start()
    wait_for(project.folder / "waiting")
    os.kill(process.pid, KILL)
    process.communicate(timeout=30)
    (run_dir,) = (project.folder / "reports").iterdir()
    report.write(run_dir)
    text = (run_dir / "signoff.md").read_text()
    assert "| AC1 | First | passed" in text
    assert "| AC1 | Second | not run" in text
