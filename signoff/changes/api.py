"""Objects by their paths, as the journal names them."""

import json
from http import HTTPStatus
from typing import Any

from kubernetes.dynamic.exceptions import DynamicApiError

from signoff.changes.fields import Object
from signoff.core import timeouts
from signoff.core.waiting import NotYet
from signoff.kube.client import FIELD_MANAGER, Kube, reason_of


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
    seconds = timeouts.REQUEST.seconds
    answer = kube.dynamic.request(method, path, serialize=False, _request_timeout=seconds, **more)
    read: Object = json.loads(answer.data)
    return read
