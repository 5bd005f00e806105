"""A program that dials addresses and names reaches pods and Services by the relay that HTTP_PROXY names."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from signoff.cluster.embedded import EmbeddedCluster, socks
from signoff.cluster.embedded.network import HOST_NAMES, Endpoint, Network, Outside, UnknownHost
from signoff.core.redact import HIDDEN, redacted_log
from signoff.kube.client import Kube
from tests.cluster.embedded.test_services import SERVE, answers
from tests.embedded import container, ended, pod, status, wait_for

CONTROLLER = "signoff.test/controller:1"
OPEN, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_SUCH_COMMAND = 0, 2, 4, 5, 7
DIAL = """
import json, os, socket, urllib.parse
relay = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
assert relay.scheme == "socks5" and os.environ["HTTPS_PROXY"] == os.environ["HTTP_PROXY"]
def dial(host, port, command=1):
    with socket.create_connection((relay.hostname, relay.port), timeout=15) as way:
        answers = way.makefile("rb")
        way.sendall(b"\\5\\2\\0\\2")
        assert answers.read(2) == b"\\5\\2"
        said = [each.encode() for each in (relay.username, relay.password)]
        way.sendall(b"\\1" + b"".join(bytes([len(each)]) + each for each in said))
        assert answers.read(2) == b"\\1\\0"
        try:
            where = b"\\1" + socket.inet_aton(host)
        except OSError:
            where = b"\\3" + bytes([len(host)]) + host.encode()
        way.sendall(bytes([5, command, 0]) + where + port.to_bytes(2, "big"))
        reply = answers.read(10)[1]
        if reply == 0:
            way.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            assert answers.read().startswith(b"HTTP/1.0 200"), (host, port)
        return reply
"""


def service(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"selector": {"app": "pod"}, "ports": ports, **spec},
    }


def dialled(kube: Kube, namespace: str, calls: list[tuple[Any, ...]], **more: Any) -> list[int]:
    """The relay's replies to a pod that makes these calls, each a host, a port and maybe a command."""
    told = json.dumps(calls).encode().hex()  # so that nobody translates it
    code = f"{DIAL}\nprint(json.dumps([dial(*each) for each in json.loads(bytes.fromhex('{told}'))]))"
    body = pod({**container(code), "image": CONTROLLER, **more}, restartPolicy="Never")
    body["metadata"] = {"name": "caller"}
    kube.core.create_namespaced_pod(namespace, body)
    wait_for("the calls", lambda: status(kube, namespace, "caller").phase in ("Succeeded", "Failed"))
    log = str(kube.core.read_namespaced_pod_log("caller", namespace))
    assert status(kube, namespace, "caller").phase == "Succeeded", log
    return list(json.loads(log))


def test_the_relay_leads_to_pods_and_services_by_address_and_name(
    cluster: EmbeddedCluster, kube: Kube, namespace: str
) -> None:
    kube.core.create_namespaced_service(namespace, service("web"))
    kube.core.create_namespaced_service(namespace, service("each", clusterIP="None"))
    kube.core.create_namespaced_service(namespace, service("idle", selector={"app": "nobody"}))
    names = {HOST_NAMES: f"a.{namespace}.example.org, B.{namespace}.example.org"}
    kube.core.create_namespaced_service(namespace, service("open", names, type="LoadBalancer"))
    kube.core.create_namespaced_service(namespace, service("shut", {HOST_NAMES: f"c.{namespace}.example.invalid"}))
    kube.core.create_namespaced_service(namespace, service("far", type="ExternalName", externalName="example.org"))
    kube.core.create_namespaced_pod(namespace, pod(container(SERVE, ports=[{"containerPort": 8080}])))
    urls = [cluster.service_url(namespace, name, 80) for name in ("web", "open")]
    wait_for("both to answer", lambda: all(map(answers, urls)))
    web = kube.core.read_namespaced_service("web", namespace).spec.cluster_ip
    own = status(kube, namespace).pod_ip
    calls = {
        (own, 8080): OPEN,
        (own, 8081): REFUSED,
        (web, 80): OPEN,
        (web, 8080): REFUSED,
        (f"web.{namespace}.svc", 80): OPEN,
        (f"web.{namespace}.svc.cluster.local.", 80): OPEN,
        (f"web.{namespace}.svc", 81): REFUSED,
        (f"each.{namespace}.svc", 8080): OPEN,
        (f"idle.{namespace}.svc", 80): REFUSED,
        (f"nobody.{namespace}.svc", 80): UNREACHABLE,
        (f"a.{namespace}.example.org", 80): OPEN,
        (f"b.{namespace}.example.org", 80): OPEN,
        (f"b.{namespace}.example.org", 443): REFUSED,
        (f"c.{namespace}.example.invalid", 80): NOT_ALLOWED,
        (f"far.{namespace}.svc", 80): NOT_ALLOWED,
        ("192.0.2.1", 80): NOT_ALLOWED,
        ("127.0.0.1", 80): NOT_ALLOWED,
        (f"127.{own.removeprefix('10.')}", 8080): OPEN,
        (own, 8080, 2): NO_SUCH_COMMAND,
    }
    assert dict(zip(calls, dialled(kube, namespace, list(calls)), strict=True)) == calls


def test_a_proxy_of_the_pods_own_stays(kube: Kube, namespace: str) -> None:
    env = [{"name": "https_proxy", "value": "http://proxy.example.org:3128"}]
    code = "import os; print(os.environ['HTTP_PROXY'][:9], os.environ.get('HTTPS_PROXY'), os.environ['https_proxy'])"
    body = pod({**container(code, env=env), "image": CONTROLLER}, restartPolicy="Never")
    kube.core.create_namespaced_pod(namespace, body)
    assert ended(kube, namespace) == "Succeeded"
    log = kube.core.read_namespaced_pod_log("pod", namespace)
    assert log.strip() == "socks5:// None http://proxy.example.org:3128"


def test_images_that_dial_no_pods_have_no_proxy(kube: Kube, namespace: str) -> None:
    code = "import os; print([each for each in os.environ if 'PROXY' in each.upper()])"
    kube.core.create_namespaced_pod(namespace, pod(container(code), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert kube.core.read_namespaced_pod_log("pod", namespace).strip() == "[]"


def test_the_relays_password_is_known_to_the_program_alone(
    cluster: EmbeddedCluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    password = json.loads((cluster.dir / "agent.json").read_text(encoding="utf-8"))["relay"][2]
    assert len(password) > 40
    code = f"import os; print(b'{password[::-1]}'[::-1].decode() in os.environ['HTTP_PROXY'])"
    kube.core.create_namespaced_pod(namespace, pod({**container(code), "image": CONTROLLER}, restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert kube.core.read_namespaced_pod_log("pod", namespace).strip() == "True"
    cluster.export_logs(tmp_path)
    texts = {str(each): each.read_text(errors="replace") for each in tmp_path.rglob("*") if each.is_file()}
    assert texts
    texts["pod"] = str(kube.core.read_namespaced_pod("pod", namespace))
    texts["events"] = str(kube.core.list_namespaced_event(namespace))
    assert not [where for where, text in texts.items() if password in text]
    diagnosed = redacted_log(f"HTTP_PROXY={socks.url('127.100.255.252', 1080, password)}")
    assert diagnosed == f"HTTP_PROXY=socks5://signoff:{HIDDEN}@127.100.255.252:1080"


def known(*services: dict[str, Any]) -> Network:
    network = Network("10.100", "10.101")
    for each in services:
        each["metadata"]["namespace"] = "ml"
        network.services["ml", each["metadata"]["name"]] = each
    return network


@pytest.mark.parametrize(
    ("host", "way"),
    [
        ("10.100.0.9", Endpoint("127.100.0.9", 80)),
        ("10.101.0.9", None),
        ("127.100.0.9", Endpoint("127.100.0.9", 80)),
        ("127.101.0.9", Endpoint("127.101.0.9", 80)),
    ],
)
def test_an_address_of_the_cluster_is_dialled_on_loopback_unless_no_service_has_it(
    host: str, way: Endpoint | None
) -> None:
    assert known().way_to(host, 80) == way


@pytest.mark.parametrize(
    "host",
    [
        *("10.1.0.9", "10.100.example.org", "10.1001.0.9", "127.0.0.1", "127.102.0.9", "169.254.169.254", "192.0.2.1"),
        *("::1", "::ffff:127.0.0.1", "far.ml.svc", "example.org", "localhost", ""),
    ],
)
def test_nothing_outside_of_the_cluster_is_dialled(host: str) -> None:
    far = {"metadata": {"name": "far"}, "spec": {"type": "ExternalName", "externalName": "far.example.org"}}
    with pytest.raises(Outside):
        known(far).way_to(host, 80)


def test_a_name_of_the_cluster_that_no_service_has_is_unknown() -> None:
    with pytest.raises(UnknownHost):
        known().way_to("web.ml.svc.cluster.local", 80)


# The protocol

HELLO, TO_ECHO = b"\5\2\0\2" + b"\1\7signoff\4hush", b"\5\1\0\1\x0a\x64\0\1"
WELCOME, GRANTED = b"\5\2" + b"\1\0", b"\5\0\0\1\0\0\0\0\0\0"


async def exchanged(said: list[bytes], answer: int) -> bytes:
    """What a relay answers, up to this many bytes or its end, to what is said, one part after the other.

    Its password is "hush", and it knows no Service; what is said may hold the place of a port at which an echo answers.
    """

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(100):
            writer.write(heard)
        writer.close()

    served = await asyncio.start_server(echo, "127.100.0.1", 0)
    relay = await socks.listen(known(), "127.0.0.1", 0, "hush")
    port = served.sockets[0].getsockname()[1].to_bytes(2, "big")
    async with asyncio.timeout(10), served, relay:
        reader, writer = await asyncio.open_connection(*relay.sockets[0].getsockname())
        for part in said:
            writer.write(part.replace(b"PORT", port))
            await writer.drain()
            await asyncio.sleep(0.001)
        heard = b""
        while len(heard) < answer and (more := await reader.read(answer - len(heard))):
            heard += more
        writer.close()
    return heard


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
def test_what_is_said_may_come_in_any_parts(at_once: bool) -> None:
    whole = [HELLO, TO_ECHO, b"PORT", b"spoken early"]
    parts = [b"".join(whole)] if at_once else [*(bytes([each]) for each in HELLO + TO_ECHO), *whole[2:]]
    expected = WELCOME + GRANTED + b"spoken early"
    assert asyncio.run(exchanged(parts, len(expected))) == expected


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([b"\4"], b"\5\xff"),
        ([b"\5\1\0" + TO_ECHO, b"PORT"], b"\5\xff"),
        ([b"\5\0"], b"\5\xff"),
        ([b"\5\1\2" + TO_ECHO, b"PORT"], b"\5\2\1\1"),
        ([b"\5\1\2\1\7signoff\5hushy" + TO_ECHO, b"PORT"], b"\5\2\1\1"),
        ([b"\5\1\2\1\7signoff\0" + TO_ECHO, b"PORT"], b"\5\2\1\1"),
        ([b"\5\1\2\1\5admin\4hush" + TO_ECHO, b"PORT"], b"\5\2\1\1"),
        ([HELLO, b"\5\1\0\1\xc0\0\2\1\0\x50"], WELCOME + b"\5\2\0\1\0\0\0\0\0\0"),
        ([HELLO, b"\5\1\0\2\0\0\0\0"], WELCOME + b"\5\x08\0\1\0\0\0\0\0\0"),
        ([HELLO, b"\5\3\0\1\0\0\0\0"], WELCOME + b"\5\x07\0\1\0\0\0\0\0\0"),
    ],
    ids=[
        *("SOCKS 4", "no password offered", "nothing offered", "no password said", "another password"),
        *("an empty password", "another user", "outside of the cluster", "an unknown address", "UDP"),
    ],
)
def test_what_it_does_not_speak_is_refused_and_ended(said: list[bytes], answer: bytes) -> None:
    assert asyncio.run(exchanged(said, 1000)) == answer
