"""What a run ends with follows from its evidence alone; whatever happens, its folder says what was seen."""

import json
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest

from signoff import report
from signoff.evidence.models import Disturbance, Found, Note, Plan, ScenarioEnd, SetUpFailure, UnderTest
from signoff.judges.run import State
from tests.bdd.conftest import Project


def test_a_run_is_signed_off_when_every_check_has_passed(project: Project) -> None:
    done = project.run()
    assert done.status == 0, done.output
    assert "Signed off: every criterion passed" in done.output
    for name in ("evidence.jsonl", "junit.xml", "verdict.json", *report.PAGES):
        assert (done.run_dir / name).stat().st_size > 0
    verdict = json.loads((done.run_dir / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_status"]) == ("signed off", 0)
    assert verdict["checks"]["outside"]["verdict"] == "outside reach"
    assert verdict["requirements"]["task 1"]["verdict"] == "documents only"
    (under_test,) = done.records(UnderTest)
    assert under_test.gateway == Found(name="Deployment/litellm", namespace="ml", where="small.yaml:7")
    assert verdict["under_test"]["asked_model"]["name"] == "m"
    (plan,) = done.records(Plan)
    assert [each.checks for each in plan.scenarios] == [
        ["fine"],
        ["plain-and-streamed"],
        ["plain-and-streamed"],
        ["enough"],
    ]


def test_a_failed_check_fails_its_criterion_and_keeps_a_bundle(project: Project) -> None:
    project.scenarios("First: Given a bundle; Then it is not fine", "Second: Then it is fine")
    done = project.run()
    assert done.status == 10
    assert "AC1     failed" in done.output
    assert "expected True, got False" in done.output
    assert "the moon" in done.output
    first, second = done.scenario("First"), done.scenario("Second")
    assert (first.state, second.state) == (State.FAILED, State.PASSED)
    assert "the moon" in (done.run_dir / first.end.bundle).read_text()
    assert second.end.bundle == ""


def test_what_cannot_be_judged_is_inconclusive_and_never_passes(project: Project) -> None:
    project.scenarios("First: Then vLLM does not answer")
    done = project.run()
    assert done.status == 11
    assert "AC1     inconclusive" in done.output
    assert "inconclusive: no answer" in done.output
    assert "Traceback" not in done.output


API_STEPS = """
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ProtocolError

@then("the API server fails")
@observes("fine")
def fails():
    raise ApiException(status=503, reason="Service Unavailable")

@then("the API server hangs up")
@observes("fine")
def hangs_up():
    raise ProtocolError("Connection aborted.")
"""


@pytest.mark.parametrize(
    ("step", "told"),
    [("the API server fails", "503 Service Unavailable"), ("the API server hangs up", "Connection aborted.")],
)
def test_an_api_server_that_fails_in_mid_run_is_the_clusters_doing_and_no_traceback(
    project: Project, step: str, told: str
) -> None:
    project.write("words.py", project.read("words.py") + API_STEPS)
    project.scenarios(f"First: Given a start; Then {step}")
    done = project.run()
    assert f"inconclusive: the Kubernetes API failed: {told}" in done.output
    assert "Traceback" not in done.output
    assert "words.py:" not in done.output


def test_an_error_of_the_gateway_is_its_failure(project: Project) -> None:
    project.scenarios("First: Then LiteLLM does not answer")
    done = project.run()
    assert done.status == 10
    assert "AC1     failed" in done.output
    assert done.records(SetUpFailure) == []


def test_a_second_case_without_an_answer_is_its_failure_too(project: Project) -> None:
    project.scenarios("First: Then it is fine; Then LiteLLM does not answer")
    done = project.run()
    assert done.status == 10
    assert done.result.checks["fine"].value == "failed"


def test_an_error_of_the_suite_is_not_held_against_the_gateway(project: Project) -> None:
    project.scenarios("First: Then the step is wrong")
    done = project.run()
    assert done.status == 11
    assert "the suite itself failed: ZeroDivisionError: division by zero" in done.output


@pytest.mark.parametrize("step", ["it is not fine", "LiteLLM does not answer"])
def test_around_a_disturbance_nothing_is_held_against_the_gateway(project: Project, step: str) -> None:
    project.scenarios(f"First: Given a disturbance; Then {step}")
    done = project.run()
    assert done.status == 11
    told = "vLLM ended: killed (exit code 137)"
    assert f"inconclusive: {told}" in done.output
    (disturbance,) = done.records(Disturbance)
    assert disturbance.cause.what == told
    assert told in (done.run_dir / "junit.xml").read_text()
    for page in report.PAGES:
        assert told in (done.run_dir / page).read_text()


def test_a_lacking_capability_skips_the_scenario_by_name_and_never_passes(project: Project) -> None:
    project.scenarios("@needs-cordon First: Then it is fine")
    project.replace("features/two.feature", "  Scenario: Enough", "  @needs-gpu\n  Scenario: Enough")
    done = project.run()
    assert done.status == 1
    assert done.scenario("First").state is State.PASSED
    assert (done.scenario("Enough").state, done.scenario("Enough").reason) == (State.SKIPPED, "the cluster lacks gpu")
    assert "the cluster lacks gpu" in done.output


def test_a_part_is_quick_and_no_sign_off(project: Project) -> None:
    done = project.run("features/two.feature")
    assert done.status == 1
    assert "Judged 1 of 3 checks, 1 passed; not a sign-off" in done.output
    assert "checks not judged" in done.output.splitlines()[-1]
    assert done.scenario("First").state is State.NOT_RUN


def test_a_failed_set_up_is_said_once_without_a_traceback_and_leaves_a_report(project: Project) -> None:
    project.scenarios("First: Given a broken set-up; Then it is fine", "Second: Given a broken set-up; Then it is fine")
    done = project.run()
    assert done.status == 11
    assert "no cluster\n  where: port 6443\n  next:  free it" in done.output.replace("E   ", "")
    assert "Traceback" not in done.output
    (failure,) = done.records(SetUpFailure)
    assert failure.where == "port 6443"
    assert "no cluster" in (done.run_dir / "signoff.html").read_text()


def test_the_set_up_of_all_is_not_the_first_scenarios_time(project: Project) -> None:
    project.scenarios("First: Given a slow start; Then it is fine")
    done = project.run()
    (end,) = [each for each in done.records(ScenarioEnd) if each.id.endswith("test_first")]
    assert end.seconds < 0.5
    cases = ElementTree.parse(done.run_dir / "junit.xml").iter("testcase")
    assert float(next(each for each in cases if each.get("name") == "test_first").get("time", "9")) < 0.5


def test_without_git_a_run_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.folder))
    done = project.run()
    assert done.status == 0, done.output
    assert done.evidence.run.commit == "nogit"


def test_features_further_down_are_judged_too(project: Project) -> None:
    assert "Signed off: every criterion passed" in project.run(".").output


def test_a_failure_names_its_step(project: Project) -> None:
    project.scenarios("First: Given a start; Then the plain one is fine; Then it is not fine")
    (end,) = [each for each in project.run().records(ScenarioEnd) if each.end == "judged"]
    assert end.step == "it is not fine"


@pytest.mark.parametrize(
    ("step", "headline"),
    [
        ("vLLM does not answer", "inconclusive: no answer"),
        ("it is not fine", "FAILED"),
        ("LiteLLM does not answer", "no answer"),
    ],
)
def test_what_cannot_be_undone_after_a_failure_is_told_beside_it(project: Project, step: str, headline: str) -> None:
    project.scenarios("First: Given a change that cannot be undone; Then " + step)
    done = project.run()
    assert "the node stays cordoned" in done.output
    assert headline in done.output
    (end,) = [each for each in done.records(ScenarioEnd) if each.step]
    assert end.step == step
    assert "cordoned" not in (end.cause.what if end.cause else "")
    assert [each.text.partition(": ")[2] for each in done.records(Note)] == ["the node stays cordoned"]


def test_secrets_do_not_reach_the_evidence(project: Project) -> None:
    project.scenarios("First: Given a secret in the evidence; Then it is fine")
    (note,) = project.run().records(Note)
    assert note.text == "[redacted] and [redacted]"


def test_reports_that_cannot_be_written_end_the_run_before_it_starts(project: Project) -> None:
    project.write("reports", "a file, not a folder")
    done = project.run()
    assert done.status == 4
    assert "the report's folder cannot be written" in done.output
    assert "--reports" in done.output


def test_too_few_pairs_are_refused(project: Project) -> None:
    done = project.run("features", "--overhead-pairs", "3")
    assert done.status == 4
    assert "at least 20" in done.output
    assert not (project.folder / "reports").exists()


def test_the_verdict_stands_in_junits_file(project: Project) -> None:
    done = project.run("features/two.feature")
    properties = ElementTree.parse(done.run_dir / "junit.xml").iter("property")
    assert {each.get("name"): each.get("value") for each in properties}["verdict"] == done.result.headline


def test_junits_file_is_written_below_folders_that_are_not_there_yet_and_needs_no_temporary_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    done = project.run("features", "-s", "--junitxml", "ci/of this/junit.xml")  # -s: capturing takes one
    assert done.status == 0, done.output
    assert ElementTree.parse(project.folder / "ci" / "of this" / "junit.xml").getroot().tag == "testsuites"
    assert "generated xml file:" in done.output
    assert [path.name for path in (project.folder / "ci" / "of this").iterdir()] == ["junit.xml"]


def test_junits_file_that_cannot_be_written_is_one_sentence_beside_the_verdict(project: Project) -> None:
    project.write("ci", "a file, not a folder")
    done = project.run("features", "--junitxml", "ci/junit.xml")
    assert "INTERNALERROR" not in done.output
    assert "junit.xml cannot be written: " in done.output
    assert "name another file with --junitxml" in done.output
    assert done.status == 0, "the verdict's, whatever becomes of its copies"
    assert "generated xml file" not in done.output
    assert done.result.headline in done.output


def test_what_another_plug_in_fails_of_at_the_end_is_not_taken_for_junits_file(project: Project) -> None:
    project.write(
        "conftest.py",
        """
pytest_plugins = ["signoff.bdd.plugin", "words"]

def pytest_sessionfinish():
    raise ConnectionRefusedError("nobody collects the results")
""",
    )
    done = project.run()
    assert "ConnectionRefusedError: nobody collects the results" in done.output
    assert "junit.xml cannot be written" not in done.output
    assert done.status != 0
    assert ElementTree.parse(done.run_dir / "junit.xml").getroot().tag == "testsuites"


# Settings


def test_a_setting_that_is_not_the_storys_is_recorded_and_named(project: Project) -> None:
    project.write("signoff.toml", "overhead_limit_ms = 500\napi_key = 'sk-the-key-of-this-house'\n")
    project.replace("features/story.yaml", "judge: at-most, wants: 3", "judge: at-most, wants: $num_retries")
    done = project.run("features", "--num-retries", "3")
    assert done.status == 0, done.output
    assert "Signed off: every criterion passed; num_retries = 3 and overhead_limit_ms = 500 are not the" in done.output
    run = done.evidence.run
    assert run.settings["overhead_limit_ms"] == {"value": 500.0, "origin": "signoff.toml:1", "story": 100.0}
    assert run.settings["num_retries"] == {"value": 3, "origin": "--num-retries 3", "story": 2}
    assert run.settings["api_key"] == {"value": "[redacted]", "origin": "signoff.toml:2"}
    assert run.story is not None and run.story["checks"]["enough"]["wants"] == 3
    for file in done.run_dir.rglob("*"):
        assert not file.is_file() or b"the-key-of-this-house" not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("settings", "wants", "told"),
    [
        ("namespce = 'ai'", "3", "there is no setting 'namespce'; did you mean 'namespace'?"),
        ("port = 0", "3", "port must be at least 1"),
        ("port = 1", "$num_retrys", "there is no setting $num_retrys; did you mean 'num_retries'?"),
        ("port = 1", "$labels", "the judge 'at-most' needs wants as int | float"),
    ],
)
def test_what_is_wrong_with_settings_is_refused_before_anything_is_written(
    project: Project, settings: str, wants: str, told: str
) -> None:
    project.write("signoff.toml", settings)
    project.replace("features/story.yaml", "judge: at-most, wants: 3", f"judge: at-most, wants: {wants}")
    done = project.run()
    assert done.status == 4
    assert told in done.output
    assert not (project.folder / "reports").exists()


# Waivers


def test_a_waived_check_stands_in_the_headline_and_on_every_page(project: Project) -> None:
    project.replace("features/story.yaml", "[fine, plain-and-streamed]", "[fine, plain-and-streamed, later]")
    project.replace(
        "features/story.yaml",
        "checks:\n  fine:",
        "checks:\n  later: {text: it comes, judge: equals, wants: 1, pending: not yet}\n  fine:",
    )
    assert project.run().status == 1
    (project.folder / "reports").rename(project.folder / "before")
    done = project.run("features", "--waive", "later=no time for it")
    assert done.status == 0, done.output
    assert "Signed off; 1 check waived" in done.output
    for page in report.PAGES:
        assert "no time for it" in (done.run_dir / page).read_text()


def test_a_waived_check_that_fails_hinders_nothing_and_all_say_the_same(project: Project) -> None:
    project.scenarios("First: Then it is not fine")
    done = project.run("features", "--waive", "fine=it is known not to be")
    assert done.status == 0, done.output
    assert "Signed off; 1 check waived" in done.output
    verdict = json.loads((done.run_dir / "verdict.json").read_text())
    assert (verdict["exit_status"], verdict["checks"]["fine"]["verdict"]) == (0, "failed")


@pytest.mark.parametrize(
    ("waivers", "told"),
    [
        (["fin=why not"], "no check is called 'fin'; did you mean 'fine'?"),
        (["fine"], "a waiver needs its reason"),
        (["fine="], "a waiver needs its reason"),
        (["fine=a", "fine=b"], "waived twice"),
        (["outside=no way"], "no waiver is needed"),
        (["fyne=a"], "no check is called 'fyne'; did you mean 'fine'?\n  where: --waive fyne=a"),
        (["enough=nobody counts"], "leave AC2 without a check"),
    ],
)
def test_a_waiver_that_is_none_is_refused_before_anything_is_written(
    project: Project, waivers: list[str], told: str
) -> None:
    done = project.run("features", *(argument for text in waivers for argument in ("--waive", text)))
    assert done.status == 4
    assert told in done.output
    assert not (project.folder / "reports").exists()


def test_a_waiver_that_was_not_needed_is_an_error(project: Project) -> None:
    done = project.run("features", "--waive", "fine=never mind")
    assert done.status == 4
    assert "Not signed off: the waiver of fine is not needed" in done.output


TELLING = """
from pathlib import Path
from signoff.kube import secrets

HUSH = "hush & 'hush-5"
Path("given.env").write_text("whatever=" + HUSH + "\\n")
secrets.read({"given": Path("given.env")}, "ml")

@pytest.fixture(scope="session")
def telling():
    raise RuntimeError("set-up: " + HUSH)

@given("a telling set-up")
def told_set_up(telling):
    pass

@given("it is printed")
def printed(request):
    print("printed", HUSH)
    watch_over(request.config, bundle=lambda error: "the moon\\n" + HUSH, disturbances=lambda: [])

@then("it is told")
@observes("fine")
def is_told(evidence):
    evidence.add(Note(text="noted " + HUSH))
    raise ZeroDivisionError("no answer to " + HUSH)
"""


def test_a_secret_that_was_read_is_in_nothing_that_a_run_leaves_or_says(project: Project) -> None:
    """Whatever repeats it: an error's traceback, what a program prints, a bundle, evidence, JUnit's file."""
    project.write("words.py", project.read("words.py") + TELLING)
    project.scenarios("First: Given it is printed; Then it is told", "Second: Given a telling set-up; Then it is fine")
    done = project.run()
    files = [path for path in done.run_dir.rglob("*") if path.is_file()]
    assert {"junit.xml", "evidence.jsonl", *report.PAGES} <= {path.name for path in files}
    for path in (done.run_dir / "junit.xml", *(done.run_dir / "bundles").glob("*test_first*")):
        assert b"[redacted]" in path.read_bytes()
    everything = done.output.encode() + b"".join(path.read_bytes() for path in files)
    for form in (b"'hush-5", b"hush-5", b"hush &"):
        assert form not in everything


def test_nor_is_it_in_an_error_of_pytests_own(project: Project) -> None:
    project.write("words.py", project.read("words.py") + TELLING)
    fails = "def pytest_runtest_logreport(report):\n    raise RuntimeError(words.HUSH)\n"
    project.write("conftest.py", f"{project.read('conftest.py')}\nimport words\n{fails}")
    done = project.run()
    assert "RuntimeError: [redacted]" in done.output
    junit = (done.run_dir / "junit.xml").read_text()
    assert "RuntimeError: [redacted]" in junit
    assert "hush-5" not in done.output + junit
