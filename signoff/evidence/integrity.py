"""Whether a line of evidence was changed, dropped, repeated, inserted or moved after it was written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signoff.core.errors import SignoffError
from signoff.evidence.store import FILE, Recorded, digest


@dataclass(frozen=True)
class Finding:
    """One difference: the file, with its line where there is one, and what is wrong there."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def see_unchanged(evidence: Recorded) -> None:
    """Have nothing drawn from what somebody has changed; a killed run's last line may be cut off.

    Raises:
        SignoffError: a line was changed, dropped, added or moved after it was written.
    """
    if not any(line.prev for line in evidence.lines):
        return  # version 0 had no chain
    data = (evidence.folder / FILE).read_bytes()
    for found in breaks(data[: data.rfind(b"\n") + 1]):
        raise SignoffError(
            f"the evidence is not as it was written: {found}",
            where=str(evidence.folder),
            hint=f"`signoff verify {evidence.folder}` names every difference",
        )


def breaks(data: bytes) -> Iterator[Finding]:
    """What shows that a line of evidence was changed, dropped, repeated, inserted or moved, or is cut off."""
    *lines, rest = data.split(b"\n")
    before, offset = b"", 0
    for number, line in enumerate(lines, start=1):
        told = parsed(line)
        if isinstance(told, str):
            yield Finding(f"{FILE}:{number}", told)
        else:
            yield from _place(told, number, before)
            if (seq := told.get("seq")) != number - 1 + offset:
                yield Finding(f"{FILE}:{number}", f"its number is {seq!r} where {number - 1 + offset} was due")
            offset = seq - (number - 1) if isinstance(seq, int) else offset
        before = line
    if rest:
        yield Finding(f"{FILE}:{len(lines) + 1}", "the line is cut off: it does not end")


def _place(told: dict[str, Any], number: int, before: bytes) -> Iterator[Finding]:
    where = f"{FILE}:{number}"
    if told.get("prev") != (digest(before) if number > 1 else ""):
        wrong = (
            f"it does not follow line {number - 1}: one of both was changed, or others were dropped, added or moved"
            if number > 1
            else "the first line follows another one, so that what came before is missing"
        )
        yield Finding(where, wrong)


def parsed(line: bytes) -> dict[str, Any] | str:
    """A line's object, or why it is none that signoff wrote."""
    try:
        told = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "the line is no UTF-8"
    except ValueError as error:
        return f"the line is no JSON: {error}"
    if not isinstance(told, dict):
        return "the line is no JSON object"
    if json.dumps(told, ensure_ascii=False).encode(errors="backslashreplace") != line:
        return "the line is not as signoff writes it: it has other spaces, another line end, or a key twice"
    return told
