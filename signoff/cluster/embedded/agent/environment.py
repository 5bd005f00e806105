"""A container's environment variables, as the pod asks for them."""

import re
from collections.abc import Mapping

from signoff.cluster.embedded.agent.downward import PodFacts, resource
from signoff.cluster.embedded.agent.sources import Reference, Sources, config_map, secret
from signoff.cluster.embedded.kubeapi import Json

_VARIABLE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


class ConfigError(Exception):
    """The container cannot be made as it is configured: CreateContainerConfigError, in the kubelet's words."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; an unknown one stays, and $$ is a plain $.

    >>> expand("$(A)-$(B)-$$(A)", {"A": "1"})
    '1-$(B)-$(A)'
    """

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] else variables.get(found[2], found[0])

    return _VARIABLE.sub(value, text)


def environment(container: Json, facts: PodFacts, sources: Sources, links: Mapping[str, str]) -> dict[str, str]:
    """The variables of Services (`links`), of `envFrom` and of `env`; the later ones win.

    Raises:
        ConfigError: a ConfigMap, a Secret or a key of one is missing and not optional.
    """
    variables = dict(links)
    for source in container.get("envFrom") or []:
        variables |= _all_of(source, sources)
    for variable in container.get("env") or []:
        value = _value(variable, variables, container, facts, sources)
        if value is not None:
            variables[variable["name"]] = value
    return variables


def _all_of(source: Json, sources: Sources) -> dict[str, str]:
    if "configMapRef" in source:
        wanted, reference = source["configMapRef"], config_map(source["configMapRef"].get("name", ""))
    else:
        wanted, reference = source["secretRef"], secret(source["secretRef"].get("name", ""))
    if reference not in sources:
        if wanted.get("optional"):
            return {}
        raise ConfigError(f"{reference} not found")
    prefix = source.get("prefix", "")
    return {prefix + key: value.decode(errors="replace") for key, value in sources[reference].items()}


def _value(variable: Json, known: Mapping[str, str], container: Json, facts: PodFacts, sources: Sources) -> str | None:
    """The variable's value, or None for an optional one whose source is missing."""
    value_from = variable.get("valueFrom")
    if not value_from:
        return expand(variable.get("value", ""), known)
    if field := value_from.get("fieldRef"):
        try:
            return facts.field(field["fieldPath"])
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if field := value_from.get("resourceFieldRef"):
        return resource(container, field["resource"], str(field.get("divisor", "1")))
    if wanted := value_from.get("configMapKeyRef"):
        return _key(wanted, config_map(wanted.get("name", "")), "ConfigMap", facts, sources)
    if wanted := value_from.get("secretKeyRef"):
        return _key(wanted, secret(wanted.get("name", "")), "Secret", facts, sources)
    raise ConfigError(f"the value of {variable['name']} comes from {', '.join(value_from)}, which is not supported")


def _key(wanted: Json, reference: Reference, kind: str, facts: PodFacts, sources: Sources) -> str | None:
    found = sources.get(reference, {}).get(wanted["key"])
    if found is not None:
        return found.decode(errors="replace")
    if wanted.get("optional"):
        return None
    if reference not in sources:
        raise ConfigError(f"{reference} not found")
    namespace = facts.pod["metadata"]["namespace"]
    raise ConfigError(f"couldn't find key {wanted['key']} in {kind} {namespace}/{reference.name}")


def check_user(container: Json, pod: Json, of_image: int) -> None:
    """See that `runAsNonRoot` can be kept, `of_image` being the user whom the image would run as.

    Raises:
        ConfigError: it cannot.
    """
    context = (pod["spec"].get("securityContext") or {}) | (container.get("securityContext") or {})
    user = context.get("runAsUser")
    if not context.get("runAsNonRoot") or (of_image if user is None else user):
        return
    why = (
        "container has runAsNonRoot and image will run as root"
        if user is None
        else ("container's runAsUser breaks non-root policy")
    )
    meta = pod["metadata"]
    named = f'pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {container["name"]}'
    raise ConfigError(f"{why} ({named})")
