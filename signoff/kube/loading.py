"""Manifests from files and folders of any layout, as `kubectl apply` takes them, and what kustomize makes of them.

A folder with a kustomization is what kustomize builds of it (`kubectl apply -k`); any other is its .yaml, .yml and
.json files by name, and its folders in turn (`kubectl apply -R -f`). Hidden folders are none of it, nor are
links to folders, as with kubectl.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import yaml

from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import SignoffError, reason_in
from signoff.core.paths import writing
from signoff.core.redact import redacted
from signoff.core.yaml_lines import Path as Place
from signoff.kube import documents, kustomizations
from signoff.kube.kustomizations import Absent, StandIns
from signoff.kube.objects import Manifest, faults, line_in, without_nulls
from signoff.kube.secrets import learned
from signoff.programs import kustomize

_ONLY_A_LIST = {"apiVersion", "kind", "resources"}
"""The fields of a kustomization that says nothing but which files there are, for which no program is needed."""
_ORIGIN = "config.kubernetes.io/origin"
"""The annotation with which kustomize tells where an object comes from (kustomize: api/resource/origin.go)."""
_OWN_FOLDER = "signoff-kustomize-"


@dataclass(frozen=True)
class Loaded:
    """The objects in files and folders, and what kustomizations name that is not there."""

    manifests: list[Manifest]
    absent: tuple[Absent, ...] = ()


def read(*paths: Path, namespace: str = "") -> list[Manifest]:
    """The objects in files and folders; nothing shows their secrets from now on. One without a namespace is in this.

    Raises:
        SignoffError: a file is missing, is not YAML, or holds something that is no Kubernetes object; kustomize
            cannot build the folder; two differ about one object; or there is nothing.
    """
    loaded = read_all(*paths, namespace=namespace)
    for each in loaded.absent:
        raise documents.missing(each.path)
    return loaded.manifests


def read_all(*paths: Path, namespace: str = "") -> Loaded:
    """The same, also where files are not there that kustomizations list: those of Secrets are in no repository.

    Raises:
        SignoffError: as for `read`.
    """
    absent: list[Absent] = []
    found = _each_once((each for path in paths for each in _read(path, absent)), namespace)
    if not found:
        for each in absent:
            raise documents.missing(each.path)
        raise SignoffError(
            "there are no manifests here",
            where=", ".join(map(str, paths)),
            hint="name the folder that has them with --manifests",
        )
    return Loaded(learned(found), tuple(absent))


def _each_once(found: Iterable[Manifest], namespace: str) -> list[Manifest]:
    """Each object once. Of two that differ the second would replace the first, and which one is judged would be chance.

    Raises:
        SignoffError: there are two for one object.
    """
    first: dict[tuple[str, str, str], Manifest] = {}
    for manifest in found:
        group = manifest.body["apiVersion"].rpartition("/")[0]
        known = first.setdefault(
            (group, manifest.name, manifest.body["metadata"].get("namespace", namespace)), manifest
        )
        if known.body != manifest.body:
            raise SignoffError(
                f"duplicate object {manifest.name}",
                where=f"{known.place()}, {manifest.place()}",
                hint="remove one, or name the folder or file that is meant with --manifests",
            )
    return list(first.values())


def _read(path: Path, absent: list[Absent]) -> Iterator[Manifest]:
    """The objects in a file or folder; what is not there is added to `absent`."""
    if not documents.is_folder(path):
        yield from _of_file(path)
    elif kustomization := kustomizations.of(path):
        yield from _of_kustomization(kustomization, absent)
    elif documents.is_file(chart := path / "Chart.yaml"):
        raise SignoffError(
            "this is a Helm chart, not manifests",
            where=str(chart),
            hint="render it into a file and name that: `helm template RELEASE CHART > rendered.yaml`",
        )
    else:
        yield from _of_folder(path, absent)


def _of_folder(folder: Path, absent: list[Absent]) -> Iterator[Manifest]:
    with documents.reading(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        if documents.is_folder(path):
            if not path.name.startswith(".") and not path.is_symlink():
                yield from _read(path, absent)
        elif path.suffix in documents.SUFFIXES:
            yield from _of_file(path)


def _of_file(file: Path) -> Iterator[Manifest]:
    data = documents.content(file)
    sha256 = hashlib.sha256(data).hexdigest()
    for document in documents.decoded(data, file):
        for body in _items(without_nulls(document)):
            yield _manifest(file, sha256, body)


def _items(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object, or those that a List holds, however deep."""
    items = body.get("items")
    if str(body.get("kind", "")).endswith("List") and isinstance(items, list):
        for each in items:
            yield from _items(each if isinstance(each, dict) else {"kind": each})
    elif not (str(body.get("kind", "")) == "List" and items is None):
        yield body


def _manifest(file: Path, sha256: str, body: dict[str, Any]) -> Manifest:
    found = faults(body)
    if found:
        place, _ = found[0]
        raise SignoffError(
            f"not a Kubernetes object: {', '.join(f'{_dotted(path)} {what}' for path, what in found)}",
            where=f"{file}:{line_in(file, body, place)}",
            hint="fix the file, or move it elsewhere if it is no manifest",
        )
    return Manifest(file, sha256, body)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


# --- kustomize


def _of_kustomization(file: Path, absent: list[Absent]) -> Iterator[Manifest]:
    content = [document for document in documents.read(file) if document]
    listed = [name for document in content for name in kustomizations.listed(document.get("resources"), file)]
    if not content or (not listed and set(content[0]) <= _ONLY_A_LIST):
        raise SignoffError("the folder lists no manifests", where=str(file), hint="name them under `resources:`")
    parts = kustomizations.parts_of(file)
    local = [file.parent / name for name in listed if not kustomizations.is_remote(name)]
    if any(set(document) - _ONLY_A_LIST for document in content) or len(local) < len(listed):
        yield from _built(file, parts, absent)
        return
    absent += kustomizations.absent_in(file)
    for path in (each for each in local if documents.is_there(each)):
        if documents.is_folder(path) and not kustomizations.of(path):
            raise SignoffError(
                f"`resources` names a folder without a kustomization: {path.name}",
                where=str(file),
                hint="name the files in it, or give it a kustomization.yaml",
            )
        yield from _read(path, absent)


def _built(file: Path, parts: list[Path], absent: list[Absent]) -> Iterator[Manifest]:
    """What kustomize builds of a kustomization, each object with the file that it comes from.

    kustomize tells that only where a kustomization asks for it, so it is asked by way of another one, elsewhere. It
    builds nothing where a file is not there, so that it is then given stand-ins which do not name that.
    """
    kustomizations.hide_secrets(parts)
    _sweep()
    with ExitStack() as stack:
        with writing("a kustomization over yours", Path(gettempdir()), "free some space, or set TMPDIR"):
            over = Path(stack.enter_context(TemporaryDirectory(prefix=_OWN_FOLDER))).resolve()
            stand_ins = kustomizations.without_absent(parts, over / "stand-ins")
            absent += stand_ins.absent
            base = os.path.relpath(stand_ins.of(parts[0].parent), over)
            overlay = {"resources": [base], "buildMetadata": ["originAnnotations"]}
            (over / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
        text = _kustomized(over, file, stand_ins)
        sha256 = cache(_sha256)
        for document in documents.parse(text, file):
            for body in _items(without_nulls(document)):
                origin = stand_ins.original(_taken_origin(body, over)) or file
                yield _manifest(origin, sha256(origin), body)


def _sweep() -> None:
    """Remove what killed runs have left: a folder that is older than any build may take is nobody's."""
    for folder in Path(gettempdir()).glob(f"{_OWN_FOLDER}*"):
        with suppress(OSError):  # another run was quicker, or it is another user's
            if time.time() - folder.lstat().st_mtime > 2 * timeouts.KUSTOMIZE_BUILDS.seconds:
                shutil.rmtree(folder)


def _sha256(file: Path) -> str:
    return hashlib.sha256(documents.content(file)).hexdigest() if file.is_file() else ""


def _kustomized(folder: Path, file: Path, stand_ins: StandIns) -> str:
    command = [*kustomize.command(lambda text: progress("kustomize", text)), str(folder)]
    if stand_ins.absent:
        command += ["--load-restrictor", "LoadRestrictionsNone"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeouts.KUSTOMIZE_BUILDS.seconds,
        )
    except OSError as error:
        raise SignoffError(f"{command[0]} does not run: {error.strerror}", where=str(file)) from None
    except subprocess.TimeoutExpired as error:
        raise SignoffError(
            f"kustomize was not done after {error.timeout:.0f} s",
            where=str(file),
            hint="see whether what it fetches can be reached: `kubectl kustomize` with this folder",
        ) from None
    if done.returncode:
        reason = reason_in(redacted(done.stderr.decode(errors="replace")))
        reason = reason.replace(str(stand_ins.to), str(stand_ins.root)).replace(str(folder), str(file.parent))
        raise SignoffError(
            f"kustomize cannot build this folder: {reason}", where=str(file), hint="fix the kustomization"
        )
    return done.stdout.decode(errors="replace")


def _taken_origin(body: dict[str, Any], over: Path) -> Path | None:
    """The local file that kustomize says an object comes from, which is no longer said in the object after that."""
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    told = annotations.pop(_ORIGIN, None) if isinstance(annotations, dict) else None
    if isinstance(metadata, dict) and annotations == {}:
        del metadata["annotations"]
    origin = yaml.safe_load(told) if told else {}
    path = origin.get("path") or origin.get("configuredIn")
    return Path(os.path.normpath(over / path)) if path and "repo" not in origin else None
