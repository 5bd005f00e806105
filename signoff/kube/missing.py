"""Secrets and ConfigMaps that pods need and no manifest makes: without one a container never starts."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError, UsageError
from signoff.core.words import listed
from signoff.core.yaml_lines import Path as Place
from signoff.kube import documents, secrets
from signoff.kube.kustomizations import Absent
from signoff.kube.objects import Manifest, place_of_pod_spec, pod_spec
from signoff.kube.secrets import OPTION
from signoff.kube.variables import OF_ALL_KEYS, OF_ONE_KEY
from signoff.story.declaration import nearest

_IN_EVERY_NAMESPACE = ("ConfigMap", "kube-root-ca.crt")
_OF_A_CONTAINER = ("containers", "initContainers")
_OF_A_VOLUME = (("secret", "Secret"), ("configMap", "ConfigMap"))
_MADE_BY_OTHERS: dict[str, tuple[Place, ...]] = {
    "ExternalSecret": (("spec", "target", "name"), ("metadata", "name")),
    "SealedSecret": (("spec", "template", "metadata", "name"), ("metadata", "name")),
    "VaultStaticSecret": (("spec", "destination", "name"),),
    "Certificate": (("spec", "secretName"),),
}
"""Kinds of which a controller makes a Secret, with where they say its name; the first place that does counts."""


@dataclass(frozen=True)
class Missing:
    """An object that pods of a namespace refer to, and where: "litellm/deployment.yaml:27".

    `made_by` is the object of which a controller would make it, on a cluster that has one: "ExternalSecret/litellm".
    """

    kind: str
    name: str
    referred: tuple[str, ...]
    made_by: str = ""
    namespace: str = ""

    @property
    def object(self) -> str:
        """As `Manifest.name` writes it."""
        return f"{self.kind}/{self.name}"

    def given_as(self, namespace: str) -> str:
        """How the settings name it, for whose objects this is the namespace."""
        return self.name if self.namespace == namespace else f"{self.namespace}/{self.name}"


def missing(found: Sequence[Manifest], namespace: str) -> list[Missing]:
    """The Secrets and ConfigMaps that the pods cannot start without, and that none of the manifests is.

    `namespace` is that of objects which name none. What is needed to pull images is left out: pods start without it
    where the image is there already, or public.
    """
    there = {(each.body["kind"], *_place_of(each, namespace)) for each in found}
    needed: dict[tuple[str, str, str], list[str]] = {}
    for manifest in found:
        own, _ = _place_of(manifest, namespace)
        for kind, name, place in _references(manifest.body):
            if (kind, own, name) not in there and (kind, name) != _IN_EVERY_NAMESPACE:
                where = manifest.place(*place)
                needed.setdefault((kind, own, name), []).append(where)
    made = {_made_by(each): each.name for each in found if each.body["kind"] in _MADE_BY_OTHERS}
    return [
        Missing(kind, name, tuple(dict.fromkeys(where)), made.get(name, "") if kind == "Secret" else "", own)
        for (kind, own, name), where in needed.items()
    ]


def given(found: Sequence[Manifest], files: Mapping[str, Path], namespace: str) -> list[Manifest]:
    """The Secrets that were given as files, each in the namespace of the pods that miss it.

    Raises:
        UsageError: a name or a file is wrong, one is among the manifests, no manifest refers to it, or several
            namespaces could be meant.
    """
    needed_in: dict[str, list[str]] = {}
    for each in missing(found, namespace):
        if each.kind == "Secret":
            needed_in.setdefault(each.name, []).append(each.namespace)
    found_in = secrets.missing_from(found, secrets.read(files, namespace, needed_in), namespace)
    _check_referred(files, found_in, found, namespace)
    return found_in


def _check_referred(
    files: Mapping[str, Path], given: Sequence[Manifest], found: Sequence[Manifest], namespace: str
) -> None:
    """See that something refers to each Secret that was given: another name is misspelt, and would be deployed.

    Raises:
        UsageError: nothing does.
    """
    referred = {(_place_of(each, namespace)[0], name) for each in found for name in _secrets_named(each.body)}
    for secret in given:
        own, name = _place_of(secret, namespace)
        if (own, name) not in referred:
            there = sorted(other for of, other in referred if of == own)
            raise UsageError(
                f"no manifest of the namespace {own} refers to {secret.name}{nearest(name, there)}",
                where=f"{OPTION} {name if name in files else f'{own}/{name}'}={secret.file}",
                hint="give it the name that the manifests call it by, or leave it out",
            )


def _secrets_named(value: Any, *, within: bool = False) -> Iterator[str]:
    """What stands where an object names a Secret, of whatever kind it is: below secretKeyRef, imagePullSecrets, ..."""
    if isinstance(value, str) and within:
        yield value
    if isinstance(value, list):
        for each in value:
            yield from _secrets_named(each, within=within)
    if isinstance(value, dict):
        is_reference = value.get("kind") == "Secret" and "metadata" not in value
        for key, each in value.items():
            yield from _secrets_named(each, within=within or is_reference or "secret" in key.lower())


def check_complete(found: Sequence[Manifest], namespace: str, absent: Sequence[Absent] = ()) -> None:
    """See that no Secret or ConfigMap is missing that the pods cannot start without, nor a key of one.

    `absent` are files that would hold it, and that are in nobody's repository.

    Raises:
        UsageError: something is.
    """
    lacking = missing(found, namespace)
    if not lacking:
        _check_keys(found, namespace)
        return
    told = [f"{each.object} is not among the manifests{_maker(each)}" for each in lacking]
    told += [f"{each.path.name}, which {each.listed_in.name} lists, is not there" for each in absent]
    files_of_secrets = [each for each in lacking if each.kind == "Secret"]
    given_so = " ".join(f"{OPTION} {each.given_as(namespace)}=FILE.env" for each in files_of_secrets)
    files = "add the file that holds " + " and ".join(each.object for each in lacking if each.kind == "ConfigMap")
    wanted = [f"give it with {given_so}" if given_so else "", files if not files.endswith(" ") else ""]
    raise UsageError(
        "; ".join(told),
        where=", ".join(
            dict.fromkeys([*(where for each in lacking for where in each.referred), *(each.where for each in absent)])
        ),
        hint="; ".join(filter(None, wanted)) + (f", or add {listed([each.path for each in absent])}" if absent else ""),
    )


def _maker(lacking: Missing) -> str:
    return f", and {lacking.made_by} makes it only where its controller runs" if lacking.made_by else ""


def check_absent(
    absent: Sequence[Absent], found: Sequence[Manifest], namespace: str, given: Sequence[Manifest] = ()
) -> None:
    """See that a file which a kustomization names, and which is not there, holds a Secret that pods miss or was given.

    It does if a generator makes that very Secret of it, or if its name says so: it has the word secret in it, or what
    the Secret is called. Of any other one nobody knows what the run would lack without it.

    Raises:
        SignoffError: there is another one, or there are more of them than Secrets.
    """
    wanted = {each.name for each in missing(found, namespace) if each.kind == "Secret"}
    wanted |= {str(each.body["metadata"]["name"]) for each in given}
    listed_files = [each for each in absent if not each.secret and _is_called_after(each.path, wanted)]
    others = [each for each in absent if each.secret not in wanted and each not in listed_files]
    too_many = len({each.path for each in listed_files}) > len(wanted - {each.secret for each in absent})
    if refused := others or (listed_files if too_many else []):
        raise SignoffError(
            f"a file is missing: {listed(dict.fromkeys(each.path.name for each in refused))}",
            where=", ".join(dict.fromkeys(each.where for each in refused)),
            hint=f"create {listed(dict.fromkeys(str(each.path) for each in refused))}, or take it out there",
        )


def _is_called_after(file: Path, secrets_: Collection[str]) -> bool:
    """Whether a manifest's name says that it holds a Secret, or one of these."""
    words = (re.escape(each.lower()) for each in secrets_)
    names = "|".join(["secret", *(rf"(?<![a-z0-9]){each}(?![a-z0-9])" for each in words)])
    return bool(secrets_) and file.suffix in documents.SUFFIXES and bool(re.search(names, file.stem.lower()))


def _check_keys(found: Sequence[Manifest], namespace: str) -> None:
    """See that what a variable is to be is a key of the object that it names.

    Raises:
        UsageError: one is not.
    """
    held = {(each.body["kind"], *_place_of(each, namespace)): each for each in found}
    for manifest in found:
        own, _ = _place_of(manifest, namespace)
        for at, variable, place in _variables(manifest.body):
            for field, kind in OF_ONE_KEY:
                wanted = variable.get(field)
                if not isinstance(wanted, dict) or wanted.get("optional"):
                    continue
                there = held.get((kind, own, str(wanted.get("name"))))
                if there and wanted.get("key") not in _keys(there):
                    raise UsageError(
                        f"{there.name} has no key {wanted.get('key')}, without which {manifest.name} does not start",
                        where=f"{manifest.place(*place, at, 'valueFrom', field, 'key')}, {there.place()}",
                        hint="correct the one or the other",
                    )


def _variables(body: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], Place]]:
    """Where a variable's value comes from, with its number and the place of the list that it stands in."""
    for group in _OF_A_CONTAINER:
        for at, container in _items(pod_spec(body).get(group)):
            for number, variable in _items(container.get("env")):
                if isinstance(source := variable.get("valueFrom"), dict):
                    yield number, source, (*place_of_pod_spec(body), group, at, "env")


def _keys(manifest: Manifest) -> set[str]:
    tables = (manifest.body.get(each) for each in ("data", "stringData", "binaryData"))
    return {key for table in tables if isinstance(table, dict) for key in table}


def _place_of(manifest: Manifest, namespace: str) -> tuple[str, str]:
    metadata = manifest.body["metadata"]
    return metadata.get("namespace") or namespace, metadata["name"]


def _made_by(manifest: Manifest) -> str:
    for path in _MADE_BY_OTHERS[manifest.body["kind"]]:
        if isinstance(name := _below(manifest.body, path), str):
            return name
    return ""


def _below(value: Any, path: Place) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _references(body: dict[str, Any]) -> Iterator[tuple[str, str, Place]]:
    """What the pods of a workload cannot start without: kind, name, and where that is said."""
    spec, root = pod_spec(body), place_of_pod_spec(body)
    for group in _OF_A_CONTAINER:
        for at, container in _items(spec.get(group)):
            here = (*root, group, at)
            for number, variable in _items(container.get("env")):
                source = variable.get("valueFrom")
                yield from _named(source, "name", OF_ONE_KEY, (*here, "env", number, "valueFrom"))
            for number, source in _items(container.get("envFrom")):
                yield from _named(source, "name", OF_ALL_KEYS, (*here, "envFrom", number))
    for at, volume in _items(spec.get("volumes")):
        here = (*root, "volumes", at)
        for field, kind in _OF_A_VOLUME:
            yield from _named(volume, "secretName" if kind == "Secret" else "name", ((field, kind),), here)
        for number, source in _items(_below(volume, ("projected", "sources"))):
            yield from _named(source, "name", _OF_A_VOLUME, (*here, "projected", "sources", number))


def _named(source: Any, field: str, kinds: Sequence[tuple[str, str]], place: Place) -> Iterator[tuple[str, str, Place]]:
    for key, kind in kinds:
        wanted = source.get(key) if isinstance(source, dict) else None
        name = wanted.get(field) if isinstance(wanted, dict) and not wanted.get("optional") else None
        if isinstance(name, str) and name:
            yield kind, name, (*place, key, field)


def _items(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for at, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, dict):
            yield at, each
