"""One kind of error for the person at the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from signoff.core.redact import scrubbed

NO_SPACE = "no space left on device"
"""What programs say of a full disk, in words that all of them take from the C library."""
_SERIOUS = ("panic:", "fatal", NO_SPACE, "error:")
_LONGEST = 300
REFUSED = 4
"""The exit status of a command that was asked for what it cannot do, and has done nothing; pytest's own for this."""


class SignoffError(Exception):
    """Something the user can act on: what went wrong, where, and what to do next, without secrets.

    >>> print(SignoffError("port 4000 is taken", where="pid 12 (nginx)", hint="stop it"))
    port 4000 is taken
      where: pid 12 (nginx)
      next:  stop it
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = map(scrubbed, (what, where, hint))
        lines = [self.what]
        if where:
            lines.append(f"  where: {self.where}")
        if hint:
            lines.append(f"  next:  {self.hint}")
        super().__init__("\n".join(lines))


def told(error: BaseException) -> str:
    """An error's own words, and below them what was noted on it: what went wrong after it, in its wake.

    >>> error = SignoffError("no answer")
    >>> error.add_note("and the node could not be uncordoned")
    >>> print(told(error))
    no answer
    and the node could not be uncordoned
    """
    return with_notes(str(error), error)


def with_notes(text: str, error: BaseException) -> str:
    """Other words for the error, and below them what was noted on it."""
    return scrubbed("\n".join([text, *getattr(error, "__notes__", ())]))


class UsageError(SignoffError):
    """What was asked for cannot be done: an option, a variable or a file that one names is wrong.

    It is raised before anything is started or written.
    """


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever this block finds wrong is wrong with what was asked for: each of its errors becomes a `UsageError`."""
    try:
        yield
    except UsageError:
        raise
    except SignoffError as error:
        raise UsageError(error.what, where=error.where, hint=error.hint) from error


def reason_in(output: str) -> str:
    r"""The line of a failed program's output or log that says why it ended, as far as one can tell, in one line.

    Secrets are gone from it before it is cut: nobody knows one by its beginning.

    >>> reason_in("starting\npanic: the disk is full\n\ngoroutine 1 [running]:\n\tmain.go:12\n")
    'panic: the disk is full'
    >>> reason_in("Traceback (most recent call last):\n  File x\nValueError: no\n")
    'ValueError: no'
    """
    lines = [line for line in scrubbed(output).splitlines() if any(map(str.isalnum, line))]
    serious = (line for line in reversed(lines) if any(word in line.lower() for word in _SERIOUS))
    line = next(serious, lines[-1] if lines else "")
    return " ".join(line.split())[:_LONGEST]
