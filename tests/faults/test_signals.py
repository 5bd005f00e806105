"""Ctrl-C, SIGTERM, with which CI cancels, and `kill -9`: exit status, words, and what is left behind."""

import os
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from signoff import report
from signoff.cluster.embedded.binaries import KUBERNETES
from signoff.evidence import read
from signoff.judges.run import Result, State
from tests.bdd.conftest import MANIFESTS, Project
from tests.forks import Ended, Fork, Interpreter, appears

POLITE = pytest.mark.parametrize("number", [SIGINT, SIGTERM], ids=["ctrl-c", "sigterm"])


def ended(process: Fork, number: Signals) -> Ended:
    """How a process ends that is sent this signal."""
    process.send_signal(number)
    return process.wait()


# pytest features/


@POLITE
def test_a_run_that_is_interrupted_leaves_its_report(project: Project, temporary: Path, number: Signals) -> None:
    project.scenarios("First: Then it is fine", "Second: Then it takes for ever")
    process = project.start()
    appears(project.folder / "waiting")
    done = ended(process, number)
    assert done.status == 2, done.said
    assert "not a sign-off" in done.said
    assert "Traceback" not in done.said
    (run_dir,) = (project.folder / "reports").iterdir()
    assert "ot a sign-off" in (run_dir / "signoff.md").read_text()
    assert not list(temporary.iterdir())


def test_a_second_signal_does_not_disturb_the_end(project: Project) -> None:
    project.write("slow_end.py", SLOW_END)
    project.replace("conftest.py", '"words"', '"words", "slow_end"')
    project.scenarios("First: Given a slow end; Then it takes for ever")
    process = project.start()
    appears(project.folder / "waiting")
    process.send_signal(SIGINT)
    appears(project.folder / "ending")
    done = ended(process, SIGTERM)
    assert done.status == 2, done.said
    assert "ending already" in done.said
    assert "Traceback" not in done.said
    assert (project.folder / "ended").exists()
    (run_dir,) = (project.folder / "reports").iterdir()
    assert (run_dir / "signoff.html").exists()


SLOW_END = """
import pathlib, time, pytest
from pytest_bdd import given

@pytest.fixture(scope="session")
def ending():
    yield
    pathlib.Path("ending").touch()
    time.sleep(2)
    pathlib.Path("ended").touch()

@given("a slow end")
def slow_end(ending):
    pass
"""


@POLITE
def test_a_signal_while_it_still_imports_ends_it_without_a_word(project: Project, number: Signals) -> None:
    project.write("words.py", "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(60)\n")
    process = project.start()
    appears(project.folder / "importing")
    assert ended(process, number) == Ended(128 + number, "", "")
    assert not (project.folder / "reports").exists()


def test_kill_9_leaves_evidence_from_which_the_report_can_be_drawn(project: Project, temporary: Path) -> None:
    project.scenarios("First: Then it is fine", "Second: Then it takes for ever")
    process = project.start()
    appears(project.folder / "waiting")
    ended(process, SIGKILL)
    (run_dir,) = (project.folder / "reports").iterdir()
    result = Result(read(run_dir))
    states = {each.planned.name: each.state for each in result.scenarios}
    assert (states["First"], states["Second"]) == (State.PASSED, State.NOT_RUN)
    assert not result.signed_off
    report.write(result)
    assert "ot a sign-off" in (run_dir / "signoff.md").read_text()
    assert not list(temporary.iterdir())


# signoff prepare


GO = """#!/bin/sh
# A double of Go that is busy until it is killed.
[ "$1" = env ] && { printf 'go1.26.1\\nlocal\\n'; exit; }
mktemp -d "${GOTMPDIR:-$TMPDIR}/go-build.XXXX" > /dev/null
echo $$ > "$PIDS/new" && mv "$PIDS/new" "$PIDS/go"
exec sleep 60
"""
RECIPE = 'images = ["{image}"]\ntag = "(?P<version>.+)"\nversion = "1"\nentrypoint = ["true"]\n'


@pytest.fixture
def cache(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no way to releases, images that are made in a moment, and a Go that is busy for ever."""
    for name, image in (("litellm", "ghcr.io/berriai/litellm"), ("vllm", "vllm/vllm-openai-cpu")):
        recipe = tmp_path / "recipes" / name / "recipe.toml"
        recipe.parent.mkdir(parents=True)
        recipe.write_text(RECIPE.format(image=image))
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PIDS", str(tmp_path))
    monkeypatch.setenv("SIGNOFF_RECIPES", str(tmp_path / "recipes"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("SIGNOFF_KUBERNETES_BIN", raising=False)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def building(cache: Path, apart: Interpreter) -> Callable[[], Fork]:
    """Starts a `signoff prepare` that has come to build Kubernetes: without a way in, nothing else is built."""
    (cache.parent / "small.yaml").write_text(MANIFESTS)

    def start() -> Fork:
        process = apart.start(cache.parent, "signoff", "prepare", "--manifests", "small.yaml")
        appears(cache.parent / "go")
        return process

    return start


@POLITE
def test_a_build_that_is_interrupted_leaves_nothing(
    cache: Path, building: Callable[[], Fork], temporary: Path, number: Signals
) -> None:
    process = building()
    go = int((cache.parent / "go").read_text())
    done = ended(process, number)
    assert done.status == 128 + number, done.said
    assert "Traceback" not in done.said
    assert [each.name for each in (cache / "kubernetes").iterdir()] == [f"v{KUBERNETES}.lock"]
    assert not list(temporary.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(go, 0)


def test_what_a_killed_build_leaves_is_swept_by_the_next(
    cache: Path, building: Callable[[], Fork], temporary: Path
) -> None:
    ended(building(), SIGKILL)
    partial = cache / "kubernetes" / f"v{KUBERNETES}.partial"
    assert list(partial.rglob("go-build.*"))
    assert not list(temporary.iterdir())
    (cache.parent / "go").unlink()
    process = building()
    assert len(list(partial.rglob("go-build.*"))) == 1
    ended(process, SIGTERM)
    assert not partial.exists()
