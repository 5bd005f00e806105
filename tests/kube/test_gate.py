"""A GET is a read only where it ends at the API server: what it hands on may do anything, by WebSocket or by itself."""

import socket
from pathlib import Path

import pytest
import yaml

from signoff.changes.guard import LookOnly
from signoff.changes.rights import NotAllowed
from signoff.kube.client import Kube
from signoff.kube.gate import reads

POD = "/api/v1/namespaces/ml/pods/litellm-0"


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("/api", True),
        ("/apis/apps/v1/namespaces/ml/deployments/litellm/scale", True),
        ("/api/v1/namespaces/proxy", True),
        ("/api/v1/namespaces/exec/pods/attach", True),
        ("/api/v1/nodes/proxy", True),
        (f"{POD}/log", True),
        ("/api/v1/nodes/gpu-1/proxy/stats/summary", True),
        ("/api/v1/nodes/gpu-1/proxy/healthz", True),
        (f"{POD}/exec", False),
        (f"{POD}/%65xec", False),
        (f"{POD}/attach", False),
        (f"{POD}/portforward", False),
        (f"{POD}/proxy/shutdown", False),
        ("/api/v1/namespaces/ml/services/litellm:4000/proxy", False),
        ("/api/v1/nodes/gpu-1/proxy", False),
        ("/api/v1/nodes/gpu-1/proxy/run/ml/litellm-0/main", False),
        ("/api/v1/nodes/gpu-1/proxy/stats/summary/../../exec", False),
    ],
)
def test_which_get_reads(path: str, is_read: bool) -> None:
    assert reads("GET", path) is is_read
    assert not reads("POST", path)


@pytest.mark.parametrize("query", ["command=reboot", "command=reboot&dryRun=All"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_run_that_only_looks_reaches_into_no_pod(method: str, query: str, tmp_path: Path) -> None:
    """Nobody listens at the server's port: a request that was sent would tell so."""
    kube = Kube(nowhere(tmp_path), LookOnly())
    with pytest.raises(NotAllowed, match="not allowed on this cluster"):
        kube.core.api_client.rest_client.request(method, f"{kube.server}{POD}/exec?{query}")


def nowhere(folder: Path) -> Path:
    """A kubeconfig of a server that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "me"}}],
        "clusters": [{"name": "nowhere", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "mine"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
