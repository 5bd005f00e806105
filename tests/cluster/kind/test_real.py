"""The real kind, for what only it shows; run by `pytest tests/cluster/kind --cluster kind` where Docker and kind are.

SIGNOFF_KIND_IMAGE names the node image, as ever. LiteLLM's image has to be in the local Docker engine.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from signoff.cluster.kind import KindCluster
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.core.timeouts import Timeout
from signoff.kube import diagnostics
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.settings.arguments import read_from
from tests import embedded
from tests.processes import said_until, start

pytestmark = pytest.mark.kind
IMAGE = StoryManifests.read().gateway_image
WITH_IMAGE, WITHOUT = "k3s-worker-01", "k3s-worker-02"
FEATURE = "features/deploy.feature"
SOON = Timeout(120, every=0.2)
SERVER = """
import http.server, os, threading
class Named(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        name = os.environ["HOSTNAME"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Named).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def _only_on_kind(pytestconfig: pytest.Config) -> None:
    if read_from(pytestconfig.option).settings.cluster != "kind":
        pytest.skip("it is run on a real kind: pytest tests/cluster/kind --cluster kind")


@pytest.fixture(scope="module")
def cluster(_only_on_kind: None, pytestconfig: pytest.Config) -> Iterator[KindCluster]:
    """A cluster that has LiteLLM's image on one worker; or the running one of `--attach`."""
    images, attach = {IMAGE: (WITH_IMAGE,)}, pytestconfig.getoption("--attach")
    started = KindCluster.attach(Path(attach), images=images) if attach else KindCluster.start(images=images)
    yield started
    started.close()


@pytest.fixture(scope="module")
def kube(cluster: KindCluster) -> Kube:
    made = Kube(cluster.kubeconfig)
    made.wait_for_namespace("default")
    return made


def clusters() -> set[str]:
    done = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def on_node(container: str, *command: str) -> None:
    subprocess.run(["docker", "exec", container, *command], check=True, capture_output=True)


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    return embedded.wait_for(what, look, SOON)


def first_line(kube: Kube) -> str:
    return diagnostics.collect(kube, "full").splitlines()[0]


def features(reports: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pytest", FEATURE, "--cluster", "kind", "--reports", str(reports), *arguments]
    return start(command, ROOT)


def answer(url: str, client: httpx.Client | None = None) -> str:
    """Who answers, over a connection of its own or one of the client's; an empty text when nobody does."""
    try:
        return (client.get(url) if client else httpx.get(url, timeout=5)).text
    except httpx.TransportError:
        return ""


def test_the_forward_follows_the_pods(cluster: KindCluster, kube: Kube) -> None:
    labels = {"app.kubernetes.io/name": "named"}
    container = {"name": "named", "image": IMAGE, "command": ["python3", "-c", SERVER]}
    node = {"kubernetes.io/hostname": WITH_IMAGE}
    spec = {"containers": [container], "nodeSelector": node, "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"metadata": {"name": "named"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    kube.apps.create_namespaced_deployment("default", body)
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    service = {"metadata": {"name": "named"}, "spec": {"selector": labels, "ports": ports}}
    kube.core.create_namespaced_service("default", service)
    kube.wait_until_available("default", "named", SOON)

    url = cluster.service_url("default", "named", 80)
    first = wait_for("an answer", lambda: answer(url))
    with httpx.Client() as kept:
        assert kept.get(url).text == first
        kube.core.delete_collection_namespaced_pod("default", label_selector="app.kubernetes.io/name=named")
        second = wait_for("the new pod", lambda: (said := answer(url)) != first and said)
        assert second.startswith("named-")
        # A connection lives as long as its pod's process; the one after it leads to the new pod.
        wait_for("the kept connection to end with its pod", lambda: answer(url, kept) == second)

    kube.scale("default", "named", 0)
    wait_for("nobody to answer", lambda: not answer(url))
    kube.scale("default", "named", 1)
    wait_for("somebody to answer again", lambda: answer(url))
    assert answer(cluster.service_url("default", "named", 81)) == "", "the Service has no such port"
    address = kube.core.read_namespaced_service("named", "default").spec.cluster_ip
    assert cluster.address_in_pods("default", "named", 80) == (address, 80)
    with pytest.raises(SignoffError, match="no Service default/nobody"):
        cluster.service_url("default", "nobody", 80)


def test_a_full_disk_while_an_image_is_loaded(cluster: KindCluster) -> None:
    """A small file system lies over the place where the node's containerd keeps what it is given."""
    node, content = f"{cluster.name}-worker2", "/var/lib/containerd/io.containerd.content.v1.content"
    on_node(node, "mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", content)
    on_node(node, "mkdir", "-p", f"{content}/ingest", f"{content}/blobs/sha256")
    try:
        with pytest.raises(SignoffError) as raised:
            KindCluster.attach(cluster.dir, images={IMAGE: (WITHOUT,)})
    finally:
        on_node(node, "umount", "-l", content)
    assert "a disk is full" in raised.value.what
    assert "no space left on device" in raised.value.what
    assert "docker system df" in raised.value.hint


def test_a_node_that_runs_out_of_disk(cluster: KindCluster, kube: Kube) -> None:
    """The kubelet is told to call its disk full at once; a disk that really is would be everybody's here."""
    node, config = f"{cluster.name}-worker2", "/var/lib/kubelet/config.yaml"
    on_node(node, "cp", config, f"{config}.kept")
    on_node(node, "sed", "-i", 's/nodefs.available: .*/nodefs.available: "99%"/', config)
    on_node(node, "systemctl", "restart", "kubelet")
    kube.core.create_namespace({"metadata": {"name": "full"}})
    kube.wait_for_namespace("full")
    pod = {"containers": [{"name": "main", "image": IMAGE}], "nodeSelector": {"kubernetes.io/hostname": WITHOUT}}
    try:
        wait_for("disk pressure", lambda: "DiskPressure=True" in diagnostics.collect(kube, "full"))
        kube.core.create_namespaced_pod("full", {"metadata": {"name": "pod"}, "spec": pod})
        cause = wait_for("the cause", lambda: "DiskPressure" in (said := first_line(kube)) and said)
    finally:
        on_node(node, "mv", f"{config}.kept", config)
        on_node(node, "systemctl", "restart", "kubelet")
    assert cause.startswith(f"Node {WITHOUT} runs out of disk (DiskPressure), so pod cannot run there")


def test_an_image_that_cannot_be_pulled(cluster: KindCluster, tmp_path: Path) -> None:
    image = "nowhere.test/vllm:1"
    process = features(tmp_path, "--attach", str(cluster.dir), "--vllm-image", image, "-x")
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 1
    assert f"{image} is not in the local Docker engine: its nodes pull it" in output
    assert f"The image {image} cannot be pulled onto k3s-gpu-worker" in output
    assert "waiting does not fix this" in output
    (run,) = tmp_path.iterdir()
    assert (run / "signoff.html").exists()
    assert list((run / "cluster-logs").rglob("kubelet.log"))
    assert cluster.name in clusters()


@pytest.mark.parametrize("moment", ["Preparing nodes", "create the nodes"])
def test_what_a_killed_run_left_is_removed_by_the_next(cluster: KindCluster, tmp_path: Path, moment: str) -> None:
    before = clusters()
    process = features(tmp_path)
    name = re.findall(r"creating (signoff-\w+)", said_until(process, "creating "))[-1]
    said_until(process, moment)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert wait_for("its containers", lambda: name in clusters())

    following = features(tmp_path)
    seen = said_until(following, "creating ")
    assert f"removing the kind cluster {name}, which a killed run had left" in seen
    said_until(following, "Preparing nodes")
    following.send_signal(signal.SIGINT)
    output, _ = following.communicate(timeout=120)
    assert following.returncode == 2, output
    assert name not in clusters()
    assert clusters() == before, "what was there before is left, and Ctrl-C has cleaned up"


def test_a_cluster_of_the_users_under_our_name_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, image = "signoff-mine", os.environ.get("SIGNOFF_KIND_IMAGE")
    kubeconfig = ["--kubeconfig", str(tmp_path / "kubeconfig")]
    create = ["kind", "create", "cluster", "--name", name, *kubeconfig, *(["--image", image] if image else [])]
    subprocess.run(create, check=True, capture_output=True)
    try:
        monkeypatch.setenv("SIGNOFF_KIND_NAME", name)
        process = features(tmp_path / "reports")
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"there is a kind cluster {name} already; it is left as it is" in output
        assert "Traceback" not in output
        assert name in clusters()
        on_node(f"{name}-control-plane", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "nodes")
    finally:
        subprocess.run(["kind", "delete", "cluster", "--name", name, *kubeconfig], check=True, capture_output=True)
