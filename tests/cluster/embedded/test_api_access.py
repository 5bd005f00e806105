"""A pod asks the API with the token of its own service account, where it does not opt out."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from signoff.cluster.embedded import namespaces
from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.sources import TOKEN, Sources
from signoff.cluster.embedded.agent.tokens import Tokens, renewal
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi
from signoff.kube.client import Kube
from tests.cluster.embedded.asking import ASK, BUILT_IN, FOLDER, SEEN, may_list_pods
from tests.embedded import container, ended, pod

ONCE = {"restartPolicy": "Never"}
needs_namespaces = pytest.mark.skipif(bool(namespaces.why_not()), reason="what is mounted needs namespaces")


def said(kube: Kube, namespace: str, code: str, **spec: Any) -> list[str]:
    """The lines that a pod with this code writes, which has to end well."""
    kube.core.create_namespaced_pod(namespace, pod(container(code), **ONCE, **spec))
    over, log = ended(kube, namespace), str(kube.core.read_namespaced_pod_log("pod", namespace))
    assert over == "Succeeded", log
    return log.splitlines()


@needs_namespaces
def test_a_pod_asks_the_api_as_its_service_account_and_is_refused_what_that_may_not(kube: Kube, namespace: str) -> None:
    may_list_pods(kube, namespace)
    assert said(kube, namespace, ASK + BUILT_IN + SEEN) == ["['pod']", "403", "403"]


@needs_namespaces
def test_nobody_writes_where_the_token_lies(kube: Kube, namespace: str) -> None:
    code = f"""
folder = bytes.fromhex("{FOLDER.encode().hex()}").decode()
for name in ("token", "other"):
    try:
        open(folder + "/" + name, "a")
    except OSError as error:
        print(error.strerror)
"""
    assert said(kube, namespace, code) == ["Read-only file system"] * 2


@pytest.mark.parametrize("of", ["pod", "account"])
def test_who_opts_out_has_no_token(kube: Kube, namespace: str, of: str) -> None:
    if of == "account":
        kube.core.patch_namespaced_service_account("default", namespace, {"automountServiceAccountToken": False})
    code = f"""
import os
print(os.path.exists(bytes.fromhex("{FOLDER.encode().hex()}").decode()), "KUBECONFIG" in os.environ)
"""
    spec = {"automountServiceAccountToken": False} if of == "pod" else {}
    assert said(kube, namespace, code, **spec) == ["False False"]


def test_a_volume_has_a_token_for_another_audience(kube: Kube, namespace: str) -> None:
    asked = {"audience": "vault", "expirationSeconds": 600, "path": "for-vault"}
    volume = {"name": "v", "projected": {"sources": [{"serviceAccountToken": asked}]}}
    code = """
import base64, json
part = open("/tokens/for-vault").read().split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
print(claims["aud"], claims["exp"] - claims["iat"], claims["kubernetes.io"]["pod"]["name"])
"""
    body = pod(container(code, volumeMounts=[{"name": "v", "mountPath": "/tokens"}]), volumes=[volume], **ONCE)
    kube.core.create_namespaced_pod(namespace, body)
    assert ended(kube, namespace) == "Succeeded"
    assert kube.core.read_namespaced_pod_log("pod", namespace).strip() == "['vault'] 600 pod"


# When tokens are renewed


class Server:
    """Gives tokens, one after the other, of which it says when each ends; or is not there."""

    def __init__(self) -> None:
        self.given, self.now, self.there = 0, 0.0, True

    async def request(self, method: str, path: str, *, json: Json) -> Json:
        if not self.there:
            raise ApiError(503, "ServiceUnavailable", "")
        assert (method, path) == ("POST", "/api/v1/namespaces/ml/serviceaccounts/default/token")
        assert json["spec"]["boundObjectRef"]["uid"] == "1"
        self.given += 1
        ends = datetime.fromtimestamp(self.now + json["spec"]["expirationSeconds"], UTC)
        return {**json, "status": {"token": f"number {self.given}", "expirationTimestamp": ends.isoformat()}}


def tokens_of(server: Server, seconds: int) -> Tokens:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": seconds}}
    volume = {"name": "kube-api-access-x", "projected": {"sources": [source]}}
    spec = {"serviceAccountName": "default", "nodeName": "k3s-worker-01", "volumes": [volume]}
    facts = PodFacts({"metadata": {"namespace": "ml", "name": "pod", "uid": "1"}, "spec": spec}, "", "", "")
    return Tokens(cast("KubeApi", server), facts, lambda: server.now)


def shown(tokens: Tokens) -> str:
    sources: Sources = asyncio.run(tokens.sources())
    (held,) = sources.values()
    return held[TOKEN].decode()


def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left() -> None:
    server = Server()
    tokens = tokens_of(server, 600)
    assert shown(tokens) == "number 1"
    server.now = 479
    assert (tokens.due, shown(tokens)) == (False, "number 1")
    server.now = 480
    assert (tokens.due, shown(tokens)) == (True, "number 2")
    assert not tokens.due


def test_a_token_that_cannot_be_renewed_stays_while_it_is_good() -> None:
    server = Server()
    tokens = tokens_of(server, 600)
    assert shown(tokens) == "number 1"
    server.there, server.now = False, 599
    assert (shown(tokens), tokens.due) == ("number 1", True)
    server.now = 600
    with pytest.raises(ApiError):
        shown(tokens)
    server.there = True
    assert shown(tokens) == "number 2"


def test_a_token_is_never_older_than_a_day() -> None:
    year = 365 * 24 * 3600.0
    assert renewal(expires=year, lifetime=year) == 24 * 3600.0
