"""A container's environment, as far as manifests tell it: each variable with file and line, and what it comes from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signoff.kube import secrets
from signoff.kube.objects import Manifest, main_containers, place_of_pod_spec

_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")
OF_ALL_KEYS = (("configMapRef", "ConfigMap"), ("secretRef", "Secret"))
OF_ONE_KEY = (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret"))
"""How `envFrom`, and how the `valueFrom` of a variable, name an object: the field, and the object's kind."""


@dataclass(frozen=True)
class Variable:
    """What a variable holds, and file and line; None where nobody can read off the manifests what that is.

    `comes_from` is the object that the place names, such as "Secret/litellm-secrets"; empty where the value stands
    there itself.
    """

    value: str | None = field(repr=False)
    where: str
    comes_from: str = ""


@dataclass(frozen=True)
class Environment:
    """The variables of a container; `lacking` are objects with more of them that are not among the manifests."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    def get(self, name: str) -> Variable | None:
        """A variable; None for one that nothing sets."""
        return self.variables.get(name)


NOTHING_SET = Environment()


def expanded(text: str, variables: Mapping[str, Variable]) -> str | None:
    """A text of a container with what Kubernetes writes for `$(NAME)`; None where nobody can know that.

    Nor can it be known of a name that nothing here sets, for Kubernetes sets some (`..._SERVICE_HOST`).
    Source: https://pkg.go.dev/k8s.io/kubernetes/third_party/forked/golang/expansion
    """
    names = [name for name in _REFERENCE.findall(text) if name]
    known = {name: variable.value for name in names if (variable := variables.get(name))}
    if any(known.get(name) is None for name in names):
        return None
    return _REFERENCE.sub(lambda found: str(known[found[1]]) if found[1] else "$", text)


def of_container(workload: Manifest, name: str, found: Sequence[Manifest]) -> Environment:
    """The environment of a workload's container of this name, else of its first.

    `found` holds what the workload refers to. `env` counts before `envFrom`, and the later one before the earlier.
    """
    held = {each.name: each for each in found if each.kind in ("Secret", "ConfigMap")}
    several = list(enumerate(main_containers(workload.body) or [{}]))
    at, container = next((each for each in several if each[1].get("name", "") == name), several[0])
    place = (*place_of_pod_spec(workload.body), "containers", at)
    known: dict[str, Variable] = {}
    lacking = []
    for number, source in enumerate(container.get("envFrom") or []):
        where = workload.place(*place, "envFrom", number)
        for own, wanted in _named(source, OF_ALL_KEYS):
            if own not in held and not wanted.get("optional"):
                lacking.append(own)
            for key, value in held_in(held.get(own)).items():
                known[f"{source.get('prefix', '')}{key}"] = Variable(value, where, own)
    for number, variable in enumerate(container.get("env") or []):
        where = workload.place(*place, "env", number)
        if own_value := _of(variable, where, held, known):
            known[str(variable.get("name"))] = own_value
    return Environment(known, tuple(lacking))


def _of(
    variable: Mapping[str, Any], where: str, held: Mapping[str, Manifest], known: Mapping[str, Variable]
) -> Variable | None:
    source = variable.get("valueFrom") or {}
    for own, wanted in _named(source, OF_ONE_KEY):
        value = held_in(held.get(own)).get(str(wanted.get("key")))
        return None if value is None and wanted.get("optional") else Variable(value, where, own)
    return Variable(None if source else expanded(str(variable.get("value", "")), known), where)


def _named(source: Mapping[str, Any], fields: Sequence[tuple[str, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects that a source of variables names, as `Manifest.name` writes them, each with what it says of it."""
    for name, kind in fields:
        if isinstance(wanted := source.get(name), dict):
            yield f"{kind}/{wanted.get('name')}", wanted


def held_in(manifest: Manifest | None) -> dict[str, str]:
    """What a ConfigMap or a Secret holds, by its keys; nothing where it is not known."""
    if manifest is None:
        return {}
    if manifest.kind == "Secret":
        return {key: value.decode(errors="replace") for key, value in secrets.values(manifest.body).items()}
    return {str(key): str(value) for key, value in manifest.body.get("data", {}).items()}
