"""The files in which the gateway's objects lie."""

from signoff.evidence.models import FilesSeen
from signoff.kube.manifests import StoryManifests, layout


def seen(check: str, manifests: StoryManifests) -> FilesSeen:
    """Each file with the kinds that it holds, as seen from the folder of LiteLLM's own workload."""
    own = manifests.object(manifests.roles.gateway.object).file
    return FilesSeen(check=check, folder=f"{own.parent.resolve().name}/", kinds=layout(manifests.gateway, own))
