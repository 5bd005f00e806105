"""The loopback range of a cluster, so that two clusters on one machine never meet.

EndpointSlices refuse loopback addresses. So a pod of range n reports 10.(100+2n).x.y and listens on 127.(100+2n).x.y,
and a Service's ClusterIP 10.(101+2n).x.y is served on 127.(101+2n).x.y.
"""

import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from signoff.core.errors import SignoffError

RANGES = 50
_CLAIM_PORT = 61999
_MOVED_BY = 30000
_NET_BIND_SERVICE = 1 << 10
"""The capability to listen on any port (capabilities(7))."""


def to_loopback(ip: str) -> str:
    """Where the thing that Kubernetes knows as `ip` really listens.

    >>> to_loopback("10.101.0.7")
    '127.101.0.7'
    """
    return "127." + ip.split(".", 1)[1]


def first_port() -> int:
    """The lowest port on which this process may listen."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    if effective and int(effective[1], 16) & _NET_BIND_SERVICE:
        return 1
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="utf-8"))


def served_port(port: int, first: int | None = None) -> int:
    """At which port a Service's port is served on loopback: at itself, or 30000 above it where it is below the `first`.

    That is by default the lowest one on which this user may listen.

    >>> served_port(80, first=1024), served_port(8080, first=1024), served_port(80, first=1)
    (30080, 8080, 80)
    """
    return port if port >= (first_port() if first is None else first) else port + _MOVED_BY


@dataclass(frozen=True)
class AddressRange:
    """Range number `number`; it stays claimed for as long as `claim` is open."""

    number: int
    claim: socket.socket

    @property
    def pod_octet(self) -> int:
        """The second number of every pod address."""
        return 100 + 2 * self.number

    @property
    def service_octet(self) -> int:
        """The second number of every ClusterIP."""
        return self.pod_octet + 1

    @property
    def pod_range(self) -> str:
        """The first two numbers of every pod address."""
        return f"10.{self.pod_octet}"

    @property
    def service_range(self) -> str:
        """The first two numbers of every ClusterIP."""
        return f"10.{self.service_octet}"

    @property
    def kubernetes_service(self) -> str:
        """The ClusterIP of the Service `kubernetes`: by rule the first of the range."""
        return f"{self.service_range}.0.1"

    @property
    def control_plane(self) -> str:
        """The address of etcd and the API server."""
        return f"127.{self.pod_octet}.255.253"

    @property
    def relay(self) -> str:
        """The address of the relay by which programs in pods dial addresses."""
        return f"127.{self.pod_octet}.255.252"

    def node(self, index: int) -> str:
        """The address of node `index`, from 0."""
        return f"127.{self.pod_octet}.255.{1 + index}"

    def pod_prefix(self, index: int) -> str:
        """The first three numbers of the addresses of the pods on node `index`."""
        return f"{self.pod_range}.{index}"


def claim_address_range() -> AddressRange:
    """Take the first free range by binding a port in it, which the kernel frees when this process ends.

    Raises:
        SignoffError: all ranges are taken.
    """
    for number in range(RANGES):
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"127.{100 + 2 * number}.255.254", _CLAIM_PORT))
            claim.listen(1)  # without it, a second bind with SO_REUSEADDR would be let through
        except OSError:
            claim.close()
            continue
        return AddressRange(number, claim)
    raise SignoffError(
        f"all {RANGES} address ranges for embedded clusters are taken",
        where=f"port {_CLAIM_PORT} on 127.100.255.254 to 127.{100 + 2 * (RANGES - 1)}.255.254",
        hint="end clusters that are no longer needed (`ss -tlnp` names their processes)",
    )


def free_ports(address: str, count: int) -> list[int]:
    """Ports that nobody listens on at `address`, all different: they are held until the last one is found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
