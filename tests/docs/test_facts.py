"""What the documents say of the project's shape is so."""

import re

import pytest

from signoff.core.paths import ROOT
from tests.docs.pages import DOCS, PAGES, Page
from tests.test_architecture import LAYERS

FOLDERS = (
    "signoff",
    "steps",
    "features",
    "bench",
    "scripts",
    "doubles",
    "tests",
    "manifests",
    "docs",
    ".github",
    ".ci",
)
PATH = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*")
PATHS = [(page, code) for page in PAGES for code in page.code() if PATH.fullmatch(code)]
WALKS = ("a-scenario", "a-parity-case", "a-chart", "a-fault", "a-cluster-provider")
README_LINES = 150
WALK_LINES = 10


def test_the_readme_is_short() -> None:
    assert len(Page(ROOT / "README.md").text.splitlines()) <= README_LINES


def test_the_architecture_names_every_package_from_the_ground_up() -> None:
    named = re.findall(r"^\| `signoff\.(\w+)` \|", Page(DOCS / "architecture.md").text, re.MULTILINE)
    assert tuple(named) == LAYERS


@pytest.mark.parametrize(("page", "path"), PATHS, ids=str)
def test_a_file_that_is_named_is_there(page: Page, path: str) -> None:
    assert any(ROOT.glob(path)), f"{page} names {path}"


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_takes_ten_lines(walk: str) -> None:
    sections = re.split(r"^## ", Page(DOCS / "contributing.md").text, flags=re.MULTILINE)
    [found] = [each for each in sections if each.splitlines()[0].lower().replace(" ", "-") == walk]
    assert 1 < len([line for line in found.splitlines()[1:] if line.strip()]) <= WALK_LINES
