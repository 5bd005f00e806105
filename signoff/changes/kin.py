"""What belongs to a run by way of its owners: the pods of a Deployment that the run has made."""

from collections.abc import Callable, Mapping
from typing import Any

from signoff.changes.fields import Object

Read = Callable[[str], Object | None]
"""Reads what lies at a path; None if nothing does."""


class Kin:
    """Follows owner references, and remembers where they led."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._plurals: dict[tuple[str, str], str] = {}

    def are_own(self, body: Object, made: set[str], read: Read | None = None) -> bool:
        """Whether the run has made this object or, if one can `read`, any of its owners."""
        metadata = body["metadata"]
        if metadata["uid"] in made | self._known:
            return True
        owners = metadata.get("ownerReferences") or []
        if read and any(self._is_owned(each, metadata.get("namespace", ""), made, read) for each in owners):
            self._known.add(metadata["uid"])
            return True
        return False

    def _is_owned(self, owner: Mapping[str, Any], namespace: str, made: set[str], read: Read) -> bool:
        if owner["uid"] in made | self._known:
            return True
        resource = self._resource(owner["apiVersion"], owner["kind"], read)
        root = f"/{'apis' if '/' in owner['apiVersion'] else 'api'}/{owner['apiVersion']}"
        there = read(f"{root}/namespaces/{namespace}/{resource}/{owner['name']}") if resource else None
        return there is not None and there["metadata"]["uid"] == owner["uid"] and self.are_own(there, made, read)

    def _resource(self, version: str, kind: str, read: Read) -> str:
        """The name of a kind's resource, as the API server tells it; empty if it is of no namespace, or unknown."""
        if (version, kind) not in self._plurals:
            listed = read(f"/{'apis' if '/' in version else 'api'}/{version}") or {}
            for each in listed.get("resources", ()):
                if each["namespaced"] and "/" not in each["name"]:
                    self._plurals.setdefault((version, each["kind"]), each["name"])
        return self._plurals.setdefault((version, kind), "")
