"""The cluster and the story's deployment on it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pytest_bdd import given, then

from signoff.bdd.observing import observes
from signoff.bdd.plugin import is_over, watch_over
from signoff.cluster.base import Cluster
from signoff.cluster.registry import open_cluster
from signoff.core.console import progress
from signoff.evidence import Evidence, causes
from signoff.evidence.models import (
    EndpointsSeen,
    InsideSeen,
    LabelsSeen,
    LeftAsFound,
    PodsSeen,
    ServiceSeen,
    Subject,
    VersionSeen,
)
from signoff.evidence.recording import record_cluster
from signoff.gateway import configuration, exposure, files, inside, probes
from signoff.gateway.deployment import Deployment
from signoff.judges.deployment import INSIDE_PATHS
from signoff.kube import diagnostics
from signoff.kube.client import Kube, describe_pod, is_ready, labels_text, selector_of
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import main_containers
from signoff.options import Chosen, remember_cluster
from signoff.settings import nodes
from signoff.traffic.endpoint import Endpoint
from signoff.way_in import controllers
from steps.chat import PROMPT, ask


@pytest.fixture(scope="session")
def manifests(chosen: Chosen) -> StoryManifests:
    """The manifests with the run's images in them."""
    return chosen.manifests


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, chosen: Chosen, evidence: Evidence) -> Iterator[Cluster]:
    """The cluster of this run; what the run started ends with it."""
    with causes.of(Subject.CLUSTER):
        images = {**chosen.manifests.images, **controllers.images(chosen.manifests)}
        opened = open_cluster(
            chosen.cluster,
            chosen.attach,
            images,
            chosen.settings.nodes,
            keep=chosen.keep,
            fresh=chosen.fresh,
            use=chosen.use(evidence.dir),
        )
    try:
        remember_cluster(chosen)  # once it is told which one it is
        with causes.of(Subject.CLUSTER):
            kube = Kube(opened.kubeconfig, opened.gate)
            nodes.check(chosen.read, [each.metadata.name for each in kube.core.list_node().items])
        record_cluster(evidence, opened)
        yield opened
    finally:
        try:
            if request.session.testsfailed:
                opened.export_logs(evidence.dir / "cluster-logs")
                if (evidence.dir / "cluster-logs").exists():
                    progress("cluster", f"its logs are in {evidence.dir / 'cluster-logs'}")
        finally:
            left = opened.close()
            if opened.gate is not None and not is_over(request.config):
                evidence.add(LeftAsFound(differences=list(left)))


@pytest.fixture(scope="session")
def capabilities(cluster: Cluster, manifests: StoryManifests) -> frozenset[str]:
    """What the run can do beyond looking at pods; scenarios tagged `needs-...` ask for it."""
    files = {"files"} if manifests.source.folder else frozenset()
    return cluster.capabilities | files | (frozenset() if manifests.copy_of else {"way-in"})


@pytest.fixture(scope="session")
def opened_by(cluster: Cluster) -> Mapping[str, str]:
    """Why the run lacks a capability, and the option that opens it."""
    return {
        **cluster.opened_by,
        "files": "it is judged as it stands, and no files are named: --manifests names them",
        "way-in": "no way in leads to a copy: leave --as-copy out to have it judged",
    }


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, manifests: StoryManifests, evidence: Evidence
) -> Deployment:
    """The manifests, applied or as they stand; both start side by side, and are waited for where a step needs them."""
    hosts_controllers = "controllers" in cluster.capabilities and controllers.wanted_by(manifests)
    made = Deployment(cluster, controllers.with_pebble(manifests) if hosts_controllers else manifests, evidence)
    beside = [controllers.NAMESPACE] if "controllers" in cluster.capabilities else [cluster.own_namespace]
    served = made.manifests.roles
    workloads = [served.gateway, served.backend, *(each.backend for each in served.others)]
    judged = None if cluster.gate is None else diagnostics.Judged(workloads, [cluster.own_namespace])
    watch_over(
        request.config,
        bundle=lambda error: diagnostics.collect(
            made.kube, made.namespace, error, cluster.failure(), beside=beside, judged=judged
        ),
        disturbances=made.disturbances,
    )
    if manifests.stood:
        made.record_standing()
    if not manifests.applied:
        return made
    with evidence.phase("apply the manifests", set_up=True):
        made.clear_away()
        if hosts_controllers:
            controllers.start(made.kube, cluster, made.manifests)
        made.start_both()
    return made


@pytest.fixture(scope="session")
def kube(deployment: Deployment) -> Kube:
    """The cluster's API."""
    return deployment.kube


@pytest.fixture(scope="session")
def backend(deployment: Deployment, evidence: Evidence) -> Endpoint:
    """A vLLM that answers."""
    with evidence.phase("vLLM becomes available", set_up=True):
        return deployment.wait_for_backend()


@pytest.fixture(scope="session")
def gateway_pods(deployment: Deployment, evidence: Evidence) -> None:
    """The pods of the LiteLLM under test are available; its Service may still be wrong."""
    with evidence.phase("LiteLLM becomes available", set_up=True):
        deployment.wait_for_gateway()


@pytest.fixture(scope="session")
def gateway(deployment: Deployment, gateway_pods: None) -> Endpoint:
    """The LiteLLM under test, which answers."""
    return deployment.answering_gateway()


@given("the namespace exists with vLLM deployment running")
def vllm_is_running(deployment: Deployment, backend: Endpoint) -> None:
    """The fixture has waited for its start; since then it may have been restarted."""
    deployment.answering_backend()


@given("LiteLLM is deployed via Kubernetes manifests")
def litellm_is_deployed(gateway_pods: None) -> None:
    """The fixture has waited for it."""


@then("the LiteLLM pod is Running and Ready in its namespace")
@observes("pod-ready")
def pod_is_running_and_ready(deployment: Deployment, evidence: Evidence) -> None:
    pods = deployment.pods(deployment.gateway)
    evidence.add(
        PodsSeen(
            check="pod-ready",
            selector=f"{labels_text(deployment.gateway.selector)} in {deployment.namespace}",
            ready={pod.metadata.name: pod.status.phase == "Running" and is_ready(pod) for pod in pods},
            states={pod.metadata.name: describe_pod(pod) for pod in pods},
            file=deployment.manifests.where(deployment.gateway.object),
        )
    )


@then("all objects of LiteLLM carry the standard labels")
@observes("labels")
def objects_carry_labels(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    for kind, objects in _objects_of_gateway(kube, deployment).items():
        files = {name: _labels_of(deployment, kind, name) for name in objects}
        labels = {f"{kind}/{name}": dict(item.metadata.labels or {}) for name, item in objects.items()}
        named = {f"{kind}/{name}": file for name, file in files.items()}
        asked = dict(deployment.settings.labels)
        evidence.add(LabelsSeen(check="labels", case=kind, labels=labels, files=named, asked=asked))


def _objects_of_gateway(kube: Kube, deployment: Deployment) -> dict[str, dict[str, Any]]:
    """The objects of LiteLLM by kind and name, its pods included; whatever runs its pods counts as a Deployment."""
    own, config = deployment.gateway, deployment.manifests.roles.config.config_map
    workload = kube.workload(own.namespace, own.name, own.kind)
    pods = kube.core.list_namespaced_pod(own.namespace, label_selector=selector_of(workload)).items
    return {
        "Deployment": {own.name: workload},
        "Service": {own.service: kube.core.read_namespaced_service(own.service, own.namespace)},
        "ConfigMap": {config: kube.core.read_namespaced_config_map(config, own.namespace)},
        "Pod": {pod.metadata.name: pod for pod in pods},
    }


def _labels_of(deployment: Deployment, kind: str, name: str) -> str:
    """Where the labels of an object are written; a pod's in its workload's template."""
    own, where = deployment.gateway.object, deployment.manifests.where
    if kind == "Pod":
        return where(own, "spec", "template", "metadata", "labels")
    return where(own if kind == "Deployment" else f"{kind}/{name}", "metadata", "labels")


@then("LiteLLM's Service is of the type and on the port of the story")
@observes("service")
def service_is(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    own = deployment.gateway
    service = kube.core.read_namespaced_service(own.service, own.namespace)
    wrong = "type" if service.spec.type != deployment.settings.service_type else "ports"
    evidence.add(
        ServiceSeen(
            check="service",
            type=service.spec.type,
            ports=[item.port for item in service.spec.ports or []],
            file=deployment.manifests.where(f"Service/{own.service}", "spec", wrong),
            host_ports=exposure.host_ports(deployment),
            openings=exposure.openings(deployment),
            asked={"type": deployment.settings.service_type, "port": deployment.settings.port},
        )
    )


@then("LiteLLM's Service sends to every Ready LiteLLM pod")
@observes("endpoints")
def service_has_endpoints(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    own = deployment.gateway
    slices = kube.discovery.list_namespaced_endpoint_slice(
        own.namespace, label_selector=f"kubernetes.io/service-name={own.service}"
    ).items
    endpoints = {end.addresses[0] for piece in slices for end in piece.endpoints or [] if end.conditions.ready}
    pods = {pod.status.pod_ip for pod in deployment.ready_gateway_pods()}
    port, written = exposure.target_port(deployment, kube.core.read_namespaced_service(own.service, own.namespace))
    evidence.add(
        EndpointsSeen(
            check="endpoints",
            endpoints=sorted(endpoints),
            ready_pods=sorted(pods),
            file=deployment.manifests.where(f"Service/{own.service}", "spec", "selector"),
            target_port=port,
            target_file=written,
            unanswered=exposure.unanswered(deployment),
        )
    )


@then("no probe asks a model, and none ends LiteLLM while it starts")
@observes("probes")
def probes_leave_it_alone(deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(probes.seen(deployment.kube, deployment.manifests, "probes", deployment.starts))


@then("the endpoint answers by its cluster name from inside a pod")
@observes("cluster-name")
def answers_inside(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    with causes.of(Subject.CLUSTER):
        found = inside.ask(kube, deployment.manifests, deployment.keys, deployment.cluster.own_namespace)
    for case, answer in found.answers.items():
        evidence.add(
            InsideSeen(
                check="cluster-name",
                case=case,
                url=f"{inside.base_url(deployment.manifests)}{INSIDE_PATHS[case]}",
                pod=found.pod,
                node=found.node,
                **answer,
            )
        )


@then("the manifests lie in the files that the story lists")
@observes("file-layout")
def files_are(manifests: StoryManifests, evidence: Evidence) -> None:
    evidence.add(files.seen("file-layout", manifests))


@then("LiteLLM's configuration is the story's")
@observes("configuration")
def configuration_is(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    manifests = deployment.manifests
    there = configuration.deployed(kube, manifests)
    seen = configuration.seen("configuration", there, manifests)
    evidence.add(seen.model_copy(update={"outdated": configuration.outdated(kube, there, manifests)}))


@then("the version that runs is the one that was deployed")
@observes("version")
def version_is(gateway: Endpoint, deployment: Deployment, evidence: Evidence) -> None:
    tells = ask(evidence, "proxied", gateway, PROMPT).answer.headers.get("x-litellm-version", "")
    pods = deployment.pods(deployment.gateway)
    evidence.add(
        VersionSeen(
            check="version",
            manifest=deployment.manifests.gateway_image,
            pods={pod.metadata.name: _main_image(pod, deployment.gateway.container) for pod in pods},
            pulled={pod.metadata.name: _pulled(pod, deployment.gateway.container) for pod in pods},
            tells=tells,
            file=_place_of_image(deployment),
        )
    )


def _place_of_image(deployment: Deployment) -> str:
    """Where the image of LiteLLM's own container is written."""
    own, manifests = deployment.gateway, deployment.manifests
    names = [each.get("name") for each in main_containers(manifests.object(own.object).body)]
    at = names.index(own.container) if own.container in names else 0
    return manifests.where(own.object, "spec", "template", "spec", "containers", at, "image")


def _main_image(pod: Any, name: str) -> str:
    """The image of LiteLLM's own container; of a pod that has none of this name, the first one's."""
    several = pod.spec.containers
    return str(next((each.image for each in several if each.name == name), several[0].image))


def _pulled(pod: Any, name: str) -> str:
    """What the node says that it runs of that container, with the digest if it was pulled."""
    several = pod.status.container_statuses or []
    return str(next((each.image_id for each in several if each.name == name), several[0].image_id if several else ""))
