"""The order of search: the named folder, the cache, the download, the build; what is half made is never found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from signoff.core.errors import SignoffError
from signoff.programs.search import Progress, Recipe, Unavailable, find

Way = Callable[[Path, Progress], None]


def quiet(_: str) -> None:
    """No progress."""


def closed(folder: Path, progress: Progress) -> None:
    raise Unavailable("closed")


def makes(text: str) -> Way:
    def make(folder: Path, progress: Progress) -> None:
        (folder / "tool").write_text(text)
        (folder / "tool").chmod(0o755)

    return make


def recipe(download: Way, build: Way) -> Recipe:
    return Recipe("Tool v1", "tool/v1", ("tool",), "TOOL_BIN", "Tool v1", (1, 25), 1, 1, download, build)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TOOL_BIN", raising=False)


def test_the_first_open_way_is_taken_and_kept() -> None:
    assert find(recipe(makes("a release"), makes("a build")), quiet)["tool"].read_text() == "a release"
    assert find(recipe(closed, closed), quiet)["tool"].read_text() == "a release"


def test_without_a_release_it_is_built_and_that_is_said() -> None:
    said: list[str] = []
    assert find(recipe(closed, makes("a build")), said.append)["tool"].read_text() == "a build"
    assert said == ["no download (closed): building with Go"]


def test_a_named_folder_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    makes("mine")(tmp_path, quiet)
    monkeypatch.setenv("TOOL_BIN", str(tmp_path))
    assert find(recipe(makes("a release"), closed), quiet)["tool"].read_text() == "mine"


def test_what_broke_off_half_way_is_not_found(tmp_path: Path) -> None:
    def breaks_off(folder: Path, progress: Progress) -> None:
        makes("half")(folder, progress)
        raise SignoffError("the checksum differs")

    with pytest.raises(SignoffError, match="checksum"):
        find(recipe(breaks_off, closed), quiet)
    assert not list((tmp_path / "cache").rglob("tool/v1*/tool"))


def test_no_room_is_said_before_anything_is_fetched() -> None:
    with pytest.raises(SignoffError, match=r"building Tool v1 needs 1e\+12 GB of disk"):
        find(replace(recipe(closed, makes("a build")), build_space=1e21), quiet)
