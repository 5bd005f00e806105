"""A cluster that does not answer, or answers with an error, in a sentence for the person whose it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError, MaxRetryError

from signoff.core.errors import UsageError
from signoff.kube.client import reason_of


@contextmanager
def answering(context: str, server: str = "") -> Iterator[None]:
    """Ask the cluster of this context in this block, before anything is started or written.

    Raises:
        UsageError: it does not answer, or it refuses.
    """
    where = server or f"--kube-context {context}"
    try:
        yield
    except HTTPError as error:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        hint = f"see whether it is on, and whether this machine reaches it: `kubectl --context {context} version`"
        what = f"the cluster of the context {context} does not answer: {reason}"
        raise UsageError(what, where=where, hint=hint) from None
    except (ApiException, DynamicApiError) as error:
        what = f"the cluster of the context {context} refuses: {error.status} {reason_of(error)}"
        raise UsageError(what, where=where, hint=_remedy(context, error.status or 0)) from None


def _remedy(context: str, status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return f"renew the context's credentials, until `kubectl --context {context} auth whoami` knows you"
    if status == HTTPStatus.FORBIDDEN:
        return f"see what `kubectl --context {context} auth whoami` says, and grant what manifests/rbac/ has"
    return f"see what `kubectl --context {context} get --raw /readyz` says, then call this again"
