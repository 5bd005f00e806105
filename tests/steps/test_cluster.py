"""The Given that needs vLLM, where an earlier scenario has left it away."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff import story
from signoff.evidence import Evidence, read
from signoff.evidence.models import Backend as BackendRecord
from signoff.evidence.models import Phase, PodPlace, Run
from signoff.gateway import deployment
from signoff.gateway.deployment import Deployment
from steps.cluster import vllm_is_running
from tests.doubles.backend import Backend
from tests.doubles.serving import running


class KubeWithVllmAway:
    """Stands for a cluster on which vLLM is scaled back, and available once it was waited for."""

    def __init__(self, _: Path) -> None:
        self.available: int | None = None

    def deployment(self, *_: str) -> Any:
        return SimpleNamespace(status=SimpleNamespace(available_replicas=self.available))

    def wait_until_available(self, *_: Any) -> None:
        self.available = 1

    def pods(self, *_: str) -> list[Any]:
        status = SimpleNamespace(container_statuses=[])
        metadata, spec = SimpleNamespace(name="vllm-2"), SimpleNamespace(node_name="k3s")
        return [SimpleNamespace(metadata=metadata, spec=spec, status=status)]


@pytest.fixture
def with_vllm() -> Iterator[Any]:
    with running(Backend().app()) as url:
        yield SimpleNamespace(kubeconfig=Path(), service_url=lambda *_: url)


def test_a_backend_that_was_left_away_is_waited_for_and_recorded_anew(
    with_vllm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "Kube", KubeWithVllmAway)
    kept = Evidence(tmp_path / "run", Run())
    no_manifests: Any = None
    made = Deployment(with_vllm, no_manifests, kept)
    for _ in range(2):  # the second time it is there
        vllm_is_running(made, with_vllm.service_url(story.NAMESPACE), kept)
    _, place, backend, phase = (line.record for line in read(kept.dir).lines)
    assert place == PodPlace(pod="vllm-2", node="k3s")
    assert isinstance(backend, BackendRecord)
    assert isinstance(phase, Phase)
    assert "comes back" in phase.name
