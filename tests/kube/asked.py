"""A pytest plug-in that notes what a run asks of the API server, as RBAC sees it: `-p tests.kube.asked`.

Each kind of request is a line of JSON in the file that ASKED names, once.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from kubernetes.client.rest import RESTClientObject

from signoff.changes.target import Target
from signoff.core.errors import SignoffError
from signoff.kube.rights import Question

FILE = "ASKED"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_ASK_ABOUT_ONESELF = ("authorization.k8s.io", "authentication.k8s.io")
"""What every user may ask."""


def question(method: str, url: str) -> Question | None:
    """What has to be allowed for this request; None for what every user may ask, as which APIs there are."""
    path = urlsplit(url).path
    try:
        target = Target.of(path)
    except SignoffError:  # of no object: discovery and version
        return None
    if target.group in _ASK_ABOUT_ONESELF:
        return None
    resource = "/".join(filter(None, (target.resource, target.subresource.partition("/")[0])))
    within = target.name if target.resource == "namespaces" else target.namespace
    return Question(_verb(method, target), target.group, resource, within, target.name)


def _verb(method: str, target: Target) -> str:
    if method == "GET":
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return _VERBS[method]


def allows(rule: Any, asked: Question) -> bool:
    """Whether a rule of RBAC allows this."""
    return (
        asked.group in rule["apiGroups"]
        and asked.resource in rule["resources"]
        and asked.verb in rule["verbs"]
        and (not rule.get("resourceNames") or asked.name in rule["resourceNames"])
    )


def read(file: Path) -> list[Question]:
    """What was noted."""
    return [Question(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


Note = Callable[[Question], None]


def watch(note: Note, patch: Callable[[type, str, Any], None] = setattr) -> None:
    """Have each request of a client with a token noted before it is sent; an admin's has a certificate."""
    request: Callable[..., Any] = RESTClientObject.request
    connect: Callable[..., Any] = aiohttp.ClientSession.ws_connect

    def noted(self: RESTClientObject, method: str, url: str, *more: Any, **named: Any) -> Any:
        if not self.configuration.cert_file and (asked := question(method.upper(), url)):
            note(asked)
        return request(self, method, url, *more, **named)

    def connected(self: aiohttp.ClientSession, url: str, **named: Any) -> Any:
        if asked := question("GET", url):
            note(asked)
        return connect(self, url, **named)

    patch(RESTClientObject, "request", noted)
    patch(aiohttp.ClientSession, "ws_connect", connected)


class _File:
    """Notes each once, at once."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen, self._lock = file, set[Question](), Lock()

    def __call__(self, asked: Question) -> None:
        with self._lock:
            if asked not in self._seen:
                self._seen.add(asked)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(vars(asked)) + "\n")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """From the first request on."""
    watch(_File(Path(os.environ[FILE])))
