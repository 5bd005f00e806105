"""What a run judges: which gateway and which backend, and where in the manifests each was found."""

from signoff.evidence.models import Found, UnderTest
from signoff.kube.gateway_config import OF_A_MODEL
from signoff.kube.manifests import StoryManifests
from signoff.kube.roles import Workload


def under_test(manifests: StoryManifests) -> UnderTest:
    """The gateway and the backend of these manifests."""
    roles = manifests.roles
    gateway = _workload(manifests, roles.gateway)
    if manifests.copy_of:
        gateway = gateway.model_copy(update={"name": f"{gateway.name}, a copy of {manifests.copy_of}"})
    return UnderTest(
        gateway=gateway,
        gateway_service=_service(manifests, roles.gateway),
        backend=_workload(manifests, roles.backend),
        backend_service=_service(manifests, roles.backend),
        asked_model=Found(name=roles.model.asked, where=_configured(manifests, "model_name")),
        served_model=Found(name=roles.model.model, where=_configured(manifests, "model")),
    )


def _configured(manifests: StoryManifests, name: str) -> str:
    """Where LiteLLM's configuration says this of the model."""
    roles = manifests.roles
    return manifests.shown(roles.configuration.where(*roles.model.place, *OF_A_MODEL[name]))


def _workload(manifests: StoryManifests, workload: Workload) -> Found:
    where = manifests.where(workload.object, namespace=workload.namespace)
    return Found(name=workload.object, namespace=workload.namespace, where=where)


def _service(manifests: StoryManifests, workload: Workload) -> Found:
    name = f"Service/{workload.service}"
    where = manifests.where(name, namespace=workload.namespace)
    return Found(name=name, namespace=workload.namespace, url=workload.url, where=where)
