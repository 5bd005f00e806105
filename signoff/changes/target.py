"""What a request is about, by its path."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from signoff.core.errors import SignoffError

_OF_NAMESPACES = ("status", "finalize")
"""What follows a namespace's name and is no kind of object in it."""


class Named(NamedTuple):
    """An object by its kind and name; of no namespace if that is empty."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, body: dict[str, Any], namespace: str = "") -> Self:
        """The object of this body, in this namespace if it says none itself."""
        metadata = body.get("metadata") or {}
        group = str(body.get("apiVersion", "")).rpartition("/")[0]
        where = metadata.get("namespace") or namespace
        return cls(group, str(body.get("kind", "")), str(where), str(metadata.get("name", "")))

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")


@dataclass(frozen=True)
class Target:
    """An object, a collection of them if it has no name, or a subresource of one."""

    root: str
    """The API group with its version: "api/v1", "apis/apps/v1"."""
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> Self:
        """What lies at this path.

        Raises:
            SignoffError: no object does.
        """
        parts = [unquote(each) for each in path.strip("/").split("/")]
        length = {"api": 2, "apis": 3}.get(parts[0], len(parts))
        root, rest = "/".join(parts[:length]), parts[length:]
        if not rest or any("/" in each or each in ("", ".", "..") for each in parts):
            raise SignoffError(f"a request for {path} is for no object", hint="please report this as a bug of signoff")
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            return cls(root, rest[2], rest[1], "".join(rest[3:4]), "/".join(rest[4:]))
        return cls(root, rest[0], "", "".join(rest[1:2]), "/".join(rest[2:]))

    @property
    def group(self) -> str:
        """The API group; empty for the first one."""
        parts = self.root.split("/")
        return parts[1] if parts[0] == "apis" else ""

    @property
    def path(self) -> str:
        """Where the object itself lies, whatever of it is asked for."""
        within = ["namespaces", self.namespace] if self.namespace else []
        parts = [self.root, *map(quote, (*within, self.resource, *([self.name] if self.name else [])))]
        return "/" + "/".join(parts)

    def named(self, name: str) -> "Target":
        """The object of this name in the same collection."""
        return replace(self, name=name, subresource="")

    def is_within(self, namespace: str) -> bool:
        """Whether it is this namespace, or lies in it."""
        return self.namespace == namespace or self.is_namespace(namespace)

    def is_namespace(self, namespace: str) -> bool:
        """Whether it is this namespace itself."""
        return (self.root, self.resource, self.name) == ("api/v1", "namespaces", namespace)

    def __str__(self) -> str:
        what = "/".join(filter(None, (self.resource, self.name, self.subresource)))
        return what + (f" in {self.namespace}" if self.namespace else "")
