"""Another story is another declaration with its features: the one of docs/story.md, run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from signoff.core.paths import ROOT
from tests.bdd.conftest import INI, Finished

PAGE = ROOT / "docs" / "story.md"
MOST_LINES = 10


def files() -> dict[str, str]:
    """The files that the page shows, by their names."""
    return dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def run(folder: Path, shown: dict[str, str]) -> Finished:
    for name, text in {**shown, "pytest.ini": INI}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    conftest = folder / "conftest.py"
    conftest.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{conftest.read_text()}")
    command = [sys.executable, "-m", "pytest", "fallback", "--reports", "reports"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout + done.stderr, folder)


def test_the_declaration_has_ten_lines_and_the_story_is_signed_off(tmp_path: Path) -> None:
    shown = files()
    assert len(shown["fallback/story.yaml"].splitlines()) <= MOST_LINES
    done = run(tmp_path, shown)
    assert done.status == 0, done.output
    assert "Signed off: every criterion passed" in done.output
    assert "Fall back when vLLM is away" in (done.run_dir / "signoff.html").read_text()


def test_the_same_story_fails_where_it_does_not_hold(tmp_path: Path) -> None:
    shown = files()
    shown["conftest.py"] = shown["conftest.py"].replace('"seconds": 1.2', '"seconds": 7')
    done = run(tmp_path, shown)
    assert done.status == 10
    assert "7 was seen, at most 5 was wanted" in done.output
