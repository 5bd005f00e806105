"""Whose doing an error is: only what LiteLLM did wrong is held against it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from signoff.core.errors import SignoffError, with_notes
from signoff.core.waiting import HoldFailed, WaitFailed
from signoff.evidence.models import Cause, Subject

LONGEST = 2000
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextmanager
def of(subject: Subject) -> Iterator[None]:
    """Errors of this block are this subject's doing, unless it is known already whose they are."""
    try:
        yield
    except (SignoffError, WaitFailed, HoldFailed) as error:
        if getattr(error, "subject", None) is None:
            error.subject = subject  # type: ignore[union-attr]
        raise


def cause_of(error: BaseException) -> Cause:
    """The error in one sentence, and whose doing it is; below it what was noted on it, such as what was not undone."""
    cause = _cause_of(error)
    return cause.model_copy(update={"what": with_notes(cause.what, error)})


def _cause_of(error: BaseException) -> Cause:
    """The suite's own where nobody says otherwise."""
    for each in _chain(error):
        if (failed := _failed_call(each)) is not None:
            return Cause(subject=Subject.CLUSTER, what=f"the Kubernetes API failed: {failed}")
        if isinstance(each, OSError) and each.errno in _OF_THE_MACHINE:
            return Cause(subject=Subject.MACHINE, what=f"the machine has run out: {each.strerror}")
        subject = getattr(each, "subject", None)
        if isinstance(subject, Subject):
            return Cause(subject=subject, what=_sentence(each))
    return Cause(subject=Subject.SUITE, what=f"the suite itself failed: {_sentence(error)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _sentence(error: BaseException) -> str:
    if isinstance(error, SignoffError | WaitFailed | HoldFailed):
        return str(error)[:LONGEST]
    return f"{type(error).__name__}: {error}"[:LONGEST]


def _failed_call(error: BaseException) -> str | None:
    """What the Kubernetes API said, without pages of HTTP headers, when it refused or is no more."""
    from kubernetes.client.exceptions import ApiException  # takes long, which a run without errors need not wait for
    from kubernetes.dynamic.exceptions import DynamicApiError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException | DynamicApiError):
        return f"{error.status} {error.reason}"
    if isinstance(error, HTTPError):
        return " ".join(str(getattr(error, "reason", None) or error).split())[:300]
    return None
