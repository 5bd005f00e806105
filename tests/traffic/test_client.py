"""A server behind a name that no DNS knows is asked at its address, and its certificate must be that name's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from doubles.serving import running
from signoff.cluster.embedded.pki import Authority
from signoff.core.errors import SignoffError
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from tests import tls
from tests.tls import NAME


@contextmanager
def serving(authority: Authority, *hosts: str) -> Iterator[tuple[str, list[tuple[str | None, str]]]]:
    """An HTTPS server whose certificate is for these, and of each request the server name (SNI) and Host header."""
    asked: list[tuple[str | None, str]] = []
    names = tls.Names()

    async def answer(request: web.Request) -> web.Response:
        asked.append((names.of_handshakes[-1], request.headers["Host"]))
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    with running(app, tls.context(authority, *hosts, names=names)) as url:
        yield url, asked


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "root")


def refused(endpoint: Endpoint) -> NoAnswer:
    with OpenAIClient(endpoint) as client, pytest.raises(NoAnswer) as error:
        client.models()
    return error.value


def test_the_name_is_sent_and_the_certificate_is_that_names(root: Authority) -> None:
    with (
        serving(root, NAME) as (url, asked),
        OpenAIClient(Endpoint(url, host=NAME, authorities=root.cert.read_text())) as client,
    ):
        answers = [client.models(), client.get("/again")]
    assert [answer.status for answer in answers] == [200, 200]
    assert asked == [(NAME, NAME)] * 2
    assert answers[0].to_record()["request"] == {"method": "GET", "url": f"{url}/v1/models", "body": None, "host": NAME}


def test_without_a_name_the_certificate_is_the_addresss(root: Authority) -> None:
    with serving(root, "127.0.0.1") as (url, asked):
        with OpenAIClient(Endpoint(url, authorities=root.cert.read_text())) as client:
            answer = client.models()
        assert answer.status == 200
        assert "host" not in answer.to_record()["request"]
        assert asked == [(None, url.removeprefix("https://"))]


@pytest.mark.parametrize("hosts", [("grafana.home.jetzinger.com",), ("127.0.0.1",)])
def test_a_certificate_for_another_name_is_refused(root: Authority, hosts: tuple[str, ...]) -> None:
    with serving(root, *hosts) as (url, asked):
        error = refused(Endpoint(url, host=NAME, authorities=root.cert.read_text()))
    assert error.what == (
        f"no answer to GET /v1/models: its certificate is not trusted as that of {NAME}: "
        f"Hostname mismatch, certificate is not valid for '{NAME}'"
    )
    assert error.where == f"{NAME} at {url}"
    assert not asked


@pytest.mark.parametrize("trusted", ["another root", "the usual roots"])
def test_a_certificate_of_an_unknown_root_is_refused(root: Authority, tmp_path: Path, trusted: str) -> None:
    other = Authority(tmp_path, "other").cert.read_text() if trusted == "another root" else ""
    with serving(root, NAME) as (url, asked):
        error = refused(Endpoint(url, host=NAME, authorities=other))
    assert f"its certificate is not trusted as that of {NAME}: unable to get local issuer certificate" in error.what
    assert not asked


def test_roots_that_are_no_certificates_are_told_as_such() -> None:
    with pytest.raises(SignoffError, match="the roots to be trusted are no certificates in PEM"):
        OpenAIClient(Endpoint("https://127.0.0.1:1", host=NAME, authorities="no PEM"))
