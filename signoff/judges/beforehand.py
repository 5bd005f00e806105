"""What manifests alone tell, for a run that no cluster can have: judged as a run would judge it, where it can be."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from signoff.core.node import Taint
from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import LabelsSeen, Observation, ResourcesSeen, ServiceSeen
from signoff.gateway import configuration, files
from signoff.judges.acceptance import BY_TAINTS
from signoff.judges.placement import rule_for
from signoff.judges.registry import JUDGES
from signoff.kube.manifests import StoryManifests
from signoff.kube.nodes import rules
from signoff.kube.objects import containers, placed_containers, pod_template
from signoff.kube.placement import possible_nodes, tolerates
from signoff.story.declaration import Check
from signoff.verdicts.verdict import Value

_CONTAINERS = ("spec", "template", "spec", "containers")
_BY_THE_SCHEDULER, _NEW = "scheduler-asked", "a new worker"
_NOTHING = Recorded(Path(), [])
"""The evidence of a run that has none: none of these judges asks it."""


def findings(manifests: StoryManifests, checks: Mapping[str, Check]) -> Iterator[str]:
    """What fails whatever cluster it runs on, in a sentence each: "service: the Service is a ClusterIP with ...".

    `checks` are those of the story. Of those that look at what runs, none is here: that nothing failed is no pass.
    """
    for seen in _observations(manifests):
        check = checks.get(seen.check)
        judge = JUDGES.get(check.judge) if check else None
        if check and judge and isinstance(seen, judge.reads):
            for _, verdict in judge.rule([seen], check, _NOTHING):
                if verdict.value is Value.FAILED:
                    yield f"{seen.check}: {verdict.reason}"
    if _BY_THE_SCHEDULER in checks and (told := _no_rule(manifests)):
        yield f"{_BY_THE_SCHEDULER}: {told}"


def _observations(manifests: StoryManifests) -> Iterator[Observation]:
    """What a run would see of the objects as they are applied."""
    settings, own, config = manifests.settings, manifests.roles.gateway, manifests.roles.config
    workload = manifests.object(own.object)
    service = manifests.object(f"Service/{own.service}")
    template = pod_template(workload.body)
    labelled: Sequence[tuple[str, str, dict[str, Any], str]] = (
        ("Deployment", own.name, workload.body, manifests.where(own.object, "metadata", "labels")),
        ("Service", own.service, service.body, manifests.where(service.name, "metadata", "labels")),
        (
            "ConfigMap",
            config.config_map,
            manifests.object(config.object).body,
            manifests.where(config.object, "metadata", "labels"),
        ),
        ("Pod", own.name, template, manifests.where(own.object, "spec", "template", "metadata", "labels")),
    )
    for kind, name, body, where in labelled:
        labels = body.get("metadata", {}).get("labels", {})
        named = f"{kind}/{name}"
        yield LabelsSeen(
            check="labels", case=kind, labels={named: labels}, files={named: where}, asked=dict(settings.labels)
        )
    spec = service.body.get("spec", {})
    kind = spec.get("type", "ClusterIP")
    wrong = "type" if kind != settings.service_type else "ports"
    yield ServiceSeen(
        check="service",
        type=kind,
        ports=[each["port"] for each in spec.get("ports", [])],
        file=manifests.where(service.name, "spec", wrong),
        host_ports={
            port["hostPort"]: manifests.where(own.object, *place, "ports", number)
            for container, place in placed_containers(workload.body)
            for number, port in enumerate(container.get("ports", []))
            if port.get("hostPort")
        },
        asked={"type": settings.service_type, "port": settings.port},
    )
    if manifests.source.folder:
        yield files.seen("file-layout", manifests)
    yield configuration.seen("configuration", manifests.roles.configuration, manifests)
    requested = {
        f"{own.name}/{each.get('name', '')}": {**resources.get("limits", {}), **resources.get("requests", {})}
        for each in containers(workload.body)
        if isinstance(resources := each.get("resources", {}), dict)
    }
    amounts = {name: {key: str(value) for key, value in each.items()} for name, each in requested.items()}
    yield ResourcesSeen(check="no-gpu", requested=amounts, file=manifests.where(own.object, *_CONTAINERS))


def _no_rule(manifests: StoryManifests) -> str:
    """That no rule keeps LiteLLM off a forbidden node; empty where a label may, or a taint that counts as a rule."""
    own, settings = manifests.roles.gateway, manifests.settings
    body = manifests.object(own.object).body
    if any(each.is_required and each.is_about_a_label for each in rules(body)):
        return ""
    by_taints = settings.forbidden_by in BY_TAINTS
    spec = pod_template(body)["spec"]
    forbidden = [
        node.name
        for node in settings.nodes
        if node.name in settings.forbidden_nodes
        and not (by_taints and any(not tolerates(spec, Taint.parse(taint)) for taint in node.taints))
    ]
    new = [_NEW] if settings.forbidden_by == "allowed-names" else []
    there = sorted(possible_nodes(body, [*forbidden, *new]))
    place = manifests.where(own.object, "spec", "template", "spec")
    told = f"no rule keeps LiteLLM off {listed(there)}: {rule_for(settings.allowed_nodes)} (see {place})"
    return told if there else ""
