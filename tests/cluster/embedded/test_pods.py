"""What is the embedded cluster's own about pods: images, ports of this machine, and what it does not have.

What every kubelet does is in `behaviours`."""

import errno
import os
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from kubernetes.stream.ws_client import ERROR_CHANNEL

from signoff.cluster.conformance import delete
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.timeouts import Timeout
from signoff.core.waiting import WaitFailed
from signoff.kube.client import Kube
from tests.embedded import container, ended, event, pod, status, wait_for, waiting

SLEEP = "import time; time.sleep(600)"
SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='0.0.0.0')"


def log(kube: Kube, namespace: str, **options: object) -> str:
    return str(kube.core.read_namespaced_pod_log("pod", namespace, **options))


def test_a_socket_in_the_temporary_folder_has_a_short_path(kube: Kube, namespace: str) -> None:
    code = "import tempfile; print(len(tempfile.gettempdir()))"
    kube.core.create_namespaced_pod(namespace, pod(container(code), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert int(log(kube, namespace)) + len("/592d81ea-b6b1-4e5c-a054-6d945a577c2b") < 107


def test_the_environment_of_this_machine_stays_outside(kube: Kube, namespace: str) -> None:
    code = "import os; print(os.environ.get('OPENAI_API_KEY'))"
    kube.core.create_namespaced_pod(namespace, pod(container(code), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert os.environ["OPENAI_API_KEY"]
    assert log(kube, namespace).strip() == "None"


def test_a_log_is_that_of_the_newest_pod_of_the_name(kube: Kube, namespace: str) -> None:
    """The one before is cleared away for a while yet: it had many files."""
    leaves = "import os; [open(f'/tmp/{n}', 'w').close() for n in range(30_000)]; print('first')"
    kube.core.create_namespaced_pod(namespace, pod(container(leaves), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    kube.core.delete_namespaced_pod("pod", namespace, grace_period_seconds=0)
    kube.core.create_namespaced_pod(namespace, pod(container("print('second')"), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert log(kube, namespace).strip() == "second"


@pytest.mark.parametrize(("image", "said"), [("example.org/nothing:1", "no recipe"), ("signoff.test/snake:x", "tag")])
def test_an_image_without_a_recipe_is_not_pulled(kube: Kube, namespace: str, image: str, said: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod({**container(SLEEP), "image": image}))
    state = waiting(kube, namespace, "ImagePullBackOff")
    assert said in state.message
    assert "signoff.test/snake" in state.message


def test_a_port_that_another_program_has_is_named(kube: Kube, namespace: str) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        kube.core.create_namespaced_pod(namespace, pod(container(SLEEP, ports=[{"containerPort": port}])))
        message = waiting(kube, namespace, "CreateContainerError").message
    assert f"port {port} is taken on this machine by pid {os.getpid()}" in message


def test_a_container_whose_folders_cannot_be_made_says_so_and_starts_once_they_can(
    cluster: EmbeddedCluster, kube: Kube, namespace: str
) -> None:
    """As where the disk is full; here a folder takes the place of a file, which holds for root too."""
    reference = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP, env=reference)))
    waiting(kube, namespace, "CreateContainerConfigError")
    uid = kube.core.read_namespaced_pod("pod", namespace).metadata.uid
    in_the_way = next(cluster.dir.glob(f"pods/{uid[:8]}")) / "containers" / "main" / "termination-log"
    in_the_way.mkdir(parents=True)
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "late"}, "data": {"a": "b"}})
    assert os.strerror(errno.EISDIR) in waiting(kube, namespace, "CreateContainerError").message
    in_the_way.rmdir()
    wait_for("the container to run", lambda: status(kube, namespace).container_statuses[0].state.running)


def test_what_is_not_there_says_so(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP)))
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running")
    for ask, what in (
        (kube.core.connect_get_namespaced_pod_exec, "exec"),
        (kube.core.connect_get_namespaced_pod_attach, "attach"),
    ):
        more = {"command": ["ls"]} if what == "exec" else {}
        asked = stream(ask, "pod", namespace, stdout=True, _preload_content=False, **more)
        asked.run_forever(timeout=10)
        assert f"the embedded cluster has no {what}" in asked.read_channel(ERROR_CHANNEL)
    with pytest.raises(ApiException, match="keeps no times of log lines"):
        log(kube, namespace, timestamps=True)


@pytest.mark.parametrize(
    ("volume", "said"), [({"hostPath": {"path": "/srv"}}, "hostPath"), ({"nfs": {"server": "s", "path": "/"}}, "nfs")]
)
def test_a_volume_that_is_not_there_says_so(kube: Kube, namespace: str, volume: dict[str, Any], said: str) -> None:
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP), volumes=[{"name": "v", **volume}]))
    assert f"the embedded cluster has no volumes of type {said}" in event(kube, namespace, "FailedMount").message


@pytest.mark.parametrize(
    ("image", "context", "said"),
    [
        ("signoff.test/controller:1", {"runAsNonRoot": True}, ""),
        ("signoff.test/controller:1", {"runAsNonRoot": True, "runAsUser": 0}, "runAsUser breaks non-root policy"),
        ("signoff.test/snake:1", {"runAsNonRoot": True, "runAsUser": 7}, ""),
    ],
)
def test_an_image_with_a_user_of_its_own_is_not_roots(
    kube: Kube, namespace: str, image: str, context: dict[str, object], said: str
) -> None:
    body = pod({**container("print('ran')"), "image": image}, securityContext=context, restartPolicy="Never")
    kube.core.create_namespaced_pod(namespace, body)
    if said:
        assert said in waiting(kube, namespace, "CreateContainerConfigError").message
    else:
        assert ended(kube, namespace) == "Succeeded"


def claim(name: str, **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": {**wanted, **spec}}


@pytest.mark.parametrize("spec", [{}, {"storageClassName": "longhorn"}], ids=["no class", "a class"])
def test_what_a_claim_holds_outlives_the_pod_and_is_there_on_another_node(
    kube: Kube, namespace: str, spec: dict[str, Any]
) -> None:
    kube.core.create_namespaced_persistent_volume_claim(namespace, claim("data", **spec))
    mounted = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], "restartPolicy": "Never"}
    mount = [{"name": "v", "mountPath": "/data"}]
    write = container("open('/data/said', 'w').write('it was here')", volumeMounts=mount)
    kube.core.create_namespaced_pod(namespace, pod(write, nodeName="k3s-worker-01", **mounted))
    assert ended(kube, namespace) == "Succeeded"
    delete(kube, namespace, "pod")
    read = container("print(open('/data/said').read())", volumeMounts=mount)
    kube.core.create_namespaced_pod(namespace, pod(read, nodeName="k3s-worker-02", **mounted))
    assert ended(kube, namespace) == "Succeeded"
    assert log(kube, namespace).strip() == "it was here"


@pytest.mark.parametrize("kind", ["emptyDir", "persistentVolumeClaim"])
def test_the_mode_that_a_container_gives_its_volume_stays(kube: Kube, namespace: str, kind: str) -> None:
    """PostgreSQL refuses a folder that others may read, and the volumes are looked at whenever a ConfigMap changes."""
    kube.core.create_namespaced_persistent_volume_claim(namespace, claim("data"))
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "told"}, "data": {"word": "old"}})
    source = {"emptyDir": {}, "persistentVolumeClaim": {"claimName": "data"}}[kind]
    volumes = [{"name": "data", kind: source}, {"name": "told", "configMap": {"name": "told"}}]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
    code = (
        "import os, time; print(oct(os.stat('/data').st_mode)); os.chmod('/data', 0o700)\n"
        "while open('/told/word').read() == 'old': time.sleep(0.1)\n"
        "print(oct(os.stat('/data').st_mode))"
    )
    kube.core.create_namespaced_pod(
        namespace, pod(container(code, volumeMounts=mounts), volumes=volumes, restartPolicy="Never")
    )
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running" and log(kube, namespace))
    kube.core.patch_namespaced_config_map("told", namespace, {"data": {"word": "new"}})
    assert ended(kube, namespace) == "Succeeded"
    assert log(kube, namespace).split() == ["0o40777", "0o40700"]


def test_a_claim_of_a_stateful_set_waits_for_nobody(kube: Kube, namespace: str) -> None:
    labels = {"app": "db"}
    mount = [{"name": "data", "mountPath": "/data"}]
    template = {"metadata": {"labels": labels}, "spec": pod(container(SLEEP, volumeMounts=mount))["spec"]}
    spec = {"selector": {"matchLabels": labels}, "template": template, "volumeClaimTemplates": [claim("data")]}
    kube.apps.create_namespaced_stateful_set(namespace, {"metadata": {"name": "db"}, "spec": spec})
    kube.wait_until_available(namespace, "db", Timeout(20), "StatefulSet")


def test_a_volume_goes_with_its_claim(kube: Kube, namespace: str) -> None:
    def read() -> Any:
        return kube.core.read_namespaced_persistent_volume_claim("data", namespace)

    kube.core.create_namespaced_persistent_volume_claim(namespace, claim("data"))
    wait_for("the claim to be bound", lambda: read().status.phase == "Bound")
    volume = read().spec.volume_name
    kube.core.delete_namespaced_persistent_volume_claim("data", namespace)
    every = kube.core.list_persistent_volume
    wait_for("its volume to go", lambda: volume not in [each.metadata.name for each in every().items])


def test_a_program_that_a_shell_starts_is_told_where_to_listen(kube: Kube, namespace: str) -> None:
    shell = {**container(""), "command": ["sh", "-c", "echo $HOST $UVICORN_HOST"]}
    kube.core.create_namespaced_pod(namespace, pod(shell, restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    first, second = log(kube, namespace).split()
    assert first == second and first.startswith("127.")


def test_a_pod_whose_init_container_is_through_ends_within_its_grace_period(kube: Kube, namespace: str) -> None:
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(1), sys.exit(7))); print('up', flush=True)"
    )
    main = container(f"{code}; time.sleep(600)")
    kube.core.create_namespaced_pod(namespace, pod(main, initContainers=[container("pass", name="first")]))
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running")
    wait_for("the program to be up", lambda: log(kube, namespace))
    last = delete(kube, namespace, "pod").status
    assert last.container_statuses[0].state.terminated.exit_code == 7


def test_a_stranger_of_the_same_labels_is_not_waited_for(kube: Kube, namespace: str) -> None:
    labels = {"app": "pod"}
    never = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}}
    template = {"metadata": {"labels": labels}, "spec": pod(container(SLEEP, readinessProbe=never))["spec"]}
    kube.apps.create_namespaced_deployment(
        namespace,
        {"metadata": {"name": "own"}, "spec": {"selector": {"matchLabels": labels}, "template": template}},
    )
    hopeless = container(SLEEP, resources={"limits": {"nvidia.com/gpu": "1"}})
    kube.core.create_namespaced_pod(namespace, pod(hopeless))
    with pytest.raises(WaitFailed, match="0 of 1 replicas available; own-") as failed:
        kube.wait_until_available(namespace, "own", Timeout(3))
    assert "nvidia.com/gpu" not in str(failed.value)


def deployment(replicas: int, **spec: Any) -> dict[str, Any]:
    labels = {"app": "pod"}
    template = {"metadata": {"labels": labels}, "spec": pod(container(SLEEP), **spec)["spec"]}
    about = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "own"}, "spec": about}


def test_a_pod_whose_machine_is_off_is_not_waited_for(kube: Kube, namespace: str) -> None:
    kube.core.create_node({"metadata": {"name": "tower"}})
    try:
        kube.apps.create_namespaced_deployment(namespace, deployment(1, nodeName="tower"))
        started = time.monotonic()
        with pytest.raises(WaitFailed, match="its node tower is not Ready"):
            kube.wait_until_available(namespace, "own", Timeout(60))
        assert time.monotonic() - started < 30
    finally:
        kube.core.delete_node("tower")


def test_what_is_scaled_to_0_is_not_available_and_says_so_at_once(kube: Kube, namespace: str) -> None:
    kube.apps.create_namespaced_deployment(namespace, deployment(0))
    with pytest.raises(WaitFailed, match="it is scaled to 0, so that nothing of it runs"):
        kube.wait_until_available(namespace, "own", Timeout(60))


def test_a_node_is_as_a_kubelet_registers_it(kube: Kube) -> None:
    for node in kube.core.list_node().items:
        conditions = {each.type: each.status for each in node.status.conditions}
        assert conditions == {
            "Ready": "True",
            "MemoryPressure": "False",
            "DiskPressure": "False",
            "PIDPressure": "False",
        }
        assert int(node.status.capacity["pods"]) == 110
        assert node.status.allocatable["memory"].endswith("Ki")
        lease = client.CoordinationV1Api(kube.core.api_client).read_namespaced_lease(
            node.metadata.name, "kube-node-lease"
        )
        assert lease.spec.holder_identity == node.metadata.name
        assert (datetime.now(UTC) - lease.spec.renew_time).total_seconds() < lease.spec.lease_duration_seconds


def test_conditions_keep_the_time_of_their_transition(kube: Kube, namespace: str) -> None:
    probe = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}, "periodSeconds": 1}
    kube.core.create_namespaced_pod(namespace, pod(container(SLEEP, readinessProbe=probe)))
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running")
    first = {each.type: each.last_transition_time for each in status(kube, namespace).conditions}
    event(kube, namespace, "Unhealthy")
    time.sleep(1.5)
    kube.core.patch_namespaced_pod("pod", namespace, {"metadata": {"labels": {"version": "2"}}})
    assert {each.type: each.last_transition_time for each in status(kube, namespace).conditions} == first


def test_the_last_status_tells_how_a_large_program_ended(kube: Kube, namespace: str) -> None:
    """A killed process has no environment any more while the kernel still takes its memory away, and only then ends."""
    code = "import signal, time; held = b'1' * 2**29; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
    kube.core.create_namespaced_pod(namespace, pod(container(f"{code}; time.sleep(600)")))
    wait_for("the pod to run", lambda: status(kube, namespace).phase == "Running")
    wait_for("the program to be up", lambda: log(kube, namespace))
    last = delete(kube, namespace, "pod").status
    assert last.container_statuses[0].state.terminated.exit_code == 137


def test_a_kubelet_tells_what_its_pods_use(kube: Kube, namespace: str) -> None:
    code = "import time; held = b'x' * (64 << 20)\nwhile time.process_time() < 0.7: pass"
    kube.core.create_namespaced_pod(namespace, pod(container(f"{code}\n{SLEEP}")))

    def used() -> Any:
        node = kube.core.read_namespaced_pod("pod", namespace).spec.node_name
        summary = kube.kubelet_summary(node) if node else {"pods": []}
        found = [each for each in summary["pods"] if each["podRef"]["namespace"] == namespace]
        return [each for each in found if each["cpu"]["usageCoreNanoSeconds"] >= 5e8]

    (told,) = wait_for("half a second of processor time", used)
    assert told["podRef"]["name"] == "pod"
    assert 64 << 20 <= told["memory"]["workingSetBytes"] < 256 << 20
    (only,) = told["containers"]
    assert (only["name"], only["memory"]) == ("main", told["memory"])
