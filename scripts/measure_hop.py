"""What a Service hop through the forwarder adds over the pod's own address, as a Markdown table.

    python -m scripts.measure_hop --pairs 4000                # one after the other, as fast as they come back
    python -m scripts.measure_hop --pairs 4000 --rate 200     # each way 200 times a second, whatever it takes

One pod echoes; both ways are asked in turn, in random order, over one connection each.
"""

import argparse
import os
import platform
import random
import socket
import time
from typing import Any

import numpy as np

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.address_range import to_loopback
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube, is_ready
from signoff.kube.manifests import StoryManifests

PORT = 7000
MESSAGE = b"x" * 512
WARM_UP = 200
LATE_SECONDS = 1e-3
_ECHO = f"""
import socket
server = socket.create_server(("0.0.0.0", {PORT}))
while True:
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    import threading
    def echo(connection=connection):
        while data := connection.recv(65536):
            connection.sendall(data)
    threading.Thread(target=echo, daemon=True).start()
"""


def main() -> None:
    """Measure on a cluster of its own and print the percentiles."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=4000, help="how many times to ask each way (default: 4000)")
    parser.add_argument("--rate", type=float, help="pairs per second, on a fixed schedule (default: no pause)")
    options = parser.parse_args()
    pairs, rate = options.pairs, options.rate
    # Any image with Python does; the cluster's default LiteLLM image has it.
    image = StoryManifests.read().gateway_image
    cluster = EmbeddedCluster.start(images=[image])
    try:
        direct, service = addresses(cluster, image)
        with connected(direct) as straight, connected(service) as hop:
            samples, late = timed({"direct": straight, "service": hop}, pairs, rate)
    finally:
        cluster.close()
    added = (samples["service"] - samples["direct"]) * 1000
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    pace = f" at {rate:g} pairs per second, {late} begun over 1 ms late" if rate else ""
    print(f"{machine}, {pairs} interleaved pairs of {len(MESSAGE)} bytes{pace}\n")
    print("| ms | median | p99 |\n| --- | ---: | ---: |")
    for name, values in (*((name, values * 1000) for name, values in samples.items()), ("added by the hop", added)):
        print(f"| {name} | {np.median(values):.3f} | {np.quantile(values, 0.99):.3f} |")


def addresses(cluster: EmbeddedCluster, image: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """An echoing pod's own address and its Service's."""
    kube = Kube(cluster.kubeconfig)
    labels = {"app": "echo"}
    container: dict[str, Any] = {"name": "echo", "image": image, "command": ["python3", "-c", _ECHO]}
    container["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    pod = {"metadata": {"name": "echo", "labels": labels}, "spec": {"containers": [container]}}
    kube.wait_for_namespace("default")
    kube.core.create_namespaced_pod("default", pod)
    ports = [{"port": PORT}]
    made = kube.core.create_namespaced_service(
        "default", {"metadata": {"name": "echo"}, "spec": {"selector": labels, "ports": ports}}
    )

    def ready() -> str:
        found = kube.core.read_namespaced_pod("echo", "default")
        if not is_ready(found):
            raise NotYet(str(found.status.phase))
        return str(found.status.pod_ip)

    ip = eventually("the echoing pod", Timeout(120), ready)
    pod_address, service_address = (to_loopback(ip), PORT), (to_loopback(made.spec.cluster_ip), PORT)
    eventually("the Service of the echoing pod", Timeout(20), lambda: listens(service_address))
    return pod_address, service_address


def listens(address: tuple[str, int]) -> None:
    """See that somebody accepts connections there."""
    try:
        connected(address).close()
    except OSError as error:
        raise NotYet(str(error)) from None


def connected(address: tuple[str, int]) -> socket.socket:
    """A connection that sends at once."""
    made = socket.create_connection(address, timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def timed(ways: dict[str, socket.socket], pairs: int, rate: float | None) -> tuple[dict[str, Any], int]:
    """Seconds of each exchange, by way; and how many pairs began later than their schedule said."""
    names, seconds, late = list(ways), {name: np.empty(pairs) for name in ways}, 0
    begun = time.perf_counter()
    for number in range(-WARM_UP, pairs):
        if rate:
            due = begun + (number + WARM_UP) / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            late += number >= 0 and time.perf_counter() - due > LATE_SECONDS
        for name in random.sample(names, len(names)):
            took = exchange(ways[name])
            if number >= 0:
                seconds[name][number] = took
    return seconds, late


def exchange(connection: socket.socket) -> float:
    """Send the message and read it back; the seconds it took."""
    start = time.perf_counter()
    connection.sendall(MESSAGE)
    left = len(MESSAGE)
    while left:
        left -= len(connection.recv(left))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
