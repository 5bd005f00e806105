"""The cluster and the story's deployment on it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from pytest_bdd import given, parsers, then

from signoff import bundle, story
from signoff.cluster.base import Cluster
from signoff.cluster.provider import open_cluster
from signoff.console import progress
from signoff.deployment import Deployment
from signoff.evidence import Evidence
from signoff.kube import Kube, describe_pod, is_ready
from signoff.manifests import StoryManifests
from signoff.pytest_plugin import set_failure_bundle
from steps.tables import Rows, rows


@pytest.fixture(scope="session")
def manifests(request: pytest.FixtureRequest) -> StoryManifests:
    """The manifests with the run's images in them; read first, so that a broken one costs nobody a cluster."""
    option = request.config.getoption
    return StoryManifests.read(Path(option("--manifests")), option("--litellm-image"), option("--vllm-image"))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, manifests: StoryManifests, evidence: Evidence) -> Iterator[Cluster]:
    """The cluster of this run; what the run started ends with it."""
    option = request.config.getoption
    attach = Path(option("--attach")) if option("--attach") else None
    keep, fresh = option("--keep-cluster"), option("--fresh-cluster")
    opened = open_cluster(option("--cluster"), attach, manifests.images, keep=keep, fresh=fresh)
    try:
        evidence.record("cluster", **asdict(opened.facts()))
        yield opened
    finally:
        try:
            if request.session.testsfailed:
                opened.export_logs(evidence.dir / "cluster-logs")
                progress("cluster", f"its logs are in {evidence.dir / 'cluster-logs'}")
        finally:
            opened.close()


@pytest.fixture(scope="session")
def capabilities(cluster: Cluster) -> frozenset[str]:
    """What the cluster can do beyond running pods; scenarios tagged `needs-...` ask for it."""
    return cluster.capabilities


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, manifests: StoryManifests, evidence: Evidence
) -> Deployment:
    """The manifests, applied; vLLM and LiteLLM start side by side, and each is waited for where a step needs it."""
    made = Deployment(cluster, manifests, evidence.record)
    set_failure_bundle(
        request.config, lambda error: bundle.collect(made.kube, story.NAMESPACE, error, cluster.failure())
    )
    with evidence.phase("apply the manifests"):
        made.start_both()
    return made


@pytest.fixture(scope="session")
def kube(deployment: Deployment) -> Kube:
    """The cluster's API."""
    return deployment.kube


@pytest.fixture(scope="session")
def backend(deployment: Deployment, evidence: Evidence) -> str:
    """The base URL of a vLLM that answers."""
    with evidence.phase("vLLM becomes available"):
        return deployment.wait_for_backend()


@pytest.fixture(scope="session")
def gateway_pods(deployment: Deployment, evidence: Evidence) -> None:
    """The pods of the LiteLLM under test are available; its Service may still be wrong."""
    with evidence.phase("LiteLLM becomes available"):
        deployment.wait_for_gateway()


@pytest.fixture(scope="session")
def gateway(deployment: Deployment, gateway_pods: None) -> str:
    """The base URL of the LiteLLM under test, which answers."""
    return deployment.answering_gateway()


@given("the ml namespace exists with vLLM deployment running")
def vllm_is_running(deployment: Deployment, backend: str, evidence: Evidence) -> None:
    """The fixture has waited for its start; a Gaming Mode that failed leaves it on its way back, as another pod."""
    if deployment.backend_is_available():
        deployment.answering_backend()
        return
    progress("vllm", "is away, as after a Gaming Mode that failed; it takes about half a minute to come back")
    with evidence.phase("vLLM, which an earlier scenario left away, comes back"):
        deployment.wait_for_backend()


@given("LiteLLM is deployed via Kubernetes manifests")
def litellm_is_deployed(gateway_pods: None) -> None:
    """The fixture has waited for it."""


@then("the LiteLLM pod is Running and Ready in the ml namespace")
def pod_is_running_and_ready(kube: Kube, evidence: Evidence) -> None:
    pods = kube.pods(story.NAMESPACE, story.GATEWAY)
    seen = {pod.metadata.name: describe_pod(pod) for pod in pods}
    evidence.record("pods", pods=seen)
    assert pods, f"no pod labelled app.kubernetes.io/name={story.GATEWAY} in {story.NAMESPACE}"
    assert all(pod.status.phase == "Running" and is_ready(pod) for pod in pods), seen


@then("the LiteLLM objects carry these labels")
def objects_carry_labels(kube: Kube, evidence: Evidence, datatable: Rows) -> None:
    wanted = {row["label"]: row["value"] for row in rows(datatable)}
    namespace, name = story.NAMESPACE, story.GATEWAY
    deployment = kube.deployment(namespace, name)
    objects = {
        f"Deployment/{name}": deployment,
        f"Service/{name}": kube.core.read_namespaced_service(name, namespace),
        "ConfigMap/litellm-config": kube.core.read_namespaced_config_map("litellm-config", namespace),
    }
    selector = ",".join(f"{key}={value}" for key, value in deployment.spec.selector.match_labels.items())
    for pod in kube.core.list_namespaced_pod(namespace, label_selector=selector).items:
        objects[f"Pod/{pod.metadata.name}"] = pod
    found = {key: item.metadata.labels or {} for key, item in objects.items()}
    evidence.record("labels", labels=found)
    lacking = {
        key: {label: labels.get(label) for label, value in wanted.items() if labels.get(label) != value}
        for key, labels in found.items()
    }
    assert not any(lacking.values()), {key: labels for key, labels in lacking.items() if labels}


@then(parsers.parse("the Service litellm is of type {kind} on port {port:d}"))
def service_is(kube: Kube, evidence: Evidence, kind: str, port: int) -> None:
    service = kube.core.read_namespaced_service(story.GATEWAY, story.NAMESPACE)
    ports = [item.port for item in service.spec.ports]
    evidence.record("service", type=service.spec.type, ports=ports, cluster_ip=service.spec.cluster_ip)
    assert service.spec.type == kind
    assert port in ports


@then("the Service litellm sends to every Ready LiteLLM pod")
def service_has_endpoints(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    slices = kube.discovery.list_namespaced_endpoint_slice(
        story.NAMESPACE, label_selector=f"kubernetes.io/service-name={story.GATEWAY}"
    ).items
    endpoints = {end.addresses[0] for piece in slices for end in piece.endpoints or [] if end.conditions.ready}
    pods = {pod.status.pod_ip for pod in deployment.ready_gateway_pods()}
    evidence.record("endpoints", endpoints=sorted(endpoints), ready_pods=sorted(pods))
    assert pods
    assert endpoints == pods
