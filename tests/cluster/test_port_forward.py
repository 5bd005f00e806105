"""A Service's port through the API server: it heals, and tells what broke and whose doing that was."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from signoff.cluster.base import TunnelBreak
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.port_forward import Forwards, ServiceForward
from signoff.core.timeouts import Timeout
from signoff.core.waiting import consistently
from signoff.kube.client import Kube
from tests.cluster.forwarded import PATIENT, forward, relay, start_pod
from tests.cluster.relay import Relay
from tests.embedded import wait_for

pytestmark = pytest.mark.cluster
__all__ = ["forward", "relay"]


def answer(url: str) -> str:
    """Who answers, over a connection of its own; nothing when nobody does."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).text
    except httpx.TransportError:
        return ""


def broken(forward: ServiceForward, since: float) -> list[TunnelBreak]:
    return [each for each in forward.breaks(since) if each.by_tunnel]


def test_answers_come_whole(forward: ServiceForward) -> None:
    assert answer(forward.url) == "first"
    assert answer(f"{forward.url}/much") == "first" * (1 << 20)
    assert forward.breaks(0) == []


def test_a_pod_that_is_deleted_under_a_kept_connection_is_no_doing_of_the_tunnel(
    forward: ServiceForward, kube: Kube, namespace: str
) -> None:
    with httpx.Client(trust_env=False) as kept:
        assert kept.get(forward.url).text == "first"
        kube.core.delete_namespaced_pod("first", namespace)
        start_pod(kube, namespace, "second")
        wait_for("the new pod", lambda: answer(forward.url) == "second", PATIENT)
        wait_for("the kept connection to have ended", lambda: kept.get(forward.url).text == "second", PATIENT)
    assert broken(forward, 0) == []


def test_a_container_that_ends_in_the_middle_of_an_answer_is_no_doing_of_the_tunnel(forward: ServiceForward) -> None:
    assert answer(f"{forward.url}/end") == ""
    wait_for("its next start", lambda: answer(forward.url) == "first", PATIENT)
    assert broken(forward, 0) == []


def test_a_tunnel_that_is_cut_while_the_pod_lives_is_told_as_such_and_the_next_one_works(
    forward: ServiceForward, relay: Relay, namespace: str
) -> None:
    since = time.monotonic()
    with httpx.Client(trust_env=False) as kept:
        assert kept.get(forward.url).text == "first"
        threading.Timer(0.5, relay.cut).start()
        with pytest.raises(httpx.TransportError):
            kept.get(f"{forward.url}/slow")
        (told,) = broken(forward, since)
        assert (told.pod, told.service) == ("first", f"{namespace}/web")
        assert "ended without a word" in str(told)
        assert broken(forward, time.monotonic()) == []
        assert kept.get(forward.url).text == "first"


@pytest.mark.parametrize("end", ["deleted", "restarted"])
def test_one_that_is_cut_as_its_pod_ends_is_told_as_the_pods(
    forward: ServiceForward, relay: Relay, kube: Kube, namespace: str, end: str
) -> None:
    with httpx.Client(trust_env=False) as kept:
        assert kept.get(forward.url).text == "first"
        if end == "deleted":
            kube.core.delete_namespaced_pod("first", namespace)
        else:
            assert kept.get(f"{forward.url}/end-soon").text == "first"
        relay.cut()
        wait_for("the break", lambda: forward.breaks(0), PATIENT)
    assert {(each.pod, each.by_tunnel) for each in forward.breaks(0)} == {("first", False)}


def test_an_api_server_that_is_not_reached_is_told_and_is_asked_again(forward: ServiceForward, relay: Relay) -> None:
    with relay.refusing():
        assert answer(forward.url) == ""
        (told,) = broken(forward, 0)
        assert "could not be asked" in told.what
    assert answer(forward.url) == "first"


def test_a_tunnel_that_is_silent_is_given_up_and_one_that_only_rests_is_not(
    forward: ServiceForward, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.cluster.tunnel.TUNNEL_ALIVE", Timeout(1))
    with httpx.Client(trust_env=False, timeout=20) as kept:
        assert kept.get(forward.url).text == "first"
        consistently("the tunnel rests", Timeout(4, every=1), lambda: None)
        assert forward.breaks(0) == []
        with relay.frozen(), pytest.raises(httpx.TransportError):
            kept.get(f"{forward.url}/slow")
    assert [each.pod for each in broken(forward, 0)] == ["first"]
    assert answer(forward.url) == "first"


def test_nothing_ready_is_refused_and_ready_again_is_served(
    forward: ServiceForward, kube: Kube, namespace: str
) -> None:
    kube.core.delete_namespaced_pod("first", namespace)
    wait_for("nobody to answer", lambda: not answer(forward.url), PATIENT)
    start_pod(kube, namespace, "second")
    assert wait_for("somebody to answer", lambda: answer(forward.url), PATIENT) == "second"
    assert broken(forward, 0) == []


def test_one_that_hangs_while_it_is_opened_holds_up_no_other_and_is_given_up(
    forward: ServiceForward, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.cluster.port_forward.TUNNEL_OPENS", Timeout(4))
    assert answer(forward.url) == "first"
    with ThreadPoolExecutor() as threads, relay.holding(1):
        hanging = threads.submit(answer, f"{forward.url}/")
        wait_for("it to hang", lambda: relay.held)
        started = time.monotonic()
        assert [answer(forward.url) for _ in range(5)] == ["first"] * 5
        assert time.monotonic() - started < 3
        assert hanging.result() == ""
    assert "not open after 4 s" in next(each.what for each in broken(forward, 0))


def test_hundreds_of_connections_leave_nothing_behind(forward: ServiceForward) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), psutil.Process().num_fds()

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(answer, [forward.url] * 100)) == {"first"}
        before = held()
        assert set(threads.map(answer, [forward.url] * 300)) == {"first"}
        wait_for("what they held to be freed", lambda: held() <= (before[0] + 15, before[1] + 5) or 0, PATIENT)
    assert broken(forward, 0) == []


@pytest.mark.prove  # the descriptors of the process are every test's
def test_a_descriptor_that_is_wanting_ends_nothing(forward: ServiceForward) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = httpx.Client(trust_env=False, timeout=20)
    with client:
        assert client.get(forward.url).text == "first"
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 8, hard))
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            os.close(held.pop())
            assert answer(forward.url) == ""
        finally:
            for each in held:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for("an answer", lambda: answer(forward.url) == "first", PATIENT)


def test_what_is_closed_is_refused_and_frees_what_it_held(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> None:
    spec = {"selector": {"app": "pod"}, "ports": [{"port": 80, "targetPort": 8080}]}
    kube.core.create_namespaced_service(namespace, {"metadata": {"name": "web"}, "spec": spec})
    start_pod(kube, namespace, "first")
    forwards = Forwards(cluster.kubeconfig)
    url = forwards.url(namespace, "web", 80)
    assert forwards.url(namespace, "web", 80) == url
    with httpx.Client(trust_env=False) as kept:
        assert kept.get(url).text == "first"
        forwards.close()
        assert answer(url) == ""
        with pytest.raises(httpx.TransportError):
            kept.get(url)
    assert forwards.breaks(0) == []
