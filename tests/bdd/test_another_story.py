"""Another story is another declaration with its features: the one of docs/story.md, run as it stands there."""

import re

import pytest

from signoff.core.paths import ROOT
from tests.bdd.conftest import INI, Finished

PAGE = ROOT / "docs" / "story.md"
MAX_LINES = 10


def files() -> dict[str, str]:
    """The files that the page shows, by their names."""
    return dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def run(pytester: pytest.Pytester, shown: dict[str, str]) -> Finished:
    for name, text in {**shown, "pytest.ini": INI}.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    done = pytester.runpytest_inprocess("fallback", "--reports", "reports")
    return Finished(int(done.ret), "\n".join((*done.outlines, *done.errlines)), pytester.path)


def test_the_declaration_has_ten_lines_and_the_story_is_signed_off(pytester: pytest.Pytester) -> None:
    shown = files()
    assert len(shown["fallback/story.yaml"].splitlines()) <= MAX_LINES
    done = run(pytester, shown)
    assert done.status == 0, done.output
    assert "Signed off: every criterion passed" in done.output
    assert "Fall back when vLLM is away" in (done.run_dir / "signoff.html").read_text()


def test_the_same_story_fails_where_it_does_not_hold(pytester: pytest.Pytester) -> None:
    shown = files()
    shown["conftest.py"] = shown["conftest.py"].replace('"seconds": 1.2', '"seconds": 7')
    done = run(pytester, shown)
    assert done.status == 10
    assert "expected at most 5, got 7" in done.output
