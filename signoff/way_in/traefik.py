"""What Traefik says of itself. It writes nothing into the status of a route: its API and its log are all there is.

On a person's own cluster its API is seldom open, and is not asked: its arguments tell what it was started with.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.kube.client import Kube
from signoff.kube.routes import Route
from signoff.way_in.entrance import OWN, Entrance, entry_points, values

_ERROR = re.compile(r'error="((?:[^"\\]|\\.)*)"|error=(\S+)')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES = 400
_ROUTERS = "http/routers?per_page=1000"
_DEFAULTS = {"readTimeout": 60.0, "writeTimeout": 0.0, "idleTimeout": 180.0}
"""Of Traefik 3. Source: see `timeouts`."""
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Traefik:
    """The Traefik at an entrance; where another controller is there, nothing is known of it."""

    kube: Kube
    cluster: Cluster
    entrance: Entrance = OWN

    def entry_points(self) -> dict[str, dict[str, Any]]:
        """Each by its name, as its API has it, else as its arguments name it; empty while neither tells."""
        if not self.entrance.api:
            return {each: {} for each in entry_points(self.entrance.arguments)}
        told = self._ask("entrypoints")
        return {each["name"]: each for each in told} if isinstance(told, list) else {}

    def has_resolver(self, name: str) -> bool:
        """Whether it gets certificates itself, by a resolver of this name."""
        own = f"--certificatesresolvers.{name.lower()}."
        return any(each.startswith(own) for each in values(self.entrance.arguments))

    def timeouts(self, entry_point: str) -> dict[str, float]:
        """The time-outs of an entry point in seconds; 0 is none.

        Source: https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/ (respondingTimeouts).
        """
        if not self.entrance.api:
            return self._timeouts_in_arguments(entry_point)
        found = self.entry_points().get(entry_point, {}).get("transport", {}).get("respondingTimeouts", {})
        return {name: seconds_of(value) for name, value in found.items()}

    def _timeouts_in_arguments(self, entry_point: str) -> dict[str, float]:
        """What its arguments set, and else its own; none where these do not tell of the entry point."""
        if entry_point.lower() not in self.entry_points():
            return {}
        own = f"--entrypoints.{entry_point}.transport.respondingtimeouts.".lower()
        told = values(self.entrance.arguments)
        given = {name: told.get(f"{own}{name.lower()}") for name in _DEFAULTS}
        return {name: _DEFAULTS[name] if value is None else _given(value) for name, value in given.items()}

    def timeouts_of_transport(self, route: Route) -> dict[str, float]:
        """How long the ServersTransport that a route names waits for an answer to begin, in seconds.

        Source: https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/crd/http/serverstransport/
        (forwardingTimeouts.responseHeaderTimeout; Traefik's own is none).
        """
        name = _transport_of(route)
        try:
            there = self.kube.objects("traefik.io/v1alpha1", "ServersTransport", route.namespace) if name else []
        except ForbiddenError:
            return {}
        own = next((each for each in there if each["metadata"]["name"] == name), {})
        told = ((own.get("spec") or {}).get("forwardingTimeouts") or {}).get("responseHeaderTimeout")
        return {} if told is None else {"responseHeaderTimeout": seconds_of(told)}

    def told_of(self, route: Route, host: str) -> list[str]:
        """What it finds wrong with the routers that it has made of a route for this host, each sentence once."""
        told = self._ask(_ROUTERS)
        own = [each for each in told or () if _is_made_of(each, route, host)]
        return list(dict.fromkeys(_shortened(str(error)) for router in own for error in router.get("error") or ()))

    def last_words(self, route: Route, host: str) -> list[str]:
        """Why it made no router of a route, as its log says last; nothing where it has made one.

        A log has the past as well, which says nothing of a route that has a router by now; without an API nobody can
        tell that.
        """
        told = self._ask(_ROUTERS)
        if (told is None and self.entrance.api) or any(_is_made_of(each, route, host) for each in told or ()):
            return []
        return list(self._of_log(route))[-1:]

    def _of_log(self, route: Route) -> Iterator[str]:
        field = "http_route" if route.kind == "HTTPRoute" else "ingress"
        name = route.manifest.body["metadata"]["name"]
        for log in self._logs():
            for line in _COLOURS.sub("", log).splitlines():
                if {f"{field}={name}", f"namespace={route.namespace}"} <= set(line.split()) and (
                    found := _ERROR.search(line)
                ):
                    yield (found[1] or found[2]).replace('\\"', '"')

    def _logs(self) -> Iterator[str]:
        """The last lines of each of its pods, as far as they may be read."""
        entrance, core = self.entrance, self.kube.core
        if not entrance.is_traefik or not entrance.pods:
            return
        try:
            for pod in self.kube.pods(entrance.namespace, entrance.pods):
                name = pod.metadata.name
                yield str(core.read_namespaced_pod_log(name, entrance.namespace, tail_lines=_LAST_LINES))
        except ApiException as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise

    def _ask(self, what: str) -> Any:
        if not self.entrance.api:
            return None
        try:
            base = self.cluster.service_url(self.entrance.namespace, self.entrance.api, 8080)
            return httpx.get(f"{base}/api/{what}", timeout=REQUEST.seconds, trust_env=False).raise_for_status().json()
        except (httpx.HTTPError, SignoffError, ValueError):
            return None


def _is_made_of(router: dict[str, Any], route: Route, host: str) -> bool:
    """Whether it has made a router of this route; it names them after namespace and object, and then as below.

    Source: pkg/provider/kubernetes/{crd,ingress,gateway} of Traefik 3.6, makeServiceKey, routerKey and makeRouterName.
    """
    own = _normalized(f"{route.namespace}-{route.manifest.body['metadata']['name']}")
    names = {
        "IngressRoute": f"{own}-[0-9a-f]{{20}}@kubernetescrd",
        "Ingress": f"{own}-{_normalized(host)}.*@kubernetes",
        "HTTPRoute": f"httproute-{own}-gw-.*",
    }
    return bool(re.fullmatch(names[route.kind], str(router.get("name", "")))) and host in str(router.get("rule", host))


def _normalized(name: str) -> str:
    """The letters and numbers of a name, as Traefik's own names are made of others."""
    return "-".join(re.findall(r"[^\W_]+", name))


def _shortened(error: str) -> str:
    """What it says of a rule that it cannot parse, it says in two ways, the rule in it each time two or three times."""
    found = re.search(r"error while parsing rule (?P<rule>.+?): (?:parsing rule (?P=rule): )?(?P<why>.+)$", error)
    return f"the rule {found['rule']} cannot be parsed: {found['why']}" if found else error


def _transport_of(route: Route) -> str:
    """The ServersTransport that an IngressRoute names for its Service; empty for Traefik's default."""
    if route.kind != "IngressRoute":
        return ""
    service: Any = route.manifest.body
    for key in route.place:
        service = service[key]
    return str(service.get("serversTransport") or "")


def _given(value: str) -> float:
    """A duration of an argument: a number alone is in seconds."""
    return float(value) if value.isdigit() else seconds_of(value)


def seconds_of(duration: Any) -> float:
    """A duration as Go writes it, in seconds; a number is in seconds or, as Go has it inside, in nanoseconds.

    >>> seconds_of("1m5s"), seconds_of("0s"), seconds_of(5_000_000_000)
    (65.0, 0.0, 5.0)
    """
    if isinstance(duration, int | float):
        return duration / 1e9 if duration > 1e6 else float(duration)
    return sum(float(number) * _UNIT[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", str(duration)))
