"""What Traefik says of one route is told apart from what it says of others, and each thing once."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from aiohttp import web

from doubles.serving import running
from signoff.core.errors import SignoffError
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, routes_in
from signoff.way_in.traefik import Traefik

HOST = "llm.example"
RULE = f"Host(`{HOST}`) && PathPrefix(`/v1`"
WHY = "1:40: missing ',' before newline in argument list"
PARSING = f"error while parsing rule {RULE}: parsing rule {RULE}: {WHY}"
INVALID = f"invalid rule {RULE}, error: error while parsing rule {RULE}: {WHY}"
HASH = "0123456789abcdef0123"


def route(kind: str = "IngressRoute", name: str = "litellm") -> Route:
    rules = {
        "IngressRoute": f"{{routes: [{{match: Host(`{HOST}`), services: [{{name: litellm, port: 4000}}]}}]}}",
        "Ingress": f"{{rules: [{{host: {HOST}, http: {{paths: [{{backend: {{service: {{name: litellm}}}}}}]}}}}]}}",
        "HTTPRoute": f"{{hostnames: [{HOST}], rules: [{{backendRefs: [{{name: litellm, port: 4000}}]}}]}}",
    }
    text = f"{{apiVersion: any/v1, kind: {kind}, metadata: {{name: {name}, namespace: ml}}, spec: {rules[kind]}}}"
    (found,) = routes_in([Manifest(Path("x"), "", yaml.safe_load(text))], "ml")
    return found


def router(name: str, *errors: str, host: str = HOST) -> dict[str, Any]:
    return {"name": name, "rule": f"Host(`{host}`)", **({"error": list(errors)} if errors else {})}


class Answering:
    """A cluster at which Traefik's API has these routers, and its pod this log."""

    def __init__(self, log: str = "") -> None:
        self.routers: list[dict[str, Any]] = []
        self.entry_points: list[dict[str, Any]] = []
        self.url = ""
        self.core = SimpleNamespace(read_namespaced_pod_log=lambda *_, **__: log)

    def service_url(self, *_: object) -> str:
        if not self.url:
            raise SignoffError("no such Service")
        return self.url

    def pods(self, *_: object) -> list[Any]:
        return [SimpleNamespace(metadata=SimpleNamespace(name="traefik"))]

    @property
    def traefik(self) -> Traefik:
        return Traefik(cast("Any", self), cast("Any", self))

    def app(self) -> web.Application:
        async def routers(_: web.Request) -> web.Response:
            return web.Response(text=json.dumps(self.routers))

        async def entry_points(_: web.Request) -> web.Response:
            return web.Response(text=json.dumps(self.entry_points))

        app = web.Application()
        app.router.add_get("/api/http/routers", routers)
        app.router.add_get("/api/entrypoints", entry_points)
        return app


@pytest.fixture
def answering() -> Iterator[Answering]:
    cluster = Answering()
    with running(cluster.app()) as cluster.url:
        yield cluster


def test_a_rule_that_cannot_be_parsed_is_told_once(answering: Answering) -> None:
    answering.routers = [router(f"ml-litellm-{HASH}@kubernetescrd", PARSING, INVALID)]
    assert answering.traefik.told_of(route(), HOST) == [f"the rule {RULE} cannot be parsed: {WHY}"]


@pytest.mark.parametrize(
    ("kind", "own", "others"),
    [
        (
            "IngressRoute",
            f"ml-litellm-{HASH}@kubernetescrd",
            [
                f"ml-litellm-redirect-{HASH}@kubernetescrd",
                f"ai-litellm-{HASH}@kubernetescrd",
                "ml-litellm-x@kubernetes",
            ],
        ),
        ("Ingress", "ml-litellm-llm-example@kubernetes", ["ml-litellm-ui-llm-example@kubernetes"]),
        (
            "HTTPRoute",
            "httproute-ml-litellm-gw-ml-home-ep-web-0-1@kubernetesgateway",
            ["httproute-ml-litellm-ui-gw-ml-home-ep-web-0-1@kubernetesgateway"],
        ),
    ],
)
def test_routers_of_other_routes_do_not_count(answering: Answering, kind: str, own: str, others: list[str]) -> None:
    answering.routers = [router(each, "another's") for each in others]
    assert answering.traefik.told_of(route(kind), HOST) == []
    answering.routers += [router(own, "its own"), router(own, "its own"), router(own, "another's", host="a.example")]
    assert answering.traefik.told_of(route(kind), HOST) == ["its own"]


def test_a_router_is_named_by_the_letters_and_numbers_of_its_route(answering: Answering) -> None:
    answering.routers = [router(f"ml-lite-llm-v2-{HASH}@kubernetescrd", "its own")]
    assert answering.traefik.told_of(route(name="lite.llm--v2"), HOST) == ["its own"]


LOG = f"""
2026-11-24T10:00:00Z \x1b[31mERR\x1b[0m \x1b[1mfrom before\x1b[0m \x1b[36merror=\x1b[0m"service not found" ingress=litellm namespace=ml
2026-11-24T10:00:01Z ERR error="invalid \\"port\\" of ml/litellm" ingress=litellm namespace=ml providerName=kubernetescrd
2026-11-24T10:00:02Z ERR error="another's" ingress=litellm-redirect namespace=ml
2026-11-24T10:00:03Z ERR error="another's" ingress=litellm namespace=ai
2026-11-24T10:00:04Z ERR {HOST} has trouble with ingress=litellm namespace=ml
"""  # noqa: E501  as Traefik writes it


def test_of_a_route_without_a_router_the_last_words_count() -> None:
    cluster = Answering(LOG)
    assert cluster.traefik.last_words(route(), HOST) == []  # its API is silent: nobody knows what it has made
    with running(cluster.app()) as cluster.url:
        assert cluster.traefik.last_words(route(), HOST) == ['invalid "port" of ml/litellm']
        assert cluster.traefik.last_words(route("HTTPRoute"), HOST) == []
        cluster.routers = [router(f"ml-litellm-{HASH}@kubernetescrd")]
        assert cluster.traefik.last_words(route(), HOST) == []


def test_the_time_outs_of_an_entry_point_are_in_seconds(answering: Answering) -> None:
    timeouts = {"respondingTimeouts": {"readTimeout": "1m0s", "idleTimeout": "3m0s", "writeTimeout": 0}}
    answering.entry_points = [{"name": "websecure", "transport": timeouts}]
    told = answering.traefik.timeouts("websecure")
    assert told == {"readTimeout": 60.0, "idleTimeout": 180.0, "writeTimeout": 0.0}
    assert answering.traefik.timeouts("other") == {}


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1"])
def test_of_a_traefik_that_does_not_answer_nothing_is_told(url: str) -> None:
    cluster = Answering()
    cluster.url = url
    assert (cluster.traefik.entry_points(), cluster.traefik.told_of(route(), HOST)) == ({}, [])
