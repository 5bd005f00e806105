"""The probes of the gateway's pods: what they ask, and how long they let LiteLLM start."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from signoff.core.yaml_lines import Path as Place
from signoff.evidence.models import Probe, ProbesSeen
from signoff.kube.client import Kube, condition, container_statuses, describe_end, lasting_statuses
from signoff.kube.manifests import StoryManifests

_ROLES: tuple[Literal["startup", "liveness", "readiness"], ...] = ("startup", "liveness", "readiness")
_PODS = ("spec", "template", "spec")


def seen(kube: Kube, manifests: StoryManifests, check: str, starts: Mapping[str, int]) -> ProbesSeen:
    """The probes as the cluster has them, defaults filled in, and what became of the pods' containers.

    `starts` are the seconds that pods took to become Ready for the first time.
    """
    own, where = manifests.roles.gateway, manifests.where
    several = _containers(kube, manifests)
    pods = kube.pods(own.namespace, own.selector)
    litellm = own.container or several[0][0].name
    return ProbesSeen(
        check=check,
        probes=list(_probes(several, manifests)),
        starts=dict(starts),
        ends={pod.metadata.name: told for pod in pods if (told := _end(pod))},
        unbounded={
            each.name: where(own.object, *place, "resources")
            for each, place in several
            if not ((each.resources and each.resources.limits) or {}).get("memory")
        },
        unwatched={
            each.name: where(own.object, *place)
            for each, place in several
            if each.name == litellm and not each.liveness_probe
        },
    )


def that_may_have_ended_it(kube: Kube, manifests: StoryManifests) -> list[Probe]:
    """The probes by which the kubelet may have ended containers of the gateway that did not start in time."""
    own = manifests.roles.gateway
    ended = {
        status.name
        for pod in kube.pods(own.namespace, own.selector)
        for status in container_statuses(pod)
        if status.restart_count and not status.ready
    }
    several = _probes(_containers(kube, manifests), manifests)
    return [each for each in several if each.limits_start and each.container in ended]


def _containers(kube: Kube, manifests: StoryManifests) -> list[tuple[Any, Place]]:
    """The containers that run side by side, sidecars last, each with where it stands."""
    own = manifests.roles.gateway
    pods = kube.workload(own.namespace, own.name, own.kind).spec.template.spec
    return [(each, place) for each, place in placed(pods) if "containers" in place or each.restart_policy == "Always"]


def placed(pods: Any) -> Iterator[tuple[Any, Place]]:
    """The containers of a workload's pods as the API has them, init containers last, each with where it stands."""
    for group, several in (("containers", pods.containers), ("initContainers", pods.init_containers or [])):
        for at, container in enumerate(several):
            yield container, (*_PODS, group, at)


def _probes(several: Sequence[tuple[Any, Place]], manifests: StoryManifests) -> Iterator[Probe]:
    for container, place in several:
        for role in _ROLES:
            if probe := getattr(container, f"{role}_probe"):
                yield Probe(
                    container=container.name,
                    role=role,
                    asks=_asked(probe),
                    seconds=_seconds_left(probe),
                    limits_start=role == ("startup" if container.startup_probe else "liveness"),
                    file=manifests.where(manifests.roles.gateway.object, *place, f"{role}Probe"),
                )


def _asked(probe: Any) -> str:
    """The path, command or port that a probe asks."""
    if probe.http_get:
        return str(probe.http_get.path or "/")
    if probe._exec:
        return " ".join(probe._exec.command or [])
    return f"port {(probe.tcp_socket or probe.grpc).port}"


def _seconds_left(probe: Any) -> int:
    """How long a container has until this probe ends it, if it never succeeds.

    Source: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
    """
    delay, every, often = probe.initial_delay_seconds or 0, probe.period_seconds or 10, probe.failure_threshold or 3
    return int(delay + every * (often - 1))


def start_of(pod: Any) -> int | None:
    """The seconds from the start of a pod's containers to its readiness, if it is Ready; for the first time, if it has
    not lost it since.
    """
    ready = condition(pod, "Ready")
    states = [status.state for status in pod.status.container_statuses or []]
    began = [state.running.started_at for state in states if state and state.running and state.running.started_at]
    if ready is None or ready.status != "True" or not began:
        return None
    took: timedelta = ready.last_transition_time - max(began)
    return max(0, round(took.total_seconds()))


def _end(pod: Any) -> str:
    """How a container or a sidecar of the pod has ended since the pod was made."""
    ended = [status for status in lasting_statuses(pod) if status.restart_count]
    return f"{describe_end(ended[0])}, {ended[0].restart_count} times" if ended else ""
