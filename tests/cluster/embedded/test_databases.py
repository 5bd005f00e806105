"""Redis, Valkey and PostgreSQL run as pods do, and other pods reach them by their Services."""

import json
from pathlib import Path
from typing import Any

import pytest

from signoff.cluster.conformance import delete
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube, is_ready
from tests.embedded import container, ended, event, pod, status, wait_for
from tests.sampling import sampled

MADE = Timeout(90, every=0.3)
"""An image may have to be fetched first."""
PING = "import os, socket as s; c = s.create_connection((os.environ['REDIS_HOST'], 6379)); c.send(b'PING\\r\\n')"
SECRET = {"POSTGRES_USER": "llm", "POSTGRES_PASSWORD": "made-up", "POSTGRES_DB": "proxy"}
URL = "postgresql://llm:made-up@postgres:5432/proxy"


def service(kube: Kube, namespace: str, name: str, port: int, **spec: Any) -> None:
    body = {"selector": {"app": name}, "ports": [{"port": port}], **spec}
    kube.core.create_namespaced_service(namespace, {"metadata": {"name": name}, "spec": body})


def run(kube: Kube, namespace: str, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    body = pod(*containers, **spec)
    body["metadata"] = {"name": name, "labels": {"app": name}}
    kube.core.create_namespaced_pod(namespace, body)


def ready(kube: Kube, namespace: str, app: str) -> None:
    def look() -> bool:
        found = kube.core.list_namespaced_pod(namespace, label_selector=f"app={app}").items
        if found and all(map(is_ready, found)):
            return True
        events = kube.core.list_namespaced_event(namespace).items
        raise NotYet("; ".join(each.message for each in events if each.type == "Warning") or "no pod")

    eventually(f"{app} to be ready", MADE, look)


def answer(kube: Kube, namespace: str, phase: str, *containers: dict[str, Any]) -> str:
    """What a pod that runs once has said."""
    run(kube, namespace, "pod", *containers, restartPolicy="Never")
    assert ended(kube, namespace) == phase
    said = str(kube.core.read_namespaced_pod_log("pod", namespace))
    delete(kube, namespace, "pod")
    return said


def listening(port: int) -> set[str]:
    """The addresses of this machine at which something listens on that port, as the kernel writes them."""
    tables = [Path("/proc/net", each).read_text().splitlines()[1:] for each in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}


@pytest.mark.parametrize(
    ("image", "words", "ping"),
    [
        ("redis:7-alpine", {}, ["redis-cli", "ping"]),
        ("docker.io/library/redis:7", {"args": ["--save", "", "--appendonly", "yes"]}, ["redis-cli", "ping"]),
        ("redis", {"command": ["redis-server", "--loglevel", "verbose"]}, ["redis-cli", "-h", "localhost", "ping"]),
        ("valkey/valkey:9-alpine", {"args": ["valkey-server", "--save", "60", "1"]}, ["valkey-cli", "ping"]),
    ],
)
def test_another_pod_reaches_redis_by_its_service(
    kube: Kube, namespace: str, image: str, words: dict[str, Any], ping: list[str]
) -> None:
    asks = ["sh", "-c", f"{' '.join(ping)} | grep -q PONG"]
    probe = {"exec": {"command": asks}, "periodSeconds": 1}
    server = {"name": "redis", "image": image, "ports": [{"containerPort": 6379}], "readinessProbe": probe, **words}
    service(kube, namespace, "redis", 6379)
    run(kube, namespace, "redis", server)
    ready(kube, namespace, "redis")
    assert listening(6379) and all(each.endswith("7F") for each in listening(6379))
    client = container(f"{PING}; print(c.recv(9))", env=[{"name": "REDIS_HOST", "value": "redis"}])
    assert "PONG" in answer(kube, namespace, "Succeeded", client)


CACHING = """
model_list: [{model_name: m, litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9/v1", api_key: x}}]
router_settings: {redis_host: redis, redis_port: 6379}
litellm_settings: {cache: true, cache_params: {type: redis, host: redis, port: 6379}}
"""


def test_litellm_caches_in_the_redis_that_its_configuration_names(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "config"}, "data": {"config.yaml": CACHING}}
    )
    service(kube, namespace, "redis", 6379)
    service(kube, namespace, "gateway", 4000)
    run(kube, namespace, "redis", {"name": "redis", "image": "redis:7-alpine", "ports": [{"containerPort": 6379}]})
    gateway = {
        "name": "gateway",
        "image": "ghcr.io/berriai/litellm:main-v1.80.16-stable",
        "args": ["--config", "/etc/litellm/config.yaml", "--port", "4000"],
        "ports": [{"containerPort": 4000}],
        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": 4000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/litellm"}],
    }
    run(kube, namespace, "gateway", gateway, volumes=[{"name": "config", "configMap": {"name": "config"}}])
    ready(kube, namespace, "gateway")
    ask = "import urllib.request as u; print(u.urlopen('http://gateway:4000/cache/ping').read().decode())"
    told = json.loads(answer(kube, namespace, "Succeeded", container(ask)))
    assert (told["status"], told["cache_type"], told["ping_response"]) == ("healthy", "redis", True)


def test_what_redis_keeps_is_in_its_volume(kube: Kube, namespace: str) -> None:
    mount = [{"name": "data", "mountPath": "/data"}]
    keep = "redis-server --daemonize yes >/dev/null; sleep 1; redis-cli set a 1 && redis-cli save && ls /data"
    server = {"name": "redis", "image": "redis:7", "command": ["sh", "-c", keep], "volumeMounts": mount}
    run(kube, namespace, "pod", server, restartPolicy="Never", volumes=[{"name": "data", "emptyDir": {}}])
    assert ended(kube, namespace) == "Succeeded"
    assert str(kube.core.read_namespaced_pod_log("pod", namespace)).split() == ["OK", "OK", "dump.rdb"]


@pytest.mark.parametrize("image", sampled(["postgres:16", "postgres:16-alpine"]))
def test_postgres_keeps_its_data_and_asks_for_its_password(kube: Kube, namespace: str, image: str) -> None:
    kube.core.create_namespaced_secret(namespace, {"metadata": {"name": "postgres"}, "stringData": SECRET})
    probe = {"exec": {"command": ["pg_isready", "-U", "llm", "-h", "127.0.0.1"]}, "periodSeconds": 1}
    server = {
        "name": "postgres",
        "image": image,
        "envFrom": [{"secretRef": {"name": "postgres"}}],
        "ports": [{"containerPort": 5432}],
        "readinessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    labels = {"app": "postgres"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [server], "terminationGracePeriodSeconds": 20},
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec = {
        "serviceName": "postgres",
        "selector": {"matchLabels": labels},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    service(kube, namespace, "postgres", 5432, clusterIP="None")
    kube.apps.create_namespaced_stateful_set(namespace, {"metadata": {"name": "postgres"}, "spec": spec})

    def asked(url: str, query: str) -> dict[str, Any]:
        say = {"name": "main", "image": image, "env": [{"name": "URL", "value": url}]}
        return {**say, "command": ["sh", "-c", f'psql "$URL" -tA -c "{query}" 2>&1']}

    ready(kube, namespace, "postgres")
    assert listening(5432) and all(each.endswith("7F") for each in listening(5432))
    assert "INSERT 0 1" in answer(
        kube, namespace, "Succeeded", asked(URL, "create table t (n int); insert into t values (7)")
    )
    refused = answer(kube, namespace, "Failed", asked(URL.replace("made-up", "wrong"), "select 1"))
    assert 'password authentication failed for user "llm"' in refused
    last = delete(kube, namespace, "postgres-0").status
    assert last.container_statuses[0].state.terminated.exit_code == 0
    ready(kube, namespace, "postgres")
    assert (
        answer(kube, namespace, "Succeeded", asked(URL, "select n, version() like 'PostgreSQL 16.%' from t")) == "7|t\n"
    )


def test_postgres_without_a_password_says_what_is_missing(kube: Kube, namespace: str) -> None:
    server = {"name": "main", "image": "postgres:16", "terminationMessagePolicy": "FallbackToLogsOnError"}
    run(kube, namespace, "pod", server)
    state = wait_for(
        "its end", lambda: (c := status(kube, namespace).container_statuses) and c[0].last_state.terminated
    )
    assert "superuser password is not specified" in state.message
    assert event(kube, namespace, "BackOff")
