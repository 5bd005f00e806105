"""The gate of a person's cluster: lets through what is allowed, and only once it is written down what was there before.

A change is first asked for as a dry run: what the API server makes of it is judged by the rights and written down. Then
it is sent with the version of the object that the dry run saw, so that nothing that another changes in between is taken
for ours. A conflict about a field's owner is never forced.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import count
from typing import Any, Final, Protocol

from signoff.changes.fields import Object, differences, told
from signoff.changes.journal import Answer, Intent, Journal
from signoff.changes.kin import Kin
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, SUITE, NotAllowed, Right, Scope
from signoff.changes.target import Named, Target
from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import FIELD_MANAGER
from signoff.kube.gate import Request, Response, Send

_REVIEWS = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
}
"""What is only asked, though by POST."""
MADE_BY: Final = "signoff/made-by"
"""The annotation of what a run has made."""
_APPLY = "application/apply-patch+yaml"
_DRY = ("dryRun", "All")
_OF_DELETION = ("gracePeriodSeconds", "propagationPolicy")
_SCALE, _STATUS = "scale", "status"


class Holder(Protocol):
    """Who holds the right to write to the cluster."""

    def check(self) -> None:
        """See that it still does.

        Raises:
            SignoffError: it does not.
        """
        ...


@dataclass(frozen=True)
class _Write:
    """A request that would write, with the way past the gate."""

    request: Request
    target: Target
    send: Send

    def sent(self, **changed: Any) -> Response:
        """Send it, or something like it."""
        return self.send(replace(self.request, **changed))

    def tried(self) -> Response:
        """Send it as a dry run."""
        return self.sent(query=dict([*self.request.query.items(), _DRY]))

    def read(self, path: str = "", query: Mapping[str, str] | None = None) -> Object | None:
        """What is there; None if nothing is.

        Raises:
            SignoffError: the API server does not say.
        """
        path = path or self.target.path
        answer = self.send(Request("GET", path, query or {}, content_type="application/json"))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            why = _body(answer).get("message", f"status {answer.status}")
            hint = "let signoff read what it writes: manifests/rbac/"
            raise SignoffError(f"what is there before a change cannot be read: {why}", where=path, hint=hint)
        return _body(answer)


class LookOnly:
    """The gate of a run that may change nothing."""

    def passed(self, request: Request, send: Send) -> Response:
        """Let through what only asks.

        Raises:
            NotAllowed: it would write.
        """
        if is_harmless(request):
            return send(request)
        raise NotAllowed(words(request), _opening(request))


class Guard:
    """The gate of a run that may change something."""

    def __init__(self, scope: Scope, journal: Journal, holder: Holder) -> None:
        self._scope, self._journal, self._holder = scope, journal, holder
        self._numbers = count(len(journal.intents))
        self._kin = Kin()
        self._one_at_a_time = threading.RLock()
        self._shut = ""

    def shut(self, why: str) -> None:
        """Let nothing more be made or changed."""
        with self._one_at_a_time:
            self._shut = why

    def passed(self, request: Request, send: Send) -> Response:
        """Send what is allowed.

        Raises:
            NotAllowed: it is not.
            SignoffError: what is there before cannot be read or written down, or the cluster is another's to write to.
        """
        if is_harmless(request):
            return send(request)
        target = Target.of(request.path)
        write = _Write(request, target, send)
        self._scope.check_any(words(request))
        if target.namespace == OWN_NAMESPACE and (target.resource == "leases" or not _may_make(request, target)):
            return send(request)  # not one at a time, for a Lease is renewed here
        with self._one_at_a_time:
            if self._is_our_own_namespace(request, target):
                return self._made(write, Named("", "Namespace", "", OWN_NAMESPACE))
            if self._shut:
                raise SignoffError(f"nothing more is written to this cluster: {self._shut}")
            self._holder.check()
            return self._made_within(write) if target.namespace == OWN_NAMESPACE else self._passed(write)

    def _passed(self, write: _Write) -> Response:
        method, target = write.request.method, write.target
        if method == "DELETE":
            return self._deleted(write) if target.name else self._all_deleted(write)
        if method == "POST" and not target.name:
            return self._created(write)
        parts = ("", _STATUS) if target.resource == "nodes" else ("", _SCALE)
        if method in ("PUT", "PATCH") and target.subresource in parts:
            return self._put(write)
        raise NotAllowed(words(write.request))

    def _is_our_own_namespace(self, request: Request, target: Target) -> bool:
        """Whether the suite's own namespace is made, with its label."""
        if request.method != "POST" or (target.root, target.resource) != ("api/v1", "namespaces") or target.name:
            return False
        name, labels = Named.of(request.body).name, (request.body.get("metadata") or {}).get("labels") or {}
        return name == OWN_NAMESPACE and labels.get(MANAGED_BY) == SUITE

    # Making

    def _made_within(self, write: _Write) -> Response:
        """Make something in the suite's own namespace, which may have been made beforehand, and then stays."""
        name = Named.of(write.request.body or {}, OWN_NAMESPACE).name
        if not name:
            raise _nameless(write.target)
        there = replace(write, target=write.target.named(name))
        if there.read():
            return write.sent()
        body = write.request.body
        if "kind" not in body:  # as from the typed clients
            tried = write.tried()
            if not _is_well(tried):
                return tried
            body = _body(tried)
        return self._made(there, Named.of(body, OWN_NAMESPACE))

    def _created(self, write: _Write) -> Response:
        body = write.request.body or {}
        if not Named.of(body).name:
            raise _nameless(write.target)
        if "kind" not in body:  # as from the typed clients; the API server knows it by the path
            tried = write.tried()
            if not _is_well(tried):
                return tried
            body = _body(tried)
        name = Named.of(body, write.target.namespace)
        self._scope.check_created(name)
        there = replace(write, target=write.target.named(name.name))
        return there.tried() if there.read() else self._made(there, name)

    def _made(self, write: _Write, name: Named) -> Response:
        """Make an object that is not there, and note its UID."""
        intent = Intent(number=next(self._numbers), path=write.target.named(name.name).path, name=name)
        request = _as_the_suite(write.request)
        body = _marked(request.body, self._journal.run)
        return self._noted(intent, replace(write, request=replace(request, body=body)))

    # Changing

    def _put(self, write: _Write) -> Response:
        """Change an object, or make it by applying it."""

        def attempt() -> Response:
            before = write.read()
            if before is None:
                return self._applied_anew(write)
            if self._kin.are_own(before, self._made_uids()):
                return write.send(_as_the_suite(write.request))
            self._scope.check_touched(Named.of(before))
            return self._changed(write, before)

        return eventually(f"{write.target} to hold still for a change", timeouts.WRITTEN, attempt)

    def _applied_anew(self, write: _Write) -> Response:
        """Apply an object that is not there; any other change of it is the API server's to refuse."""
        if write.request.content_type != _APPLY or write.target.subresource:
            return write.tried()
        name = Named.of(write.request.body or {}, write.target.namespace)
        self._scope.check_created(name)
        return self._made(write, name)

    def _changed(self, write: _Write, before: Object) -> Response:
        """Change an object that others have made.

        Raises:
            NotYet: another has changed it since it was read.
        """
        pinned = _pinned(write, before)
        tried = pinned.tried()
        if not _is_well(tried):
            _look_again_if_it_moved(write, before, tried)
            return tried
        expected = as_left(write.target.subresource, before, _body(tried))
        name = Named.of(before)
        changed = list(differences(told(before), told(expected)))
        if not changed:
            return tried  # not sent: it would only be noted who has asked for what is so
        self._scope.check_changed(name, changed)
        intent = Intent(
            number=next(self._numbers),
            path=write.target.path,
            name=name,
            subresource=write.target.subresource,
            before=before,
            expected=expected,
        )
        answer = self._noted(intent, pinned)
        if not _is_well(answer):
            _look_again_if_it_moved(write, before, answer)
        return answer

    # Deleting

    def _deleted(self, write: _Write) -> Response:
        """Delete an object of our own; if another of its name is there meanwhile, the API server refuses."""
        there = write.read()
        if there is None:
            return write.tried()
        if not self._kin.are_own(there, self._made_uids(), write.read):
            raise NotAllowed(f"delete {Named.of(there)}, which this run has not made")
        return write.send(_only(there["metadata"]["uid"], write.request))

    def _all_deleted(self, write: _Write) -> Response:
        """Delete each object of a collection by itself; all of them have to be our own."""
        chosen = {key: value for key, value in write.request.query.items() if key.endswith("Selector")}

        def look() -> tuple[Response, list[Object]]:
            listed = write.send(Request("GET", write.target.path, chosen, content_type="application/json"))
            found = _body(listed)
            items = [{"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List"), **each}
                     for each in found.get("items") or []]  # fmt: skip
            own = self._made_uids()
            others = [each for each in items if not self._kin.are_own(each, own, write.read)]
            still = [each for each in others if _is_still_there(write, each)]
            if still:
                raise NotAllowed(f"delete {Named.of(still[0])}, which this run has not made")
            if others:
                raise NotYet("some of them have just gone")
            return listed, items

        answer, items = eventually(f"{write.target} to be listed", timeouts.WRITTEN, look)
        for each in items:
            one = replace(write.request, path=write.target.named(each["metadata"]["name"]).path)
            deleted = write.send(_only(each["metadata"]["uid"], one))
            if not _is_well(deleted) and deleted.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return deleted
        return answer

    # The journal

    def _noted(self, intent: Intent, write: _Write) -> Response:
        """Send what this announces, between its two lines in the journal."""
        self._journal.add(intent)
        answer = write.sent()
        after = _body(answer) if _is_well(answer) else None
        if after is not None and intent.before is not None:
            after = as_left(intent.subresource, intent.before, after)
        self._journal.add(Answer(number=intent.number, status=answer.status, after=after))
        return answer

    def _made_uids(self) -> set[str]:
        return made(self._journal)


def made(journal: Journal) -> set[str]:
    """The UIDs of the objects that a run has made."""
    new = {each.number for each in journal.intents if each.before is None}
    answers = (each for number, each in journal.answers.items() if number in new)
    return {each.after["metadata"]["uid"] for each in answers if each.after and each.status == HTTPStatus.CREATED}


def is_harmless(request: Request) -> bool:
    """Whether the API server keeps nothing of it: it only asks, or is a dry run."""
    if request.query.get(_DRY[0]) == _DRY[1]:
        return True
    target = Target.of(request.path)
    return request.method == "POST" and (target.group, target.resource) in _REVIEWS


def _may_make(request: Request, target: Target) -> bool:
    """Whether an object may come of it: what has a subresource is of one that is there."""
    is_applied = request.method == "PATCH" and request.content_type == _APPLY and not target.subresource
    return is_applied or (request.method == "POST" and not target.name)


def _nameless(target: Target) -> NotAllowed:
    return NotAllowed(f"make {target} without a name", hint="name it: what has no name is not found again")


def words(request: Request) -> str:
    """What a request would do, to follow `to`."""
    verb = {"POST": "make something in", "DELETE": "delete", "PUT": "replace", "PATCH": "change"}
    target = Target.of(request.path)
    if request.method == "POST" and not target.name and isinstance(request.body, dict):
        return f"make {Named.of(request.body, target.namespace)}"
    return f"{verb.get(request.method, request.method)} {target}"


def _opening(request: Request) -> Right:
    """The right that a look-only run lacks for this, as far as its form tells."""
    target = Target.of(request.path)
    if target.is_within(OWN_NAMESPACE) or (target.resource == "namespaces" and request.method == "POST"):
        return Right.JOB
    if target.resource == "nodes" or target.subresource == _SCALE:
        return Right.DISRUPTION
    return Right.DEPLOY


def _as_the_suite(request: Request) -> Request:
    """The request by the suite's field manager, from whose entries the owners of fields are told apart."""
    return replace(request, query={**request.query, "fieldManager": FIELD_MANAGER})


def _marked(body: Object, run: str) -> Object:
    """An object with the name of the run that makes it, by which it is known if the answer never comes."""
    metadata = body.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), MADE_BY: run}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def _pinned(write: _Write, before: Object) -> _Write:
    """The same change of exactly this version of the object, without force, by the suite's field manager."""
    version, body = before["metadata"]["resourceVersion"], write.request.body
    query = {key: value for key, value in _as_the_suite(write.request).query.items() if key != "force"}
    if isinstance(body, list):
        body = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *body]
    else:
        body = {**body, "metadata": {"resourceVersion": version, **(body.get("metadata") or {})}}
    return replace(write, request=replace(write.request, body=body, query=query))


def as_left(subresource: str, before: Object, answered: Object) -> Object:
    """The object itself as the answer leaves it; a Scale stands for its object's replicas."""
    if subresource != _SCALE:
        return answered
    metadata = {**before["metadata"], "resourceVersion": answered["metadata"]["resourceVersion"]}
    replicas = answered.get("spec", {}).get("replicas", 0)
    return {**before, "metadata": metadata, "spec": {**before["spec"], "replicas": replicas}}


def _look_again_if_it_moved(write: _Write, before: Object, answer: Response) -> None:
    """A refusal of a version that is no longer the object's own is no refusal of the change."""
    if answer.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
        there = write.read()
        if there and there["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise NotYet("another changes it all the time")


def _only(uid: str, request: Request) -> Request:
    """A deletion of this very object alone. Where there is a body the API server reads no options elsewhere."""
    given = {key: value for key, value in request.query.items() if key in _OF_DELETION}
    options = {key: int(value) if value.isdigit() else value for key, value in given.items()}
    body = {**options, **(request.body or {}), "preconditions": {"uid": uid}}
    return replace(request, query={}, body=body)


def _is_still_there(write: _Write, item: Object) -> bool:
    there = write.read(write.target.named(item["metadata"]["name"]).path)
    return there is not None and there["metadata"]["uid"] == item["metadata"]["uid"]


def _is_well(answer: Response) -> bool:
    return 200 <= answer.status < 300


def _body(answer: Response) -> Object:
    try:
        read = json.loads(answer.read())
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
