"""Which nodes a gateway's and a backend's manifests speak of, as settings.

The story's nodes are named where a person's manifests name others; a GPU's node that they know by a label or a taint
gets that in a cluster that the suite starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signoff import story
from signoff.core.yaml_lines import Path as Place
from signoff.kube.nodes import NodeRule, rules, tolerated
from signoff.kube.objects import Manifest
from signoff.kube.placement import HOSTNAME, by_name

_STORY_NEVER = (story.GPU_NODE,)


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
    return [*_by_name(gateway, backend), *_by_mark(gateway, backend)]


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


def _by_mark(gateway: Manifest, backend: Manifest | None) -> Iterator[Proposal]:
    labels: dict[str, str] = {}
    saying: list[tuple[Manifest, Place]] = []
    for manifest, rule in _about_the_gpu(gateway, backend):
        if value := next(iter(rule.values), "true"):  # a setting has no label without a value
            labels.setdefault(rule.key, value)
            saying.append((manifest, rule.place))
    if labels:
        yield Proposal("forbidden_labels", labels, "the GPU's node is known by it", *saying[0])
    taints = tolerated(backend.body) if backend else []
    if backend and taints:
        texts = list(dict.fromkeys(each.taint for each in taints))
        yield Proposal("forbidden_taints", texts, "vLLM tolerates it", backend, taints[0].place)


def _about_the_gpu(gateway: Manifest, backend: Manifest | None) -> Iterator[tuple[Manifest, NodeRule]]:
    """The rules by which vLLM finds its node, and by which LiteLLM keeps off it."""
    wanted = (backend, ("In", "Exists")), (gateway, ("NotIn", "DoesNotExist"))
    for manifest, operators in wanted:
        for rule in rules(manifest.body) if manifest else ():
            if manifest and rule.is_about_a_label and rule.operator in operators:
                yield manifest, rule
