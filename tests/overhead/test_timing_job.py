"""The Job that times from inside the cluster, against a server that answers as both arms would."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff import story
from signoff.cluster.embedded.address_range import to_loopback
from signoff.core.paths import ROOT
from signoff.core.waiting import WaitFailed
from signoff.kube import shipping
from signoff.kube.client import Kube, is_ready
from signoff.kube.manifests import StoryManifests
from signoff.overhead import timing_job
from signoff.overhead.estimate import ingress_adds, judge
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import Keys
from signoff.traffic.pairs import ARMS
from signoff.verdicts.verdict import Value
from tests.embedded import container, pod, wait_for

STORY = StoryManifests.read()
PORT = 8080
PAIRS = 25
SERVER = f"""
import http.server, json
class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        if self.headers["Authorization"] == "Bearer sk-of-nobody":
            return self.send_error(401)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        part, kind = ("delta", "text/event-stream") if asked.get("stream") else ("message", "application/json")
        body = json.dumps({{"choices": [{{"index": 0, part: {{"content": "well"}}}}]}})
        body = (f"data: {{body}}\\n\\ndata: [DONE]\\n\\n" if asked.get("stream") else body).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", {PORT}), Server).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def both_arms(kube: Kube) -> Iterator[None]:
    """A pod behind the Services of vLLM and LiteLLM."""
    namespace = story.NAMESPACE
    kube.core.create_namespace({"metadata": {"name": namespace}})
    kube.wait_for_namespace(namespace)
    ready = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    kube.core.create_namespaced_pod(namespace, pod(container(SERVER, readinessProbe=ready)))
    for name, port in ((story.BACKEND, story.BACKEND_PORT), (story.GATEWAY, story.GATEWAY_PORT)):
        spec = {"selector": {"app": "pod"}, "ports": [{"port": port, "targetPort": PORT}]}
        kube.core.create_namespaced_service(namespace, {"metadata": {"name": name}, "spec": spec})
    wait_for("the server", lambda: is_ready(kube.core.read_namespaced_pod("pod", namespace)))
    yield
    kube.core.delete_namespace(namespace)


def left_over(kube: Kube) -> list[str]:
    found = [
        *kube.core.list_namespaced_config_map(story.NAMESPACE).items,
        *kube.core.list_namespaced_pod(story.NAMESPACE).items,
        *kube.core.list_namespaced_secret(story.NAMESPACE).items,
        *kube.batch.list_namespaced_job(story.NAMESPACE).items,
    ]
    return [each.metadata.name for each in found if each.metadata.name.startswith(timing_job.NAME)]


def test_timings_come_back_and_the_job_goes(kube: Kube) -> None:
    samples, node = timing_job.time_pairs(kube, STORY, pairs=PAIRS, seed=1)
    assert samples.rounds().ms.shape == (PAIRS, len(ARMS))
    assert {block.arm for block in samples.blocks} == {"direct", "proxied"}
    assert node in story.ALLOWED_NODES
    assert left_over(kube) == []


def test_half_of_the_rounds_ask_through_the_ingress(kube: Kube) -> None:
    """At an address that a pod reaches, by a name that the cluster's DNS does not know."""
    address = to_loopback(kube.core.read_namespaced_service(story.GATEWAY, story.NAMESPACE).spec.cluster_ip)
    ingress = Endpoint(f"http://{address}:{story.GATEWAY_PORT}", host="litellm.home.jetzinger.com")
    samples, _ = timing_job.time_pairs(kube, STORY, pairs=PAIRS, seed=1, ingress=ingress)
    assert len(samples.rounds()) == PAIRS
    found = ingress_adds(samples, at=str(ingress), seed=1)
    assert (found.missing, PAIRS // 2 - 1 <= found.pairs <= PAIRS // 2 + 1) == ("", True)
    assert left_over(kube) == []


def test_the_keys_reach_the_pod_and_go_with_it(kube: Kube) -> None:
    """Each arm has its own: with a wrong one, only what goes through LiteLLM is refused."""
    keys = Keys(gateway="sk-of-nobody", backend="sk-of-vllm")
    samples, _ = timing_job.time_pairs(kube, STORY, pairs=PAIRS, seed=1, keys=keys)
    assert "status 401" in samples.errors("proxied")[0]
    assert list(samples.errors("direct")) == []
    assert left_over(kube) == []


def test_what_fails_inside_is_heard_of_outside(kube: Kube) -> None:
    service = kube.core.read_namespaced_service(story.GATEWAY, story.NAMESPACE)
    kube.core.patch_namespaced_service(story.GATEWAY, story.NAMESPACE, {"spec": {"selector": {"app": "nobody"}}})
    samples, _ = timing_job.time_pairs(kube, STORY, pairs=PAIRS, seed=1)
    kube.core.patch_namespaced_service(story.GATEWAY, story.NAMESPACE, {"spec": {"selector": service.spec.selector}})
    assert "no answer to POST" in samples.errors("proxied")[0]
    assert judge(samples, limit_ms=story.OVERHEAD_LIMIT_MS, seed=1).verdict.value is Value.FAILED


def test_a_prober_that_cannot_run_says_why_and_is_removed(kube: Kube) -> None:
    with pytest.raises(WaitFailed, match="invalid int value: 'many'"):
        timing_job.time_pairs(kube, STORY, pairs="many", seed=1)  # type: ignore[arg-type]
    assert left_over(kube) == []


def test_the_modules_that_it_takes_along_are_all_it_needs(tmp_path: Path) -> None:
    for module in shipping.modules(timing_job.PROGRAM):
        target = tmp_path / module
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / module).read_text())
    blocked = "import sys; sys.modules.update(dict.fromkeys(['numpy', 'pandas', 'kubernetes'])); "
    code = f"{blocked} import signoff.in_cluster.time_pairs as program; print(program.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
