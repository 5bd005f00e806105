"""The gate of a run that only shows what it would change: each write goes out as a dry run, and is noted."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import yaml

from signoff.changes.fields import Object, differences, told
from signoff.changes.guard import as_left, is_harmless, words
from signoff.changes.rights import NotAllowed, Scope
from signoff.changes.target import Named, Target
from signoff.core.errors import SignoffError
from signoff.core.redact import HIDDEN, redacted
from signoff.kube.gate import Request, Response, Send
from signoff.kube.stood import without_noise

_CONTEXT = 3
"""Lines of a diff before and behind what changes."""
_VALUES = ("data", "stringData")


@dataclass(frozen=True)
class Change:
    """What a write would make of an object; `before` is None for one that is not there."""

    name: Named
    before: Object | None
    after: Object

    @property
    def lines(self) -> list[str]:
        """As a diff, without what a secret holds and what the API server alone notes."""
        before, after = _shown(self.before, self.after)
        if before == after:
            return [f"{self.name}: as it is"]
        one, other = (yaml.safe_dump(each, sort_keys=False).splitlines() if each else [] for each in (before, after))
        there = str(self.name) if self.before else "/dev/null"
        return list(difflib.unified_diff(one, other, there, str(self.name), n=_CONTEXT, lineterm=""))


class Preview:
    """Lets nothing through but dry runs; `changes` are what they would change, `scope` what they may."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.changes: list[Change] = []

    def passed(self, request: Request, send: Send) -> Response:
        """Send it as a dry run, in which nothing of another's is taken by force.

        Raises:
            NotAllowed: the run may not change this.
            SignoffError: what is there cannot be read.
        """
        if is_harmless(request):
            return send(request)
        if request.method not in ("POST", "PUT", "PATCH"):
            raise NotAllowed(words(request))
        target = Target.of(request.path)
        if not target.name:
            target = target.named(Named.of(request.body or {}).name)
        before = _there(target, send)
        query = {key: value for key, value in request.query.items() if key != "force"}
        answer = send(replace(request, query={**query, "dryRun": "All"}))
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            after = json.loads(answer.read())
            self._note(before, as_left(target.subresource, before, after) if before else after)
        return answer

    def _note(self, before: Object | None, after: Object) -> None:
        name = Named.of(after if before is None else before)
        if before is None:
            self._scope.check_created(name)
        elif changed := list(differences(told(before), told(after))):
            self._scope.check_changed(name, changed)
        self.changes.append(Change(name, before, after))


def _there(target: Target, send: Send) -> Object | None:
    answer = send(Request("GET", target.path, content_type="application/json"))
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    found: Object = json.loads(answer.read())
    if answer.status != HTTPStatus.OK:
        raise SignoffError(f"what is there cannot be read: {found.get('message')}", where=target.path)
    return found


def as_new(name: Named, body: Object) -> list[str]:
    """The lines of an object that is to be made where nothing can be tried yet."""
    return Change(name, None, body).lines


def _shown(before: Object | None, after: Object) -> Iterator[Any]:
    """Both without secrets: of a value that changes, only that it does."""
    one, other = (without_noise(each) if each else None for each in (before, after))
    if other and other.get("kind") == "Secret":
        for field in _VALUES:
            old = (one or {}).get(field) or {}
            if isinstance(values := other.get(field), dict):
                is_as_before = {key: key in old and old[key] == each for key, each in values.items()}
                other[field] = {key: HIDDEN if same else f"{HIDDEN} anew" for key, same in is_as_before.items()}
            if one and field in one:
                one[field] = dict.fromkeys(old, HIDDEN)
    yield from (_plain(each) if each else None for each in (one, other))


def _plain(body: Object) -> Any:
    """Without credentials; of a Secret, whose values are hidden already, as it is."""
    return body if body.get("kind") == "Secret" else redacted(body)
