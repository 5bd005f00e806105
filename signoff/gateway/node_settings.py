"""Which nodes a gateway's and a backend's manifests speak of, as settings.

The story's nodes are named where a person's manifests name others; a GPU's node that they know by other labels or
taints than the suite's own is declared with those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from signoff import story
from signoff.core.node import Node, Taint
from signoff.core.yaml_lines import Path as Place
from signoff.kube.nodes import NodeRule, rules, tolerated
from signoff.kube.objects import Manifest, pod_spec
from signoff.kube.placement import HOSTNAME, by_name, tolerates
from signoff.kube.stand_in import needed_for

_STORY_NEVER = (story.GPU_NODE,)
_OF_A_GPU = story.gpu_node(story.GPU_NODE)
_AWAY = ("NotIn", "DoesNotExist")
_POD: Place = ("spec", "template", "spec")


@dataclass(frozen=True)
class Proposal:
    """A setting that is not the story's, and which place of a manifest says so."""

    name: str
    value: Any
    why: str
    manifest: Manifest
    place: Place


@dataclass(frozen=True)
class _Named:
    """Nodes by their names, and the rule that names them."""

    nodes: tuple[str, ...]
    manifest: Manifest
    place: Place


def proposals(gateway: Manifest, backend: Manifest | None) -> list[Proposal]:
    """What to set for these manifests; nothing where they speak of the story's nodes, or of none."""
    names = list(_by_name(gateway, backend))
    return [*names, *_forbidden_by(gateway, backend), *_declared(gateway, backend, names)]


def _by_name(gateway: Manifest, backend: Manifest | None) -> Iterator[Proposal]:
    allowed, forbidden = _named(gateway, "In"), _named(gateway, "NotIn")
    serving = _named(backend, "In", preferred=False) if backend else None
    own = allowed.nodes if allowed else story.ALLOWED_NODES
    away = forbidden or serving
    never = away.nodes if away else ()
    if forbidden is None:  # that vLLM runs there is no word on LiteLLM
        never = tuple(node for node in never if node not in own)
    own = tuple(node for node in own if node not in (never or _STORY_NEVER))
    source = allowed or away
    if source and own and (set(own) - set(story.ALLOWED_NODES) or set(never) & set(story.ALLOWED_NODES)):
        yield _proposal("allowed_nodes", own, "LiteLLM's affinity", source)
    if away and set(never) - set(_STORY_NEVER):
        yield _proposal("forbidden_nodes", never, "LiteLLM keeps off them" if forbidden else "vLLM's own", away)
    if serving and set(serving.nodes) - set(_STORY_NEVER):
        yield _proposal("backend_nodes", serving.nodes, "vLLM's own", serving)
    elif away and not serving and set(never) - set(_STORY_NEVER):
        yield _proposal("backend_nodes", never, "those that LiteLLM keeps off; vLLM's manifest names none", away)


def _named(manifest: Manifest, operator: str, *, preferred: bool = True) -> _Named | None:
    """The nodes that a workload's rules of this kind name; what is only preferred counts where nothing is required."""
    every = [rule for rule in rules(manifest.body) if (rule.key, rule.operator) == (HOSTNAME, operator)]
    required = by_name(manifest.body)
    nodes = required.allowed if operator == "In" else required.excluded
    if nodes:
        return _Named(nodes, manifest, every[0].place)
    others = [rule for rule in every if (preferred and not rule.is_required) or rule.place[-1] == "nodeName"]
    nodes = tuple(dict.fromkeys(node for rule in others for node in rule.values))
    return _Named(nodes, manifest, others[0].place) if nodes else None


def _proposal(name: str, nodes: tuple[str, ...], why: str, named: _Named) -> Proposal:
    return Proposal(name, list(nodes), why, named.manifest, named.place)


def _forbidden_by(gateway: Manifest, backend: Manifest | None) -> Iterator[Proposal]:
    """By what LiteLLM is kept off a node, where that is not by naming the nodes on which it may run."""
    required = [rule for rule in rules(gateway.body) if rule.is_required]
    away = [rule for rule in required if rule.operator in _AWAY]
    named = by_name(gateway.body)
    if by_label := [rule for rule in away if rule.is_about_a_label and not named.allowed]:
        yield Proposal("forbidden_by", "labels", "LiteLLM's affinity", gateway, by_label[0].place)
    elif named.excluded:
        yield Proposal("forbidden_by", "forbidden-names", "LiteLLM's affinity", gateway, away[0].place)
    elif backend and not required:
        taints = [each for each in tolerated(backend.body) if not _tolerates(gateway, each.taint)]
        if taints:
            yield Proposal("forbidden_by", "taints", "vLLM tolerates it, LiteLLM does not", backend, taints[0].place)


def _declared(gateway: Manifest, backend: Manifest | None, names: Sequence[Proposal]) -> Iterator[Proposal]:
    """All nodes, where the GPU's is known by what the suite's own has not, or vLLM puts up with less than that has."""
    labels: dict[str, str] = {}
    saying: list[tuple[str, Manifest, Place]] = []
    for manifest, rule in _about_the_gpu(gateway, backend):
        labels.setdefault(rule.key, next(iter(rule.values), "true"))
        saying.append(("the GPU's node is known by it", manifest, rule.place))
    taints: tuple[str, ...] = _OF_A_GPU.taints
    if backend and not all(_tolerates(backend, each) for each in taints):
        known = tolerated(backend.body)
        if known:
            saying.append(("vLLM tolerates it", backend, known[0].place))
        elif not needed_for(backend):
            saying.append(("vLLM tolerates no taint", backend, _POD))
        taints = tuple(dict.fromkeys(each.taint for each in known))
    if saying:
        gpu = replace(_OF_A_GPU, labels=labels or _OF_A_GPU.labels, taints=taints)
        why, manifest, place = saying[0]
        yield Proposal("nodes", [str(each) for each in _every(names, gpu)], why, manifest, place)


def _every(names: Sequence[Proposal], gpu: Node) -> Iterator[Node]:
    """The nodes that are named; those on which LiteLLM may not run are like this one."""
    named = {"allowed_nodes": story.ALLOWED_NODES, "forbidden_nodes": _STORY_NEVER, "backend_nodes": _STORY_NEVER}
    named |= {each.name: each.value for each in names}
    for name in dict.fromkeys(name for several in named.values() for name in several):
        yield Node(name) if name in named["allowed_nodes"] else replace(gpu, name=name)


def _tolerates(manifest: Manifest, taint: str) -> bool:
    return tolerates(pod_spec(manifest.body), Taint.parse(taint))


def _about_the_gpu(gateway: Manifest, backend: Manifest | None) -> Iterator[tuple[Manifest, NodeRule]]:
    """The rules by which vLLM finds its node, and by which LiteLLM keeps off it."""
    wanted = (backend, ("In", "Exists")), (gateway, _AWAY)
    for manifest, operators in wanted:
        for rule in rules(manifest.body) if manifest else ():
            if manifest and rule.is_about_a_label and rule.operator in operators:
                yield manifest, rule
