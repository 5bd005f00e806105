"""What a container sees of the file system where it has namespaces of its own: its image, its folders, its volumes.

What the agent writes itself, ConfigMaps say, no container may write: it would have the agent follow its links.
"""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from signoff.cluster.embedded.agent.access import SERVICE_ACCOUNT
from signoff.cluster.embedded.agent.launch import FOLDERS, TERMINATION_LOG
from signoff.cluster.embedded.agent.volumes import MountError, is_written, volume_dir
from signoff.cluster.embedded.images import Image
from signoff.cluster.embedded.kubeapi import Json
from signoff.cluster.embedded.namespaces import View, interpreter

_TMP = "/tmp"
_NOBODY = 65534


def view_of(
    container: Json, pod_spec: Json, image: Image, paths: Mapping[str, str], pod_dir: Path, own_dir: Path
) -> View:
    """The view of a container whose volumes and folders are there; `paths` are those of its mounts and its /tmp.

    Raises:
        MountError: a mount leads out of its volume, since a container that is running has just made a link in it.
    """
    volumes = {volume["name"]: volume for volume in pod_spec.get("volumes") or []}
    mounted: list[Path] = []
    writable: list[Path] = []
    within: list[Path] = []
    seen_at: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        is_read_only = mount.get("readOnly") or is_written(volume)
        place = Path(paths[mount["mountPath"].rstrip("/")]).resolve()
        folder = volume_dir(volume, pod_dir, own_dir)
        if not any(place.is_relative_to(each.resolve()) for each in (folder, own_dir)):
            raise MountError(f'the mount "{mount["mountPath"]}" leads out of the volume "{volume["name"]}"')
        (mounted if is_read_only else writable).append(place)
        within.append(folder)
        if is_read_only and mount["mountPath"].rstrip("/") == SERVICE_ACCOUNT:
            seen_at[SERVICE_ACCOUNT] = place
    own = [*(own_dir / each for each in (*FOLDERS, TERMINATION_LOG)), *writable]
    tmp = Path(paths[_TMP]).resolve()
    return View(
        shown=(image.env_dir, image.recipe.folder, *interpreter(image.env_dir / "bin" / "python"), *mounted),
        own=own,
        at={_TMP: tmp} if tmp in {each.resolve() for each in own} else {},
        seen_at=seen_at,
        volumes=within,
        user=_not_root() if image.recipe.refuses_root else None,
    )


def _not_root() -> int | None:
    """Where this is root, some other user that this machine knows."""
    return None if os.geteuid() else next((each.pw_uid for each in pwd.getpwall() if each.pw_uid), _NOBODY)
