"""A pod's volumes as folders, and where each container finds them.

emptyDir folders belong to the pod, those of claims to the cluster; the files of ConfigMaps and Secrets are written for
each container on its own, since their texts are translated for it. A subPath of those is a copy from the container's
start, which no change reaches. `readOnly`, sizes and media are not enforced.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from signoff.cluster.embedded.agent.atomic import File, swap_in
from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.environment import expand
from signoff.cluster.embedded.agent.sources import TOKEN, Reference, Sources, config_map, secret, token
from signoff.cluster.embedded.claims import folder_of
from signoff.cluster.embedded.kubeapi import Json

_WRITTEN = ("configMap", "secret", "projected", "downwardAPI")
_DEFAULT_MODE = 0o644
_ANYBODY = 0o777
"""The mode of a folder that containers write to."""
_FOLDERS = ("emptyDir", "persistentVolumeClaim")


class MountError(Exception):
    """A volume cannot be set up; its text is the message of the FailedMount event, in the kubelet's words."""


def check_volumes(spec: Json, facts: PodFacts, sources: Sources) -> None:
    """See that every volume can be set up.

    Raises:
        MountError: one cannot.
    """
    for volume in spec.get("volumes") or []:
        try:
            if not any(kind in volume for kind in _FOLDERS):
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
            elif wanted := source.get("serviceAccountToken"):
                yield File(wanted["path"], sources[token(wanted)][TOKEN], projected.get("defaultMode", _DEFAULT_MODE))
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
    for number, mount in enumerate(container.get("volumeMounts") or []):
        volume = volumes[mount["name"]]
        place, sub_path = volume_dir(volume, pod_dir, own_dir), sub_path_of(mount, variables)
        if sub_path and is_written(volume):
            place = _copy_of(mount, number, own_dir)
        elif sub_path:
            place /= sub_path
        paths[mount["mountPath"].rstrip("/")] = str(place)
    return paths


def sub_path_of(mount: Json, variables: dict[str, str]) -> str:
    """The path within the volume that is mounted, "" for all of it."""
    return mount.get("subPath") or expand(mount.get("subPathExpr", ""), variables)


def volume_dir(volume: Json, pod_dir: Path, own_dir: Path) -> Path:
    """The folder of a volume."""
    return (own_dir if is_written(volume) else pod_dir) / "vol" / str(volume["name"])


def is_written(volume: Json) -> bool:
    """Whether its files are written for each container: it is of a ConfigMap, a Secret or the like."""
    return any(kind in volume for kind in _WRITTEN)


def _copy_of(mount: Json, number: int, own_dir: Path) -> Path:
    return own_dir / "sub" / str(number) / Path(mount["mountPath"]).name


def link_claims(pod: Json, pod_dir: Path, cluster_dir: Path) -> None:
    """Have the folders of the pod's claims be those of the cluster, which its other pods see too."""
    for volume in pod["spec"].get("volumes") or []:
        if claim := volume.get("persistentVolumeClaim"):
            place = folder_of(cluster_dir, pod["metadata"]["namespace"], claim["claimName"])
            _make_for_anybody(place)
            folder = volume_dir(volume, pod_dir, pod_dir)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if not folder.is_symlink():
                folder.symlink_to(place, target_is_directory=True)


def write_volumes(
    spec: Json, facts: PodFacts, sources: Sources, pod_dir: Path, own_dir: Path, translate: Callable[[str], str]
) -> None:
    """Make the folders of the pod's volumes, and have those of ConfigMaps and the like show what `sources` say now.

    Raises:
        MountError: a volume cannot be set up; none has been touched then.
    """
    check_volumes(spec, facts, sources)
    for volume in spec.get("volumes") or []:
        folder = volume_dir(volume, pod_dir, own_dir)
        if is_written(volume):
            folder.mkdir(parents=True, exist_ok=True)
            swap_in(folder, [_translated(file, translate) for file in files_of(volume, facts, sources)])
        else:
            _make_for_anybody(folder)


def _make_for_anybody(folder: Path) -> None:
    """Make a folder that containers write to; the mode that one of them has given it since is its own."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(_ANYBODY)


def _translated(file: File, translate: Callable[[str], str]) -> File:
    try:
        return File(file.path, translate(file.content.decode()).encode(), file.mode)
    except UnicodeDecodeError:
        return file


def texts_of(spec: Json, facts: PodFacts, sources: Sources) -> Iterator[str]:
    """What the files of the pod's volumes say, as far as it is text.

    Raises:
        MountError: a volume cannot be set up.
    """
    check_volumes(spec, facts, sources)
    for volume in spec.get("volumes") or []:
        if is_written(volume):
            for file in files_of(volume, facts, sources):
                yield file.content.decode(errors="replace")


def prepare_sub_paths(container: Json, spec: Json, pod_dir: Path, own_dir: Path, variables: dict[str, str]) -> None:
    """Make what subPath mounts name: a copy of what is there now, or an empty folder, as a kubelet does, if it is not.

    `write_volumes` must have been called.

    Raises:
        MountError: it leads out of its volume, by a link that a container made in it say, or cannot be made there.
    """
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    for number, mount in enumerate(container.get("volumeMounts") or []):
        volume, sub_path = volumes[mount["name"]], sub_path_of(mount, variables)
        folder = volume_dir(volume, pod_dir, own_dir)
        place = folder / sub_path
        if not place.resolve().is_relative_to(folder.resolve()):
            raise MountError(f'the subPath "{sub_path}" leads out of the volume "{volume["name"]}"')
        if sub_path and is_written(volume):
            _copy(place, _copy_of(mount, number, own_dir))
        elif not place.exists():
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = f'cannot be made in the volume "{volume["name"]}": {error.strerror}'
                raise MountError(f'the subPath "{sub_path}" {why}') from error


def _copy(place: Path, copy: Path) -> None:
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir(parents=True)
    if place.is_dir():
        shutil.copytree(place, copy)
    elif place.exists():
        shutil.copy2(place, copy)
    else:
        copy.mkdir()
