"""A pod's volumes as folders, and where each container finds them.

emptyDir folders belong to the pod; the files of ConfigMaps and Secrets are written for each container anew, since
their texts are translated for it. `readOnly`, sizes and media are not enforced. The token of a service account is
left out: nothing in a pod can reach the API server by its name anyway.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.environment import ConfigError, expand
from signoff.cluster.embedded.agent.sources import Reference, Sources, config_map, secret
from signoff.cluster.embedded.kubeapi import Json

_WRITTEN = ("configMap", "secret", "projected", "downwardAPI")
_DEFAULT_MODE = 0o644


class MountError(Exception):
    """A volume cannot be set up; its text is the message of the FailedMount event, in the kubelet's words."""


@dataclass(frozen=True)
class File:
    """One file of a volume, at its path in it."""

    path: str
    content: bytes
    mode: int


def check_volumes(spec: Json, facts: PodFacts, sources: Sources) -> None:
    """See that every volume can be set up.

    Raises:
        MountError: one cannot.
    """
    for volume in spec.get("volumes") or []:
        try:
            if "emptyDir" not in volume:
                list(files_of(volume, facts, sources))
        except (LookupError, ValueError) as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error.args[0]}') from error


def files_of(volume: Json, facts: PodFacts, sources: Sources) -> Iterator[File]:
    """The files of a ConfigMap, Secret, downward API or projected volume.

    Raises:
        LookupError: a ConfigMap, a Secret or a key is missing and not optional.
        ValueError: volumes of this kind are not supported.
    """
    if wanted := volume.get("configMap"):
        yield from _keys(wanted, config_map(wanted.get("name", "")), "config", wanted, sources)
    elif wanted := volume.get("secret"):
        yield from _keys(wanted, secret(wanted["secretName"]), "secret", wanted, sources)
    elif wanted := volume.get("downwardAPI"):
        yield from _fields(wanted, facts, wanted)
    elif projected := volume.get("projected"):
        for source in projected.get("sources") or []:
            if wanted := source.get("configMap"):
                yield from _keys(wanted, config_map(wanted.get("name", "")), "config", projected, sources)
            elif wanted := source.get("secret"):
                yield from _keys(wanted, secret(wanted.get("name", "")), "secret", projected, sources)
            elif wanted := source.get("downwardAPI"):
                yield from _fields(wanted, facts, projected)
    else:
        kind = next((key for key in volume if key != "name"), "unknown")
        raise ValueError(f"the embedded cluster has no volumes of type {kind}")


def _keys(wanted: Json, reference: Reference, kind: str, volume: Json, sources: Sources) -> Iterator[File]:
    content = sources.get(reference)
    mode = volume.get("defaultMode", _DEFAULT_MODE)
    if content is None:
        if wanted.get("optional"):
            return
        raise LookupError(f"{reference} not found")
    if not wanted.get("items"):
        yield from (File(key, value, mode) for key, value in content.items())
        return
    for item in wanted["items"]:
        if item["key"] in content:
            yield File(item["path"], content[item["key"]], item.get("mode", mode))
        elif not wanted.get("optional"):
            raise LookupError(f"{reference.kind} references non-existent {kind} key: {item['key']}")


def _fields(wanted: Json, facts: PodFacts, volume: Json) -> Iterator[File]:
    for item in wanted.get("items") or []:
        if "fieldRef" in item:
            text = facts.field(item["fieldRef"]["fieldPath"])
            yield File(item["path"], text.encode(), item.get("mode", volume.get("defaultMode", _DEFAULT_MODE)))


def mount_paths(container: Json, spec: Json, pod_dir: Path, own_dir: Path, variables: dict[str, str]) -> dict[str, str]:
    """Each mount path of the container with the folder or file that stands for it.

    `pod_dir` holds what the pod's containers share, `own_dir` what is this container's alone.
    """
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    paths = {}
    for mount in container.get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        folder = volume_dir(volume, pod_dir, own_dir)
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr", ""), variables)
        paths[mount["mountPath"].rstrip("/")] = str(folder / sub_path)
    return paths


def volume_dir(volume: Json, pod_dir: Path, own_dir: Path) -> Path:
    """The folder of a volume."""
    shared = not any(kind in volume for kind in _WRITTEN)
    return (pod_dir if shared else own_dir) / "vol" / str(volume["name"])


def write_volumes(
    spec: Json, facts: PodFacts, sources: Sources, pod_dir: Path, own_dir: Path, translate: Callable[[str], str]
) -> None:
    """Make the folders of the pod's volumes, and the files in them with their texts translated."""
    for volume in spec.get("volumes") or []:
        folder = volume_dir(volume, pod_dir, own_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if "emptyDir" not in volume:
            for file in files_of(volume, facts, sources):
                _write(folder / file.path, file, translate)


def _write(path: Path, file: File, translate: Callable[[str], str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = translate(file.content.decode()).encode()
    except UnicodeDecodeError:
        content = file.content
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(file.mode)


def texts_of(spec: Json, facts: PodFacts, sources: Sources) -> Iterator[str]:
    """What the files of the pod's volumes say, as far as it is text.

    Raises:
        MountError: a volume cannot be set up.
    """
    check_volumes(spec, facts, sources)
    for volume in spec.get("volumes") or []:
        if "emptyDir" not in volume:
            for file in files_of(volume, facts, sources):
                yield file.content.decode(errors="replace")


def prepare_sub_paths(container: Json, spec: Json, paths: dict[str, str]) -> None:
    """Make the folders that subPath mounts of an emptyDir name.

    Raises:
        ConfigError: a subPath names a key that the ConfigMap or Secret lacks. A kubelet would mount an empty folder
            there, and leave it to the program to wonder.
    """
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    for mount in container.get("volumeMounts") or []:
        path = Path(paths[mount["mountPath"].rstrip("/")])
        if "emptyDir" in volumes[mount["name"]]:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise ConfigError(
                f'failed to prepare subPath for volumeMount "{mount["name"]}" of container "{container["name"]}": '
                f"{_origin(volumes[mount['name']])} has no key {path.name}"
            )


def _origin(volume: Json) -> str:
    if "configMap" in volume:
        return str(config_map(volume["configMap"].get("name", "")))
    if "secret" in volume:
        return str(secret(volume["secret"]["secretName"]))
    return f'volume "{volume["name"]}"'
