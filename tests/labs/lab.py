"""People's own manifests: sets of files as they lie in somebody's folder, each with its settings; and copies."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from signoff import options
from signoff.options import Chosen
from signoff.settings import read

HERE = Path(__file__).parent
SETTINGS = "signoff.toml"
LABS = tuple(sorted(path.parent.name for path in HERE.glob(f"*/{SETTINGS}")))


def chosen(folder: Path) -> Chosen:
    """What a run with the settings of this folder would be, all checks before it passed; nothing is started.

    Raises:
        UsageError: something is wrong with it.
    """
    return options.check(read({}, str(folder / SETTINGS)), attach=None, keep=False, fresh=False)


@dataclass(frozen=True)
class Edit:
    """A change of one of a set's files: `old`, which it holds once, becomes `new`; without `old` that is appended."""

    file: str
    old: str
    new: str


def copied(lab: str, to: Path, edits: Iterable[Edit] = ()) -> Path:
    """A copy of a set with these changes."""
    folder = Path(shutil.copytree(HERE / lab, to / lab))
    for edit in edits:
        path = folder / edit.file
        text = path.read_text(encoding="utf-8")
        assert not edit.old or text.count(edit.old) == 1, f"{edit.old!r} is {text.count(edit.old)} times in {path}"
        path.write_text(text.replace(edit.old, edit.new) if edit.old else text + edit.new, encoding="utf-8")
    return folder


def line_of(path: Path, text: str) -> str:
    """The place of the first line with this text, as errors write it."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return f"{path}:{next(number for number, line in enumerate(lines, 1) if text in line)}"
