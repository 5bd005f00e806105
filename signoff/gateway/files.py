"""The files in which the gateway's objects lie."""

from collections.abc import Sequence

from signoff.evidence.models import FilesSeen
from signoff.kube import routes
from signoff.kube.manifests import StoryManifests, layout
from signoff.kube.objects import Manifest, texts
from signoff.kube.roles import Workload, belonging_to


def seen(check: str, manifests: StoryManifests) -> FilesSeen:
    """Each file with the kinds of LiteLLM's objects in it, as seen from the folder of LiteLLM's own workload.

    Those that a cluster has are in none.
    """
    gateway = manifests.roles.gateway
    place = manifests.object(gateway.object).file
    found = own(gateway, manifests.gateway, manifests.settings.namespace)
    kinds = layout(found, place) if place else {}
    return FilesSeen(check=check, folder=f"{place.parent.resolve().name}/" if place else "", kinds=kinds)


def own(gateway: Workload, found: Sequence[Manifest], namespace: str) -> list[Manifest]:
    """LiteLLM's objects: what belongs to its workload, what leads to it from outside, and the certificates of that.

    `namespace` is that of objects which name none.
    """
    ways = [each for each in found if each.kind in routes.KINDS and gateway.service in texts(each.body.get("spec"))]
    named = {text for each in ways for text in texts(each.body["spec"])}
    certificates = [each for each in found if each.kind == "Certificate" and routes.secret_of(each) in named]
    return [*belonging_to(gateway, found, namespace), *ways, *certificates]
