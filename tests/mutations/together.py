"""Mutations that are tried in one run, since none has to do with what the others break."""

import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from signoff.core.paths import MANIFESTS
from tests.mutations.scenarios import CHAT
from tests.mutations.table import Mutation, Objects

Together = tuple[Mutation, ...]
AT_MOST = 4
"""So many that a person who sees such a run fail still reads why."""
_FILES = [Path("litellm", name) for name in ("configmap.yaml", "deployment.yaml", "ingressroute.yaml")]
_MORE = Path("litellm", "more.yaml")
_BACKEND = Path("vllm", "deployment.yaml")


def packed(mutations: Sequence[Mutation]) -> list[Together]:
    """All of them, in their order, each in the first run that it can share."""
    runs: list[Together] = []
    for each in mutations:
        runs = joined(runs, each) or [*runs, (each,)]
    return runs


def joined(runs: Sequence[Together], mutation: Mutation) -> list[Together]:
    """The runs with this mutation in the first that it can share; none if there is no such run."""
    for place, run in enumerate(runs):
        if len(run) < AT_MOST and all(share(mutation, other) for other in run):
            return [*runs[:place], (*run, mutation), *runs[place + 1 :]]
    return []


def share(one: Mutation, other: Mutation) -> bool:
    """Whether each still breaks what it breaks alone, and is seen to: they edit and turn red different things."""
    alone = one.options or other.options or _hides_others(one) or _hides_others(other) or _is_seen_through(one, other)
    return not (alone or one.red & other.red or _meet(one, other) or (one.file and other.file))


def _meet(one: Mutation, other: Mutation) -> bool:
    """Whether they edit the same, or both the Service, through which all is asked."""
    places, others = edited(one), edited(other)
    return bool(places & others) or all("Service" in {place[0] for place in each} for each in (places, others))


def _hides_others(mutation: Mutation) -> bool:
    """Whether what the others break cannot be told any more: LiteLLM answers nobody, or vLLM has just been away."""
    return mutation.before_then or CHAT in mutation.red or "gaming_mode" in mutation.tested


def _is_seen_through(one: Mutation, other: Mutation) -> bool:
    """Whether one of them is about the way in, through which what the other breaks of LiteLLM is seen as well."""
    return len({each.tested == ["way_in"] for each in (one, other)}) > 1


@cache
def edited(mutation: Mutation) -> frozenset[tuple[Any, ...]]:
    """The places that the mutation changes, adds or takes out, each from its object down to a single value."""
    before, after = (dict(_values(objects)) for objects in (_originals(), _originals(mutation)))
    changed = {place for place in before.keys() & after if before[place] != after[place]}
    return frozenset(changed | (before.keys() ^ after.keys()))


def mutated(mutations: Together, folder: Path) -> Path:
    """A copy of manifests/ with the mutations in it."""
    shutil.copytree(MANIFESTS, folder)
    objects = _originals(*mutations)
    service = objects.pop("BackendService")
    backend = [service if each["kind"] == "Service" else each for each in _documents(_BACKEND)]
    (folder / _BACKEND).write_text(yaml.dump_all(backend, Dumper=yaml.CSafeDumper))
    one_file = next((each.file for each in mutations if each.file), "")
    file_of = {document["kind"]: file for file in _FILES for document in _documents(file)}
    written: dict[str, list[dict[str, Any]]] = {}
    for key, document in objects.items():
        written.setdefault(one_file or file_of.get(key, _MORE).name, []).append(document)
    for name, several in written.items():
        (folder / "litellm" / name).write_text(yaml.dump_all(several, Dumper=yaml.CSafeDumper))
    (folder / "litellm" / "kustomization.yaml").write_text(yaml.safe_dump({"resources": list(written)}))
    return folder


def _originals(*mutations: Mutation) -> Objects:
    """The objects of manifests/ that mutations edit, after these have edited them."""
    objects: Objects = {document["kind"]: document for file in _FILES for document in _documents(file)}
    objects["BackendService"] = next(each for each in _documents(_BACKEND) if each["kind"] == "Service")
    for each in mutations:
        each.edit(objects)
    return objects


def _documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.load_all((MANIFESTS / file).read_text(), yaml.CSafeLoader))


def _values(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each single value below this one, with its place."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if not branches:
        yield place, tree
    for key, branch in branches:
        yield from _values(branch, (*place, key))
