"""The cluster as a person would compare it before a run and after it.

Compared is what somebody has said of an object; not what the cluster itself notes of it. Left out are objects that a
controller makes of others, which are compared, and Events, Leases, EndpointSlices and Endpoints, which come and go by
themselves. An object that was made anew is not the same: its UID is another.
"""

import hmac
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.dynamic.exceptions import DynamicApiError, ForbiddenError

from signoff.changes.api import is_passing
from signoff.changes.fields import MISSING, Difference, Object, differences, shown, told
from signoff.changes.journal import Before
from signoff.changes.target import Named
from signoff.core.errors import SignoffError
from signoff.kube.client import Kube, reason_of
from signoff.kube.kinds import kinds
from signoff.kube.metadata import APPLIED, REVISION

_LEFT_OUT = {
    *(("", "Event"), ("events.k8s.io", "Event"), ("coordination.k8s.io", "Lease")),
    *(("discovery.k8s.io", "EndpointSlice"), ("", "Endpoints")),
}
"""Kinds that come and go by themselves; the last two are made of Services and pods."""
_AT_ONCE = 8
"""Questions at a time."""
_NAMESPACE = ("", "Namespace")
_ALWAYS = (("", "Node"), _NAMESPACE)
_UNREAD = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
_OF_CONDITIONS = {
    f"node.kubernetes.io/{each}"
    for each in ("not-ready", "unreachable", "memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable")
}
"""Taints that the control plane derives from a node's status, which is not compared."""


def read(kube: Kube, namespaces: Iterable[str], named: Iterable[Named] = (), salt: str = "") -> Before:
    """All that is compared: the objects of these namespaces, the namespaces themselves, nodes, and what is named.

    Where the objects of a kind may not be listed, those that are named are read by their names. Kinds that nobody names
    may be of an API server beside this one that is away, or of one whose conversion is: they are told as not read. Of
    what Secrets hold there is no more than what tells whether it is the same, by this `salt`.

    Raises:
        SignoffError: the API server does not answer.
    """
    wanted, named = set(namespaces), set(named)
    unread: list[str] = []
    whole = {(each.group, each.kind) for each in named if not each.namespace} | {("", "Node")}
    named |= {Named("", "Namespace", "", each) for each in wanted}
    asked = [
        (resource, place)
        for resource in kinds(kube, _LEFT_OUT)
        if resource.namespaced or (resource.group or "", resource.kind) in whole | {_NAMESPACE}
        for place in (sorted(wanted) if resource.namespaced else [""])
    ]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kinds") as pool:
        answers = list(pool.map(lambda each: _listed(kube, each[0], each[1], named), asked))
    bodies: dict[str, Object] = {}
    for (resource, _), (items, hidden) in zip(asked, answers, strict=True):
        is_namespace = (resource.group or "", resource.kind) == _NAMESPACE
        chosen = (each for each in items if not is_namespace or each["metadata"]["name"] in wanted)
        bodies |= {_key(resource, each): each for each in chosen}
        unread += hidden
    derived = _derived(bodies.values())
    objects = {
        key: _compared(each, Named(*key.split("|")).kind, salt)
        for key, each in bodies.items()
        if each["metadata"]["uid"] not in derived
    }
    return Before(objects=objects, unread=unread)


def _listed(kube: Kube, resource: Any, place: str, named: set[Named]) -> tuple[list[Object], list[str]]:
    """The objects of a kind in one place, and what of them may not be read."""
    kind, unread = (resource.group or "", resource.kind), list[str]()
    own = [each for each in named if each[:3] == (*kind, place)]
    try:
        return kube.dynamic.get(resource, **_within(place)).to_dict()["items"], unread
    except DynamicApiError as error:
        is_beside = is_passing(error) and not own and kind not in _ALWAYS
        if is_passing(error) and not is_beside:
            raise
        if error.status not in _UNREAD and not is_beside:
            raise SignoffError(f"the {resource.kind}s cannot be read: {reason_of(error)}") from None
    items = [body for each in own if (body := _by_name(kube, resource, each, unread))]
    if kind != _NAMESPACE:  # of which no others are looked at
        unread.append(key_of(Named(*kind, place, "")))
    return items, unread


def _within(place: str) -> dict[str, str]:
    return {"namespace": place} if place else {}


def _by_name(kube: Kube, resource: Any, own: Named, unread: list[str]) -> Object | None:
    """The object of this name; None if it is not there or may not be read either."""
    try:
        body: Object = kube.dynamic.get(resource, name=own.name, **_within(own.namespace)).to_dict()
    except ForbiddenError:
        unread.append(key_of(own))
        return None
    except DynamicApiError:  # it is not there, as its kind may not be
        return None
    return body


@dataclass(frozen=True)
class Found:
    """What is not as before: an object if there is no path, else a field of it."""

    key: str
    path: tuple[str, ...]
    sentence: str


def differing(before: Before, after: Before, named: Iterable[Named] = ()) -> list[str]:
    """Each difference in a sentence with the object and the field.

    What may not be listed is compared as far as it was read by the names of those that are `named`.
    """
    every = (*found(before, after, named), *lost(before, after))
    return list(dict.fromkeys(each.sentence for each in every))


def found(before: Before, after: Before, named: Iterable[Named] = ()) -> list[Found]:
    """Each difference of what was read both times."""
    withheld, by_name = {*before.unread, *after.unread}, {key_of(each) for each in named}
    differing: list[Found] = []
    for key in sorted(before.objects.keys() | after.objects.keys()):
        hidden = key in withheld or (_kind_of(key) in withheld and key not in by_name)
        if not hidden:
            differing += _of_one(key, before.objects.get(key), after.objects.get(key))
    return differing


def lost(before: Before, after: Before) -> list[Found]:
    """The objects that were read before, and now may not be."""
    taken = {each for each in after.unread if each not in before.unread}
    places = [(key, each) for key in sorted(before.objects) for each in (key, _kind_of(key)) if each in taken]
    return [Found(key, (), f"{_what(each)} may no longer be read, and cannot be compared") for key, each in places]


def uncompared(before: Before) -> str:
    """What may not be read, and is not compared; empty where there is nothing."""
    by_place: dict[str, list[str]] = {}
    for name in (Named(*each.split("|")) for each in before.unread):
        by_place.setdefault(name.namespace, []).append(f"{name.kind}/{name.name}" if name.name else f"{name.kind}s")
    places = (shown(sorted(what)) + (f" in {place}" if place else "") for place, what in by_place.items())
    return "; ".join(places)


def _kind_of(key: str) -> str:
    return key.rpartition("|")[0] + "|"


def _what(key: str) -> str:
    name = Named(*key.split("|"))
    return str(name) if name.name else f"{name.kind}s" + (f" in {name.namespace}" if name.namespace else "")


def key_of(name: Named) -> str:
    """By what `differing` knows an object."""
    return "|".join((name.group, name.kind, name.namespace, name.name))


def _key(resource: Any, body: Object) -> str:
    metadata = body["metadata"]
    return key_of(Named(resource.group or "", resource.kind, metadata.get("namespace", ""), metadata["name"]))


def _of_one(key: str, before: Object | None, after: Object | None) -> Iterator[Found]:
    name = Named(*key.split("|"))
    if before is None:
        yield Found(key, (), f"{name} is there, and was not")
    elif after is None:
        yield Found(key, (), f"{name} is gone")
    elif before["uid"] != after["uid"]:
        yield Found(key, (), f"{name} was deleted and made anew")
    else:
        for each in differences(before, after):
            yield Found(key, each.path, f"{each.field} of {name} {_change(name, each)}")


def _change(name: Named, each: Difference) -> str:
    """How a field differs. Texts are not shown, since any may be a secret, but those of nodes."""
    if each.before is MISSING:
        return "is set, and was not"
    if each.after is MISSING:
        return "is not set, and was"
    values = (each.before, each.after)
    if all(
        isinstance(value, bool | int | float) or (name.kind == "Node" and isinstance(value, str)) for value in values
    ):
        return f"is {each.after}, and was {each.before}"
    return "is another"


def _derived(bodies: Iterable[Object]) -> set[str]:
    """The UIDs of what a controller has made, and of what is owned by a pod or, in turn, by any of these."""
    owners = {each["metadata"]["uid"]: each["metadata"].get("ownerReferences") or [] for each in bodies}
    found: set[str] = set()
    while True:
        more = {
            uid
            for uid, every in owners.items()
            if any(each.get("controller") or each["kind"] == "Pod" or each["uid"] in found for each in every)
        }
        if more == found:
            return found
        found = more


def _digested(value: Any, salt: str) -> str:
    """What tells whether a secret value is another, and nothing else of it."""
    return hmac.new(salt.encode(), json.dumps(value, sort_keys=True).encode(), "sha256").hexdigest()


def _compared(body: Object, kind: str, salt: str) -> Object:
    """What of an object is compared."""
    if kind == "Secret":
        body = {**body, "data": {key: _digested(each, salt) for key, each in (body.get("data") or {}).items()}}
    plain = {key: value for key, value in told(body).items() if key not in ("status", "apiVersion")}
    notes = {key: value for key, value in (plain["metadata"].get("annotations") or {}).items() if key != REVISION}
    if kind == "Secret" and APPLIED in notes:
        notes[APPLIED] = _digested(notes[APPLIED], salt)
    plain["metadata"] = {**plain["metadata"], "annotations": notes}
    if kind == "Node":
        taints = [each for each in body["spec"].get("taints") or [] if each["key"] not in _OF_CONDITIONS]
        plain["spec"] = {**body["spec"], "taints": taints}
    return {**plain, "uid": body["metadata"]["uid"]}
