"""Pods and Services that fail in the ordinary ways, for real, and the sentence that the bundle begins with."""

from typing import Any

import pytest

from signoff.kube import diagnostics
from signoff.kube.client import Kube
from signoff.kube.roles import Workload
from tests.embedded import Body, container, event, pod, wait_for, waiting

FROM_SETTINGS = {"configMapKeyRef": {"name": "settings", "key": "no"}}
SLEEP = "import time; time.sleep(60)"
SERVER = """
import http.server
class Failing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)
http.server.HTTPServer(("0.0.0.0", 8080), Failing).serve_forever()
"""


def cause(kube: Kube, namespace: str) -> str:
    return diagnostics.collect(kube, namespace).splitlines()[0]


def create(kube: Kube, namespace: str, body: Body) -> None:
    kube.core.create_namespaced_pod(namespace, body)


def test_an_image_that_cannot_be_had(kube: Kube, namespace: str) -> None:
    create(kube, namespace, pod({"name": "main", "image": "nowhere.test/nothing:1"}))
    waiting(kube, namespace, "ErrImagePull")
    assert "The image nowhere.test/nothing:1 cannot be pulled onto k3s-" in cause(kube, namespace)


def test_a_part_in_another_namespace(kube: Kube, namespace: str) -> None:
    """As a controller of the way in is; a namespace that is not there is no trouble."""
    create(kube, namespace, pod({"name": "main", "image": "nowhere.test/nothing:1"}))
    waiting(kube, namespace, "ErrImagePull")
    text = diagnostics.collect(kube, "default", beside=["not-there", namespace])
    assert text.startswith("The image nowhere.test/nothing:1 cannot be pulled onto k3s-")
    assert text.endswith("== What could not be read\n(none)\n")


def test_where_others_run_apps_too_their_logs_and_descriptions_are_not_shown(kube: Kube, namespace: str) -> None:
    """Nor is one of theirs the likely cause."""
    said = container("import time; print('a word of ' + __import__('os').environ['WHO'], flush=True); time.sleep(60)")
    for name in ("cellar", "gateway-1"):
        body = pod({**said, "env": [{"name": "WHO", "value": f"the-{name}"}]})
        body["metadata"].update(name=name, labels={"app": name})
        create(kube, namespace, body)
    create(kube, namespace, pod({"name": "main", "image": "nowhere.test/nothing:1"}))
    waiting(kube, namespace, "ErrImagePull")
    gateway = Workload("Deployment", "gateway", namespace, {"app": "gateway-1"}, "gateway", 4000)

    def text(judged: diagnostics.Judged | None = None) -> str:
        return diagnostics.collect(kube, namespace, judged=judged)

    wait_for("both logs", lambda: text().count("a word of the-") == 2)  # else there is nothing to be left out
    shown = text(diagnostics.Judged([gateway]))
    assert shown.startswith("Every pod is Ready")
    assert "a word of the-gateway-1" in shown
    for hidden in ("the-cellar", "== Pod cellar", "== Pod pod\n", "Pod/pod:"):
        assert hidden in text()
        assert hidden not in shown
    others = shown.partition("== Pods of others\n")[2].partition("\n\n")[0]
    assert [line.partition(" on ")[0] for line in others.splitlines()] == ["cellar", "pod"]
    assert "a word of the-cellar" in text(diagnostics.Judged([], [namespace]))


def test_no_node_that_matches(kube: Kube, namespace: str) -> None:
    create(kube, namespace, pod(container(SLEEP), nodeSelector={"gpu": "none"}))
    event(kube, namespace, "FailedScheduling")
    assert "No node takes pod: 0/3 nodes are available" in cause(kube, namespace)


def test_a_probe_that_fails_with_500(kube: Kube, namespace: str) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    create(kube, namespace, pod(container(SERVER, readinessProbe=probe)))
    wait_for("a 500", lambda: "500" in cause(kube, namespace))
    assert "pod runs but does not become Ready: Readiness probe failed" in cause(kube, namespace)


def test_a_crash(kube: Kube, namespace: str) -> None:
    create(kube, namespace, pod(container("raise KeyError('MODEL')")))
    waiting(kube, namespace, "CrashLoopBackOff")
    assert cause(kube, namespace) == "Container main of pod ended with status 1, its last word: KeyError: 'MODEL'"
    text = diagnostics.collect(kube, namespace)
    assert "== Log of pod/main (previous)\nTraceback" in text
    assert "k3s-gpu-worker Ready=True" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no"}}}]},
            "no in ConfigMap",
        ),
        ({"volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}]}, "no"),
    ],
    ids=["environment", "volume"],
)
def test_a_config_key_that_is_missing(kube: Kube, namespace: str, more: dict[str, Any], words: str) -> None:
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "settings"}, "data": {"yes": "1"}})
    volume = {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "no", "path": "no"}]}}
    create(kube, namespace, pod(container(SLEEP, **more), volumes=[volume] if "volumeMounts" in more else []))
    wait_for("the cause", lambda: "cannot be" in cause(kube, namespace))
    assert words in cause(kube, namespace)


def test_a_service_that_selects_nothing(kube: Kube, namespace: str) -> None:
    create(kube, namespace, pod(container(SLEEP)))
    wait_for("the pod to be Ready", lambda: "in what was said" in cause(kube, namespace))
    spec = {"selector": {"app": "misspelt"}, "ports": [{"port": 80}]}
    kube.core.create_namespaced_service(namespace, {"metadata": {"name": "service"}, "spec": spec})
    assert cause(kube, namespace) == "Service service has no endpoints: no Ready pod has its labels (app=misspelt)"
