"""Files that are there whole or not at all."""

from pathlib import Path

from signoff.core.errors import SignoffError


def put(path: Path, text: str) -> None:
    """Write a file beside its place and move it there, so that nobody ever reads half of it.

    Raises:
        SignoffError: it cannot be written; what was there before stays.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        try:
            draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise SignoffError(
            f"{path.name} cannot be written: {error.strerror}",
            where=str(path.parent),
            hint="free some space there, then draw it again from the evidence",
        ) from error
