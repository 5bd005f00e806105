"""Objects by their paths, as the journal names them, of an API server that may be away for a moment."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError

from signoff.changes.fields import Object
from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import FIELD_MANAGER, Kube, reason_of

T = TypeVar("T")


class Away(SignoffError):
    """The API server was away for longer than it is waited for."""


def is_passing(error: Exception) -> bool:
    """Whether this may be over in a moment: no connection, or an API server that is busy or not well."""
    if isinstance(error, ApiException):
        status = error.status or 0
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, HTTPError | OSError)


def answered(ask: Callable[[], T]) -> T:
    """What this gets, which may be asked again.

    Raises:
        NotYet: the API server is away, or not well.
    """
    try:
        return ask()
    except (ApiException, HTTPError, OSError) as error:
        if not is_passing(error):
            raise
        why = reason_of(error) if isinstance(error, ApiException) else " ".join(str(error).split())
        raise NotYet(why) from None


def read(kube: Kube, path: str) -> Object | None:
    """What lies there; None if nothing does.

    Raises:
        DynamicApiError: the API server does not say.
    """
    try:
        return _asked(kube, "get", path)
    except DynamicApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def replace(kube: Kube, path: str, body: Object) -> Object:
    """Put this in the place of the version of it that the body says.

    Raises:
        NotYet: another has changed it meanwhile.
        DynamicApiError: the API server refuses.
    """
    try:
        return _asked(kube, "put", path, body=body, field_manager=FIELD_MANAGER)
    except DynamicApiError as error:
        if error.status == HTTPStatus.CONFLICT:
            raise NotYet(f"another has changed it: {reason_of(error)}") from None
        raise


def delete(kube: Kube, path: str, uid: str) -> None:
    """Delete this very object, and what it owns before it.

    Raises:
        DynamicApiError: the API server refuses.
    """
    body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
    try:
        _asked(kube, "delete", path, body=body)
    except DynamicApiError as error:
        if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):  # gone, or another of its name
            raise


def _asked(kube: Kube, method: str, path: str, **more: Any) -> Object:
    """What the API server answers, which is waited for while it is away; all that is asked may be asked twice.

    Raises:
        Away: it stays away.
    """

    def ask() -> Any:
        return answered(lambda: kube.dynamic.request(method, path, serialize=False, **more))

    try:
        answer = eventually("the API server to answer", timeouts.PUT_BACK, ask)
    except WaitFailed as error:
        raise Away(f"the API server is away: {error.observation}") from None
    found: Object = json.loads(answer.data)
    return found
