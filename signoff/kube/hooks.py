"""Helm's hooks that a run leaves out: a chart renders them with the rest, and `kubectl apply` would start them all.

Which event makes which hook is Helm's own rule (https://helm.sh/docs/topics/charts_hooks/).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from signoff.kube.objects import Manifest, containers, image_name, main_containers

_HOOK = "helm.sh/hook"
_AT_INSTALL = {"pre-install", "post-install", "crd-install"}
_DATABASE = "DATABASE_"
"""How the variables of LiteLLM's database begin."""
_POSTGRES = "postgres"
"""What images of the only database that LiteLLM takes are called: `postgres`, `bitnami/postgresql`."""


@dataclass(frozen=True)
class LeftOut:
    """An object of the manifests that is not deployed, and why."""

    manifest: Manifest
    reason: str

    @property
    def events(self) -> list[str]:
        """At what Helm makes it."""
        return events(self.manifest)


def events(manifest: Manifest) -> list[str]:
    """At what Helm makes a hook: "pre-install"; none for other objects."""
    told = manifest.body["metadata"].get("annotations", {}).get(_HOOK, "")
    return [event.strip() for event in told.split(",") if event.strip()]


def left_out(found: Sequence[Manifest]) -> list[LeftOut]:
    """The hooks that no install makes, and those that prepare a database that is not among the manifests."""
    return list(_left_out(found))


def _left_out(found: Sequence[Manifest]) -> Iterator[LeftOut]:
    has_database = any(_POSTGRES in _images(each) for each in found if not events(each))
    for manifest in found:
        when = events(manifest)
        if when and not _AT_INSTALL.intersection(when):
            yield LeftOut(manifest, f"a hook for `{', '.join(when)}`, which an install does not make")
        elif when and not has_database and _prepares_database(manifest):
            yield LeftOut(manifest, "a hook that prepares a database, and there is none among the manifests")


def _images(manifest: Manifest) -> str:
    return " ".join(image_name(each) for each in main_containers(manifest.body))


def _prepares_database(manifest: Manifest) -> bool:
    if manifest.body["kind"] != "Job":
        return False
    words = [word for each in containers(manifest.body) for word in (*each.get("command", []), *each.get("args", []))]
    variables = [str(one.get("name", "")) for each in containers(manifest.body) for one in each.get("env", [])]
    return any("migrat" in word for word in words) or any(name.startswith(_DATABASE) for name in variables)
