"""The definitions of a way in's objects: each file with the checksum that is known here, else from its Go module."""

import hashlib
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from doubles.serving import running
from signoff.core.errors import SignoffError
from signoff.programs import crds, search
from tests.programs.conftest import Go

NOWHERE = "http://127.0.0.1:1"
TEXTS = {"a.yaml": "kind: A\n", "b.yaml": "kind: B\n"}
MODULE, VERSION, FOLDER = "github.com/some/project/v2", "2.1.0", "deploy/crds"


def quiet(_: str) -> None:
    """No progress."""


@pytest.fixture(autouse=True)
def published(nothing_at_hand: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with two files takes the place of the real ones."""
    files = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TEXTS.items()}
    project = crds._Published("some/project", MODULE, VERSION, FOLDER, files)
    monkeypatch.setattr(crds, "PUBLISHED", {"project.yaml": project})


def repository(texts: dict[str, str]) -> web.Application:
    """A double of the server that has the files of a project's repository."""
    app = web.Application()

    def add(name: str, text: str) -> None:
        async def serve(_: web.Request) -> web.Response:
            return web.Response(text=text)

        app.router.add_get(f"/some/project/v{VERSION}/{FOLDER}/{name}", serve)

    for name, text in texts.items():
        add(name, text)
    return app


def kinds(file: Path) -> list[str]:
    return [each["kind"] for each in yaml.safe_load_all(file.read_text())]


def test_the_files_of_a_project_are_downloaded_into_one() -> None:
    with running(repository(TEXTS)) as url:
        (found,) = search.find(crds.recipe(url), quiet).values()
    assert (found.name, kinds(found)) == ("project.yaml", ["A", "B"])
    assert list(search.find(crds.recipe(NOWHERE), quiet).values()) == [found]


def test_other_pins_are_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = crds.recipe().folder
    monkeypatch.setattr(crds, "PUBLISHED", {})
    assert crds.recipe().folder != before


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    with running(repository({**TEXTS, "b.yaml": "kind: C\n"})) as url, pytest.raises(SignoffError, match="checksum"):
        search.find(crds.recipe(url), quiet)
    assert not list((tmp_path / "cache").rglob("*.yaml"))


def test_without_the_repository_they_come_from_the_module_and_that_is_said(go: Go) -> None:
    go.publish(MODULE, f"v{VERSION}", {f"{FOLDER}/{name}": text for name, text in TEXTS.items()})
    said: list[str] = []
    (found,) = search.find(crds.recipe(NOWHERE), said.append).values()
    assert kinds(found) == ["A", "B"]
    assert any(each.endswith("building with Go") for each in said)
    assert go.asked == [f"mod download {MODULE}@v{VERSION}"]
    assert [each.name for each in found.parent.iterdir()] == ["project.yaml"]


def test_a_changed_file_of_the_module_is_refused(go: Go) -> None:
    go.publish(MODULE, f"v{VERSION}", {f"{FOLDER}/{name}": f"{text}\n" for name, text in TEXTS.items()})
    with pytest.raises(SignoffError, match=r"a.yaml is not the file that is known here"):
        search.find(crds.recipe(NOWHERE), quiet)


def test_without_either_the_error_names_the_folder_that_could_have_them() -> None:
    with pytest.raises(SignoffError, match="can be neither downloaded nor built") as caught:
        search.find(crds.recipe(NOWHERE), quiet)
    assert f"put the files project.yaml into a folder and name it in {crds.FOLDER_VARIABLE}" in caught.value.hint
