"""Pods on the suite's nodes behave as a kubelet has them behave."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.kube import Kube
from tests.embedded.conftest import container, ended, event, pod, status, wait_for, waiting

SLEEP = "import time; time.sleep(600)"
SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='0.0.0.0')"


def log(kube: Kube, namespace: str, **options: object) -> str:
    return str(kube.core.read_namespaced_pod_log("pod", namespace, **options))


def test_environment_volumes_and_init_containers(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "settings"}, "data": {"colour": "blue", "file.txt": "words"}}
    )
    kube.core.create_namespaced_secret(namespace, {"metadata": {"name": "keys"}, "stringData": {"key": "s3cret"}})
    shared, config = {"name": "shared", "mountPath": "/shared"}, {"name": "config", "mountPath": "/etc/app/file.txt"}
    first = container("open('/shared/steps', 'a').write('first ')", name="first", volumeMounts=[shared])
    second = container("open('/shared/steps', 'a').write('second')", name="second", volumeMounts=[shared])
    main = container(
        "import os, json; print(json.dumps([open('/shared/steps').read(), open('/etc/app/file.txt').read(),"
        " *(os.environ.get(k) for k in ('COLOUR', 'KEY', 'TEXT', 'POD', 'OPENAI_API_KEY'))]))",
        env=[
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
            {"name": "TEXT", "value": "$(COLOUR) $(UNKNOWN) $$(COLOUR)"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        volumeMounts=[shared, {**config, "subPath": "file.txt"}],
    )
    volumes = [{"name": "shared", "emptyDir": {}}, {"name": "config", "configMap": {"name": "settings"}}]
    kube.core.create_namespaced_pod(
        namespace, pod(main, initContainers=[first, second], volumes=volumes, restartPolicy="Never")
    )
    assert ended(kube, namespace) == "Succeeded", log(kube, namespace)
    assert json.loads(log(kube, namespace)) == [
        "first second",
        "words",
        "blue",
        "s3cret",
        "blue $(UNKNOWN) $(COLOUR)",
        "pod",
        None,
    ]


def test_a_socket_in_the_temporary_folder_has_a_short_path(kube: Kube, namespace: str) -> None:
    code = "import tempfile; print(len(tempfile.gettempdir()))"
    kube.core.create_namespaced_pod(namespace, pod(container(code), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert int(log(kube, namespace)) + len("/592d81ea-b6b1-4e5c-a054-6d945a577c2b") < 107


def test_a_missing_key_is_named_and_the_pod_starts_once_it_is_there(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "settings"}, "data": {"other": "x"}})
    mount = {"name": "config", "mountPath": "/etc/config.yaml", "subPath": "config.yaml"}
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP, volumeMounts=[mount]), volumes=volumes))
    state = waiting(kube, namespace, "CreateContainerConfigError")
    assert "config.yaml" in state.message
    assert "settings" in state.message
    kube.core.patch_namespaced_config_map("settings", namespace, {"data": {"config.yaml": "a: 1"}})
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running")


def test_a_missing_config_map_is_an_event(kube: Kube, namespace: str) -> None:
    volumes = [{"name": "config", "configMap": {"name": "nowhere"}}]
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP), volumes=volumes))
    assert 'configmap "nowhere" not found' in event(kube, namespace, "FailedMount").message


@pytest.mark.parametrize(("image", "said"), [("example.org/nothing:1", "no recipe"), ("signoff.test/snake:x", "tag")])
def test_an_image_without_a_recipe_is_not_pulled(kube: Kube, namespace: str, image: str, said: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod({**container(SLEEP), "image": image}))
    state = waiting(kube, namespace, "ImagePullBackOff")
    assert said in state.message
    assert "signoff.test/snake" in state.message


def test_readiness_follows_its_probe(kube: Kube, namespace: str, tmp_path: Path) -> None:
    probe = {"httpGet": {"path": "/go", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1}
    web = container(
        SERVE, readinessProbe=probe, ports=[{"name": "web", "containerPort": 8080}], workingDir=str(tmp_path)
    )
    kube.core.create_namespaced_pod(namespace, pod(web))

    def ready() -> bool:
        return bool(status(kube, namespace).container_statuses[0].ready)

    wait_for("it to answer 404", lambda: "404" in log_of_events(kube, namespace))
    assert not ready()
    (tmp_path / "go").touch()
    wait_for("it to be ready", ready)
    (tmp_path / "go").unlink()
    wait_for("it to be unready", lambda: not ready())


def log_of_events(kube: Kube, namespace: str) -> str:
    return "\n".join(e.message for e in kube.core.list_namespaced_event(namespace).items)


def test_a_failed_liveness_probe_restarts_and_keeps_the_previous_log(kube: Kube, namespace: str) -> None:
    probe = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}, "periodSeconds": 1, "failureThreshold": 1}
    code = f"import os; print('started'); {SLEEP}"
    kube.core.create_namespaced_pod(namespace, pod(container(code, livenessProbe=probe)))
    restarted = wait_for("a restart", lambda: next((s for s in states(kube, namespace) if s.restart_count), None))
    assert restarted.last_state.terminated.exit_code == 143
    assert "started" in log(kube, namespace, previous=True)
    assert "Liveness probe failed" in event(kube, namespace, "Unhealthy").message


def states(kube: Kube, namespace: str) -> list[Any]:
    return status(kube, namespace).container_statuses or []


def test_a_container_that_ends_at_once_backs_off(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod(container("raise SystemExit(3)")))
    assert "back-off 10s" in waiting(kube, namespace, "CrashLoopBackOff").message
    found = status(kube, namespace).container_statuses[0]
    assert found.restart_count == 1
    assert found.last_state.terminated.exit_code == 3


def test_a_pod_that_fails_for_good_has_failed(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod(container("raise SystemExit(3)"), restartPolicy="Never"))
    assert ended(kube, namespace) == "Failed"


def test_an_init_container_that_fails_keeps_the_pod_from_starting(kube: Kube, namespace: str) -> None:
    body = pod(container(SLEEP), initContainers=[container("raise SystemExit(1)", name="init")], restartPolicy="Never")
    kube.core.create_namespaced_pod(namespace, body)
    assert ended(kube, namespace) == "Failed"
    assert status(kube, namespace).container_statuses[0].state.waiting


def test_a_deleted_pod_may_end_in_its_own_time_but_not_longer(kube: Kube, namespace: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = (
        "import signal, time, pathlib\n"
        f"signal.signal(signal.SIGTERM, lambda *_: pathlib.Path({str(note)!r}).write_text('asked'))\n"
        "print('up')\nwhile True: time.sleep(0.1)"
    )
    kube.core.create_namespaced_pod(namespace, pod(container(code)))
    wait_for("it to be up", lambda: status(kube, namespace).phase == "Running" and "up" in log(kube, namespace))
    kube.core.delete_namespaced_pod("pod", namespace)

    def gone() -> bool:
        try:
            return not status(kube, namespace)
        except ApiException as error:
            return bool(error.status == 404)

    wait_for("it to be gone", gone)
    assert note.read_text() == "asked"


def test_a_port_that_another_program_has_is_named(kube: Kube, namespace: str) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        kube.core.create_namespaced_pod(namespace, pod(container(SLEEP, ports=[{"containerPort": port}])))
        message = waiting(kube, namespace, "CreateContainerError").message
    assert f"port {port} is taken on this machine by pid {os.getpid()}" in message
