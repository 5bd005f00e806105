"""ConfigMaps, Secrets and tokens: which ones a pod refers to, and what they hold."""

import base64
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi


class Reference(NamedTuple):
    """A ConfigMap or Secret by its kind ("configmap", "secret") and name; or a token ("token") by what it is for."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'


Sources = dict[Reference, dict[str, bytes]]
"""What the ConfigMaps and Secrets hold, each key's value; those that do not exist are missing."""
TOKEN = "token"
"""The only key of a token."""


def config_map(name: str) -> Reference:
    """The reference to a ConfigMap."""
    return Reference("configmap", name)


def secret(name: str) -> Reference:
    """The reference to a Secret."""
    return Reference("secret", name)


def token(source: Json) -> Reference:
    """The reference to the token that a projected volume's `serviceAccountToken` asks for."""
    return Reference(TOKEN, f"{source.get('audience', '')}/{source['expirationSeconds']}")


async def fetch(api: KubeApi, namespace: str, references: Iterable[Reference]) -> Sources:
    """Read those that exist.

    Raises:
        ApiError, aiohttp.ClientError, TimeoutError: the API server does not answer.
    """
    found: Sources = {}
    for reference in set(references):
        try:
            obj = await api.request("GET", f"/api/v1/namespaces/{namespace}/{reference.kind}s/{reference.name}")
        except ApiError as error:
            if error.status != 404:
                raise
            continue
        found[reference] = _content(reference.kind, obj)
    return found


def _content(kind: str, obj: Json) -> dict[str, bytes]:
    plain = obj.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in plain.items()}
    binary = obj.get("binaryData") or {}
    return {key: value.encode() for key, value in plain.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }


def of_volumes(spec: Json) -> set[Reference]:
    """What the pod's volumes are made of."""
    return {reference for volume in spec.get("volumes") or [] for reference in _of_volume(volume)}


def _of_volume(volume: Json) -> Iterator[Reference]:
    if "configMap" in volume:
        yield config_map(volume["configMap"].get("name", ""))
    if "secret" in volume:
        yield secret(volume["secret"]["secretName"])
    for source in volume.get("projected", {}).get("sources") or []:
        if "configMap" in source:
            yield config_map(source["configMap"].get("name", ""))
        if "secret" in source:
            yield secret(source["secret"].get("name", ""))


def of_environment(container: Json) -> set[Reference]:
    """What the container's environment is made of."""
    return {*_of_env_from(container), *_of_env(container)}


def _of_env_from(container: Json) -> Iterator[Reference]:
    for source in container.get("envFrom") or []:
        if "configMapRef" in source:
            yield config_map(source["configMapRef"].get("name", ""))
        if "secretRef" in source:
            yield secret(source["secretRef"].get("name", ""))


def _of_env(container: Json) -> Iterator[Reference]:
    for variable in container.get("env") or []:
        value_from = variable.get("valueFrom") or {}
        if "configMapKeyRef" in value_from:
            yield config_map(value_from["configMapKeyRef"].get("name", ""))
        if "secretKeyRef" in value_from:
            yield secret(value_from["secretKeyRef"].get("name", ""))
