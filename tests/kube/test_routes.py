"""Routes of three kinds in one form: the hosts, where they lead, and with what certificate."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.kube.objects import Manifest
from signoff.kube.routes import Middleware, Route, routes_in, secret_of

HOST = "llm.example"


def objects(text: str) -> list[Manifest]:
    return [Manifest(Path("routes.yaml"), "", body) for body in yaml.safe_load_all(text)]


INGRESS_ROUTE = """
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: litellm, namespace: ai}
spec:
  entryPoints: [websecure]
  routes:
    - match: Host(`llm.example`) && PathPrefix(`/v1`)
      middlewares: [{name: limits}, {name: headers, namespace: shared}]
      services: [{name: litellm, port: 4000}]
  tls: {secretName: llm-tls}
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: litellm, namespace: ai}
spec:
  tls: [{hosts: [llm.example], secretName: llm-tls}]
  rules: [{host: llm.example, http: {paths: [{backend: {service: {name: litellm, port: {number: 4000}}}}]}}]
"""
HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: litellm, namespace: ai}
spec:
  parentRefs: [{name: home, namespace: edge, sectionName: https}]
  hostnames: [llm.example]
  rules: [{backendRefs: [{name: litellm, port: 4000}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: home, namespace: edge}
spec:
  listeners:
    - {name: http, hostname: "*.example"}
    - {name: https, hostname: "*.example", tls: {certificateRefs: [{name: llm-tls}]}}
"""


def the_route(text: str) -> Route:
    (route,) = routes_in(objects(text), "ml")
    return route


@pytest.mark.parametrize(
    ("text", "of_secret"), [(INGRESS_ROUTE, "ai"), (INGRESS, "ai"), (HTTP_ROUTE, "edge")], ids=["traefik", "k8s", "gw"]
)
def test_three_kinds_say_the_same(text: str, of_secret: str) -> None:
    route = the_route(text)
    assert (route.hosts, route.service, route.service_namespace, route.port) == ((HOST,), "litellm", "ai", 4000)
    assert (route.tls, route.secret, route.secret_namespace) == (True, "llm-tls", of_secret)


def test_a_route_that_was_written_for_traefik_v2_is_found() -> None:
    route = the_route(INGRESS_ROUTE.replace("traefik.io/v1alpha1", "traefik.containo.us/v1alpha1"))
    assert (route.hosts, route.service, route.secret) == ((HOST,), "litellm", "llm-tls")


def test_an_ingress_route_has_entry_points_and_middlewares() -> None:
    route = the_route(INGRESS_ROUTE)
    assert route.entry_points == ("websecure",)
    assert route.middlewares == (Middleware("limits", "ai"), Middleware("headers", "shared"))


@pytest.mark.parametrize(
    ("match", "hosts"),
    [
        ("Host(`a.example`) || Host(`b.example`)", ["a.example", "b.example"]),
        ("Host(`a.example`, `b.example`)", ["a.example", "b.example"]),
        ('Host("a.example")', ["a.example"]),
        ("HostRegexp(`.+`)", []),
        ("PathPrefix(`/v1`)", []),
        ("PathPrefix(`/`) && !Host(`a.example`)", []),
    ],
)
def test_the_hosts_of_a_rule(match: str, hosts: list[str]) -> None:
    spec = {"routes": [{"match": match, "services": [{"name": "litellm", "port": 1}]}]}
    body: dict[str, Any] = {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": {}, "spec": spec}
    assert [host for route in routes_in([Manifest(Path("x"), "", body)], "") for host in route.hosts] == hosts


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ("Host(`llm.example`)", True),
        ("Host(`llm.example`) && PathPrefix(`/v1`)", True),
        ("Host(`llm.example`) && (PathPrefix(`/page`) || PathPrefix(`/v1`))", True),
        ("Host(`llm.example`) && PathPrefix(`/page`)", False),
        ("Host(`llm.example`) && Path(`/`)", False),
        ("Host(`llm.example`) && !PathPrefix(`/v1`)", False),
        ("Host(`llm.example`) && Header(`X-Canary`, `1`)", False),
    ],
)
def test_a_rule_takes_every_request_for_a_path_or_not(match: str, taken: bool) -> None:
    route = the_route(INGRESS_ROUTE.replace("Host(`llm.example`) && PathPrefix(`/v1`)", match))
    assert route.takes("/v1/models") is taken


@pytest.mark.parametrize(
    ("text", "told", "taken"),
    [
        (INGRESS, "{path: /v1, backend", True),
        (INGRESS, "{path: /page, backend", False),
        (INGRESS, "{path: /v1/models, pathType: Exact, backend", False),
        (HTTP_ROUTE, "{matches: [{path: {type: PathPrefix, value: /v1}}], backend", True),
        (HTTP_ROUTE, "{matches: [{path: {value: /page}}, {path: {value: /v1}}], backend", True),
        (HTTP_ROUTE, "{matches: [{path: {type: Exact, value: /v1/models}}], backend", False),
        (HTTP_ROUTE, "{matches: [{path: {value: /v1}, headers: [{name: X-Canary, value: a}]}], backend", False),
    ],
)
def test_other_kinds_say_it_by_paths_and_matches(text: str, told: str, taken: bool) -> None:
    assert the_route(text).takes("/v1/models")
    assert the_route(text.replace("{backend", told)).takes("/v1/models") is taken


def test_the_longer_rule_comes_first_unless_its_priority_says_otherwise() -> None:
    short = INGRESS_ROUTE.replace(" && PathPrefix(`/v1`)", "")
    told = short.replace("middlewares:", "priority: 1000\n      middlewares:")
    assert the_route(short).priority < the_route(INGRESS_ROUTE).priority < the_route(told).priority


@pytest.mark.parametrize("tls", ["", "tls: [{hosts: [other.example], secretName: llm-tls}]"])
def test_an_ingress_without_tls_for_its_host(tls: str) -> None:
    text = INGRESS.replace("tls: [{hosts: [llm.example], secretName: llm-tls}]", tls)
    assert (the_route(text).tls, the_route(text).secret) == (False, "")


def test_a_listener_for_another_name_gives_no_certificate() -> None:
    text = HTTP_ROUTE.replace('name: https, hostname: "*.example"', "name: https, hostname: other.test")
    assert not the_route(text).tls


@pytest.mark.parametrize("spec", ["{}", "{routes: 1}", "{routes: [1]}", "{routes: [{services: [1]}]}", "null"])
def test_what_is_no_route_leads_nowhere(spec: str) -> None:
    text = f"apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {{name: a}}\nspec: {spec}\n"
    assert routes_in(objects(text), "ml") == []


def test_the_secret_of_a_certificate() -> None:
    body: dict[str, Any] = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "a"}}
    assert secret_of(Manifest(Path("x"), "", {**body, "spec": {"secretName": "s"}})) == "s"
    assert secret_of(Manifest(Path("x"), "", body)) == ""
