"""What Traefik says of itself. It writes nothing into the status of a route: its API and its log are all there is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.kube.client import Kube
from signoff.way_in.controllers import NAMESPACE, TRAEFIK, TRAEFIK_API

_ERROR = re.compile(r'error="((?:[^"\\]|\\.)*)"|error=(\S+)')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES = 400
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Traefik:
    """The Traefik of the suite's own clusters."""

    kube: Kube
    cluster: Cluster

    def entry_points(self) -> dict[str, dict[str, Any]]:
        """Each by its name, as its API has it; empty while it does not answer."""
        told = self._ask("entrypoints")
        return {each["name"]: each for each in told} if isinstance(told, list) else {}

    def timeouts(self, entry_point: str) -> dict[str, float]:
        """The time-outs of an entry point in seconds; 0 is none.

        Source: https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/ (respondingTimeouts).
        """
        found = self.entry_points().get(entry_point, {}).get("transport", {}).get("respondingTimeouts", {})
        return {name: seconds_of(value) for name, value in found.items()}

    def told_of(self, kind: str, name: str, namespace: str) -> list[str]:
        """What it finds wrong with a route, each sentence once: of its routers, or why it has made none of it.

        A log has the past as well. So it counts only where no router is there.
        """
        told = self._ask("http/routers")
        own = [each for each in told or () if str(each.get("name", "")).startswith(f"{namespace}-{name}-")]
        of_routers = [str(error) for router in own for error in router.get("error") or ()]
        return list(dict.fromkeys(of_routers if own else self._of_log(kind, name, namespace)))

    def _of_log(self, kind: str, name: str, namespace: str) -> Iterator[str]:
        for pod in self.kube.pods(NAMESPACE, {"app.kubernetes.io/name": TRAEFIK}):
            log = self.kube.core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, tail_lines=_LAST_LINES)
            field = "ingress" if kind in ("IngressRoute", "Ingress") else "http_route"
            for line in _COLOURS.sub("", str(log)).splitlines():
                if {f"{field}={name}", f"namespace={namespace}"} <= set(line.split()) and (
                    found := _ERROR.search(line)
                ):
                    yield (found[1] or found[2]).replace('\\"', '"')

    def _ask(self, what: str) -> Any:
        try:
            base = self.cluster.service_url(NAMESPACE, TRAEFIK_API, 8080)
            return httpx.get(f"{base}/api/{what}", timeout=REQUEST.seconds, trust_env=False).raise_for_status().json()
        except (httpx.HTTPError, SignoffError, ValueError):
            return None


def seconds_of(duration: Any) -> float:
    """A duration as Go writes it, in seconds; a number is in seconds or, as Go has it inside, in nanoseconds.

    >>> seconds_of("1m5s"), seconds_of("0s"), seconds_of(5_000_000_000)
    (65.0, 0.0, 5.0)
    """
    if isinstance(duration, int | float):
        return duration / 1e9 if duration > 1e6 else float(duration)
    return sum(float(number) * _UNIT[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", str(duration)))
