"""Whatever an API server answers at the start of a run, and if it hangs up, it is told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from signoff.core.errors import UsageError
from signoff.kube import standing
from signoff.kube.answering import answering
from signoff.kube.client import Kube
from signoff.settings import Settings

HANGS_UP = 0


@contextmanager
def server_that_says(status: int) -> Iterator[str]:
    """The URL of a server that answers all with this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if status:
                self.send_error(status)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (401, "the cluster of the context home refuses: 401", "renew the context's credentials"),
        (404, "the cluster of the context home refuses: 404", "get --raw /readyz"),
        (410, "the cluster of the context home refuses: 410", "get --raw /readyz"),
        (500, "the cluster of the context home refuses: 500", "get --raw /readyz"),
        (503, "the cluster of the context home refuses: 503", "get --raw /readyz"),
    ],
)
def test_what_stands_there_cannot_be_read(status: int, what: str, hint: str, tmp_path: Path) -> None:
    with server_that_says(status) as url, pytest.raises(UsageError) as caught, answering("home"):
        standing.read(Kube(kubeconfig(url, tmp_path)), Settings())
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.where == "--kube-context home"


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (403, "the cluster of the context home refuses: 403", "manifests/rbac/"),
        (HANGS_UP, "the cluster of the context home does not answer", "kubectl --context home version"),
    ],
)
def test_anything_else_cannot_be_asked(status: int, what: str, hint: str, tmp_path: Path) -> None:
    with server_that_says(status) as url, pytest.raises(UsageError) as caught, answering("home", url):
        Kube(kubeconfig(url, tmp_path)).core.list_node()
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.where == url


def kubeconfig(server: str, folder: Path) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "home",
        "contexts": [{"name": "home", "context": {"cluster": "home", "user": "me"}}],
        "clusters": [{"name": "home", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "mine"}}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
