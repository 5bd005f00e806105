"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signoff.core.paths import writing
from signoff.core.redact import scrubbed

_DRAWN_AGAIN = "free some space there, then draw it again from the evidence"


@contextmanager
def draft_of(path: Path, hint: str = _DRAWN_AGAIN) -> Iterator[Path]:
    """Give a file beside this place, to be written in this block and then moved there: nobody ever reads half of it.

    Raises:
        SignoffError: it cannot be written; what was there before stays.
    """
    draft = path.with_name(f".{path.name}.draft")
    with writing(path.name, path.parent, hint):
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def put(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        SignoffError: it cannot be written; what was there before stays.
    """
    with draft_of(path) as draft:
        draft.write_text(scrubbed(text), encoding="utf-8", errors="backslashreplace", newline="\n")
