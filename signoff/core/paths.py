"""Where the suite keeps things."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from signoff.core.errors import SignoffError, UsageError

CACHE_VARIABLE = "SIGNOFF_CACHE"
STATE_VARIABLE = "XDG_STATE_HOME"
ROOT = Path(__file__).resolve().parent.parent.parent
"""What this package is imported from: the top of a checkout, or the folder that a wheel was installed into."""
_PRIVATE = "signoff-private-"
_IN_WHEEL = ROOT / "signoff" / "_suite"
INSTALLED = _IN_WHEEL.is_dir()
"""Whether a wheel is used, which has within the package what a checkout has beside it."""
SUITE = _IN_WHEEL if INSTALLED else ROOT
"""The folder of features/, steps/, bench/, manifests/ and pyproject.toml."""
FEATURES, STEPS, BENCH, MANIFESTS = (SUITE / name for name in ("features", "steps", "bench", "manifests"))
REPORTS = Path("reports") if INSTALLED else ROOT / "reports"
"""Where reports go by default; those of a wheel into the folder that a person works in."""


def cache_dir() -> Path:
    """The folder of everything that is made once and kept: `SIGNOFF_CACHE`, else `$XDG_CACHE_HOME/signoff`."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signoff"


def state_dir() -> Path:
    """The folder of what must outlive a run, and nobody may attach to a ticket: `$XDG_STATE_HOME/signoff`."""
    return Path(os.environ.get(STATE_VARIABLE) or Path.home() / ".local" / "state").absolute() / "signoff"


def free_folder(reports: Path, tool: str) -> Path:
    """A folder below the reports that is not there yet, named by the tool and the moment."""
    stamp = datetime.now().strftime(f"{tool}-%Y-%m-%dT%H-%M-%S")
    names = (f"{stamp}{f'-{number}' if number else ''}" for number in range(1000))
    return next(reports / name for name in names if not (reports / name).exists())


def check_cache() -> None:
    """See that the cache can be written.

    Raises:
        UsageError: it cannot.
    """
    named = os.environ.get(CACHE_VARIABLE)
    where = f"{CACHE_VARIABLE}={named}" if named else str(cache_dir())
    check_writable(cache_dir(), "the cache", where, f"name a folder that you may write to in {CACHE_VARIABLE}")


def check_state() -> None:
    """See that what must outlive a run can be written.

    Raises:
        UsageError: it cannot.
    """
    named = os.environ.get(STATE_VARIABLE)
    where = f"{STATE_VARIABLE}={named}" if named else str(state_dir())
    hint = f"name a folder that you may write to in {STATE_VARIABLE}: what is there before a change is kept in it"
    check_writable(state_dir(), "the journal of changes", where, hint)


def check_reports(folder: Path, option: str = "--reports") -> None:
    """See that the folder that this option names can be written, or made.

    Raises:
        UsageError: it cannot.
    """
    hint = f"name a folder that you may write to with {option}"
    check_writable(folder, "the report's folder", f"{option} {folder}", hint)


def check_writable(folder: Path, what: str, where: str, hint: str) -> None:
    """See that files can be made in this folder or, if it is not there yet, where it would be. Nothing is left there.

    Raises:
        UsageError: they cannot.
    """
    path = folder.absolute()
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except NotADirectoryError:
        raise UsageError(f"{what} cannot be written: {there} is no folder", where=where, hint=hint) from None
    except OSError as error:
        why = f"nothing can be made in {there} ({error.strerror})"
        raise UsageError(f"{what} cannot be written: {why}", where=where, hint=hint) from None


@contextmanager
def writing(what: str, where: Path, hint: str) -> Iterator[None]:
    """Write `what` in this block.

    Raises:
        SignoffError: it cannot be written, on a full disk for instance.
    """
    try:
        yield
    except OSError as error:
        raise SignoffError(
            f"{what} cannot be written: {error.strerror or error}", where=str(where), hint=hint
        ) from error


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only this user can read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for credentials that only this user can read, and that goes with the block.

    It is locked as long as its process lives, in whatever container that is: what a kill has left is told by that, and
    goes with the next one.

    Raises:
        SignoffError: it cannot be made.
    """
    with ExitStack() as stack:
        with writing("a private folder", Path(tempfile.gettempdir()), "free some space there, or set TMPDIR"):
            _sweep()
            folder = _locked_folder(stack)
        yield folder


def _locked_folder(stack: ExitStack) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PRIVATE))
        with suppress(FileNotFoundError), ExitStack() as held:  # another's sweep was quicker than the lock
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_locked(folder, fcntl.LOCK_EX))
            folder.stat()
            stack.push(held.pop_all())
            return folder


def _sweep() -> None:
    """Remove the folders that nobody holds any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*"):
        with suppress(OSError), _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):  # it is held, gone, or another user's
            shutil.rmtree(left)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
