"""Objects as they stood on a cluster when they were read: what they are without the server's own notes, and who wrote.

Whether somebody changed one since is seen from what it says now. Its version alone would not tell: a status that is
written anew changes that too.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.words import listed
from signoff.kube.client import FIELD_MANAGER, Kube
from signoff.kube.metadata import APPLIED, OF_THE_SERVER, REVISION
from signoff.kube.objects import Key, kind_of, without_nulls

_NOISE = (*OF_THE_SERVER, "deletionGracePeriodSeconds", "deletionTimestamp")

_Write = tuple[str, str, str]
"""Who wrote, how, and when."""


def without_noise(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object of a cluster as somebody might have written it: without its status, and what the API server notes.

    The defaults that the server has filled in stay.
    """
    told = {key: value for key, value in deepcopy(dict(body)).items() if key != "status"}
    metadata = {key: value for key, value in told["metadata"].items() if key not in _NOISE}
    noted = {
        key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in (APPLIED, REVISION)
    }
    told["metadata"] = {**metadata, **({"annotations": noted} if noted else {})}
    clean: dict[str, Any] = without_nulls(told)
    return clean


@dataclass(frozen=True)
class Stood:
    """An object as it stood on a cluster when it was read."""

    api_version: str
    kind: str
    name: str
    namespace: str
    uid: str
    generation: int
    digest: str = field(repr=False)
    """Of all that it said, a Secret's values too: it is compared, and never written."""
    writes: frozenset[_Write] = frozenset()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Stood":
        """What is to be known of an object, as the API has it."""
        metadata = body["metadata"]
        return cls(
            str(body["apiVersion"]),
            str(body["kind"]),
            str(metadata["name"]),
            str(metadata.get("namespace") or ""),
            str(metadata.get("uid") or ""),
            int(metadata.get("generation") or 0),
            hashlib.sha256(json.dumps(without_noise(body), sort_keys=True).encode()).hexdigest(),
            frozenset(_writes(metadata)),
        )

    @property
    def object(self) -> str:
        """Kind and name, as `Manifest.name` has them."""
        return f"{kind_of({'kind': self.kind, 'apiVersion': self.api_version})}/{self.name}"

    @property
    def key(self) -> Key:
        """What tells it from all others, as `Manifest.key` has it."""
        return Key(self.object, self.namespace)

    @property
    def told(self) -> str:
        """The same with the namespace, for a sentence."""
        return f"{self.object} of {self.namespace}" if self.namespace else self.object


def changed_since(kube: Kube, stood: Sequence[Stood], touched: Collection[Key] = ()) -> list[str]:
    """What somebody has changed since it was read, a sentence each; what the suite itself writes is no such change.

    A new number of replicas may come without a writer's name. Of what the suite has `touched` it is taken for its own.
    """
    return [told for each in stood if (told := _change(kube, each, is_touched=each.key in touched))]


def _change(kube: Kube, before: Stood, *, is_touched: bool) -> str:
    try:
        body = _now(kube, before)
    except ForbiddenError:  # a right was taken away since, and nothing is known of the object
        return f"{before.told} may no longer be read"
    if body is None:
        return f"{before.told} was deleted during the run"
    now = Stood.of(body)
    if now.uid != before.uid:
        return f"{before.told} was deleted and made anew during the run"
    writers = {who for who, _, _ in now.writes - before.writes}
    others = sorted(writers - {FIELD_MANAGER})
    is_the_suites = not others and (writers or is_touched)
    if now.digest == before.digest or is_the_suites:
        return ""
    return f"{before.told} was changed during the run" + (f" by {listed(others)}" if others else "")


def _now(kube: Kube, before: Stood) -> dict[str, Any] | None:
    """The object as it is, by the right to `get` it or else by that to `list` its kind."""
    try:
        return kube.object(before.api_version, before.kind, before.name, before.namespace)
    except ForbiddenError:
        every = kube.objects(before.api_version, before.kind, before.namespace)
        return next((each for each in every if each["metadata"]["name"] == before.name), None)


def _writes(metadata: Mapping[str, Any]) -> Iterator[_Write]:
    for each in metadata.get("managedFields") or []:
        if each.get("subresource") != "status":
            yield str(each.get("manager", "")), str(each.get("operation", "")), str(each.get("time", ""))
