"""The story's LiteLLM and vLLM on a cluster, for scripts that time them."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from signoff.cluster.registry import open_cluster
from signoff.evidence.models import Run
from signoff.evidence.recording import recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.traffic.endpoint import Endpoint


@contextmanager
def deployed(kind: str, attach: Path | None) -> Iterator[tuple[Deployment, Endpoint]]:
    """Both, on a new cluster of this kind or on the one in a folder, and vLLM as it answers; no record is kept."""
    run, manifests = Run(tool="measure", cluster=kind), StoryManifests.read()
    with (
        tempfile.TemporaryDirectory(prefix="signoff-") as folder,
        recording(Path(folder) / "run", run) as evidence,
        closing(open_cluster(kind, attach, manifests.images)) as cluster,
    ):
        deployment = Deployment(cluster, manifests, evidence)
        deployment.start_both()
        deployment.wait_for_gateway()
        yield deployment, deployment.wait_for_backend()
