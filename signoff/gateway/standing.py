"""What stood on the cluster when it was read, as evidence: the thing that is judged."""

from collections.abc import Iterator

from signoff.evidence.models import Standing
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import containers


def records(manifests: StoryManifests) -> Iterator[Standing]:
    """Each object that was read from a cluster, with what tells it from a later one; none for manifests of files."""
    stood = {(each.api_version, each.key): each for each in manifests.stood}
    for manifest in (*manifests.backend, *manifests.gateway):
        if own := stood.get((manifest.body["apiVersion"], manifest.key(manifests.settings.namespace))):
            yield Standing(
                object=own.object,
                namespace=own.namespace,
                uid=own.uid,
                generation=own.generation,
                object_sha256=manifest.object_sha256,
                images=sorted({each["image"] for each in containers(manifest.body)}),
            )
