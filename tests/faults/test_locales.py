"""Paths with spaces and umlauts, and a locale that knows neither: all is written, read and printed as in any other."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signoff import report
from signoff.cli import main
from signoff.core.paths import MANIFESTS
from tests.bdd.conftest import Project
from tests.forks import Ended, Interpreter, interpreter

_POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python's standard encoding is ASCII then."""


Signoff = Callable[..., Ended]


@pytest.fixture(params=["of this machine", "POSIX"], scope="module", autouse=True)
def posix(request: pytest.FixtureRequest) -> Iterator[Interpreter | None]:
    """What runs programs in the POSIX locale; in that of this machine, this process does."""
    if request.param == "POSIX":
        with interpreter(_POSIX) as apart:
            yield apart
    else:
        yield None


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a space and an umlaut, and a cache with both in it."""
    folder = tmp_path_factory.mktemp("prüf stand")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path_factory.mktemp("der cäche")))
    return folder


@pytest.fixture
def elsewhere(project: Project, folder: Path, posix: Interpreter | None) -> Project:
    """The small project in such a folder, with a story that holds some too."""
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    moved = Project(folder, project.pytester, posix or project.interpreter, alone=posix is not None)
    moved.replace("features/story.yaml", "All is fine", "Alles ist gut für Ödön und Πλάτων")
    return moved


@pytest.fixture
def signoff(folder: Path, posix: Interpreter | None, capfd: pytest.CaptureFixture[str]) -> Signoff:
    """`signoff` with these arguments."""

    def run(*arguments: str) -> Ended:
        if posix:
            return posix.run(folder, "signoff", *arguments)
        capfd.readouterr()
        return Ended(main(list(arguments)), *capfd.readouterr())

    return run


def test_a_run_is_written_drawn_again_and_verified(elsewhere: Project, signoff: Signoff) -> None:
    done = elsewhere.run("features", "--junitxml", "für CI.xml")
    assert done.status == 0, done.output
    assert (elsewhere.folder / "für CI.xml").exists()
    pages = {page: (done.run_dir / page).read_bytes() for page in report.PAGES}
    assert all("für Ödön und Πλάτων" in page.decode() for page in pages.values())
    run = str(done.run_dir.relative_to(elsewhere.folder))
    assert signoff("report", run).status == 0
    assert pages == {page: (done.run_dir / page).read_bytes() for page in report.PAGES}
    verified = signoff("verify", run)
    assert (verified.status, verified.stderr) == (0, "")


@pytest.mark.parametrize("posix", ["POSIX"], indirect=True)  # tests/load does so in this machine's, which is easier
def test_what_would_be_deployed_is_printed(folder: Path, signoff: Signoff) -> None:
    shutil.copytree(MANIFESTS, folder / "für hier")
    printed = signoff("load", "--print", "--manifests", "für hier", "--reports", "meine läufe")
    assert printed.status == 0, printed.stderr
    assert "kind: ConfigMap" in printed.stdout
    assert [each.name for each in folder.iterdir()] == ["für hier"]


def test_a_sentence_names_the_path_as_it_is(signoff: Signoff) -> None:
    refused = signoff("prepare", "--manifests", "für hier")
    assert refused.status == 4
    assert refused.stderr.startswith("signoff: the folder of manifests is not there\n  where: für hier\n")


def test_a_scenario_whose_name_has_umlauts_is_judged(elsewhere: Project) -> None:
    elsewhere.replace("features/two.feature", "Scenario: Enough", "Scenario: Größe für Ödön")
    done = elsewhere.run("features")
    assert done.status == 0, done.output
    assert done.scenario("Größe für Ödön").state.value == "passed"
