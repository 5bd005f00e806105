"""What is wrong before a kind cluster runs is said with what, where and what to do; docker and kind are doubles."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from signoff.cluster.kind import KindCluster, ownership
from signoff.core.errors import SignoffError
from tests.cluster.kind.conftest import DOCKER, KIND, Tools


def error_of_start(images: dict[str, tuple[str, ...]] | None = None) -> SignoffError:
    with pytest.raises(SignoffError) as raised:
        KindCluster.start(images=images or {})
    return raised.value


def test_no_docker(tools: Tools) -> None:
    tools.take_away("docker")
    error = error_of_start()
    assert "docker is not on PATH" in error.what
    assert "take --cluster embedded, which needs none" in error.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?", "start Docker"),
        ("permission denied while trying to connect to the Docker daemon socket", "let your user use it"),
    ],
)
def test_an_engine_that_does_not_answer(tools: Tools, said: str, hint: str) -> None:
    tools.put("docker", f'echo "{said}" >&2; exit 1')
    error = error_of_start()
    assert said in error.what
    assert hint in error.hint


@contextmanager
def releases(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_kind_and_no_way_to_download_it(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.take_away("kind")
    (tools.folder / "releases").mkdir()
    with releases(tools.folder / "releases") as url:
        monkeypatch.setenv("SIGNOFF_KIND_RELEASES", url)
        error = error_of_start()
    assert "kind is not on PATH and cannot be downloaded" in error.what
    assert error.where.startswith(url)
    assert "install it" in error.hint


def test_a_download_that_is_not_what_was_published(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.take_away("kind")
    for machine in ("amd64", "arm64"):
        program = tools.folder / "releases" / "v0.33.0" / f"kind-linux-{machine}"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\necho other\n")
        program.with_name(f"{program.name}.sha256sum").write_text(f"{'0' * 64}  {program.name}\n")
    with releases(tools.folder / "releases") as url:
        monkeypatch.setenv("SIGNOFF_KIND_RELEASES", url)
        assert "does not match its published checksum" in error_of_start().what
    assert not list((tools.folder / "cache" / "kind").glob("kind-*"))


def test_too_little_disk_is_said_before_anything_is_made(tools: Tools) -> None:
    tools.put(
        "docker",
        DOCKER.replace("$DOUBLE/nowhere", "$DOUBLE").replace('inspect") exit 1', 'inspect") echo 9000000000000000'),
    )
    error = error_of_start({"vllm:1": ("k3s-gpu-worker",)})
    assert "GB of disk" in error.what
    assert "create" not in tools.calls


@pytest.mark.parametrize(
    ("said", "what", "hint"),
    [
        ("write /var/lib/containerd/x: no space left on device", "a disk is full", "docker system df"),
        ('failed to pull image "kindest/node:v9": not found', "the node image cannot be pulled", "SIGNOFF_KIND_IMAGE"),
        ("could not find a log line that matches", "kind could not create the cluster", "run again"),
    ],
)
def test_a_failing_creation_is_explained_and_cleared_away(tools: Tools, said: str, what: str, hint: str) -> None:
    tools.put("kind", KIND.replace("*) echo", f"'create cluster') echo '{said}' >&2; exit 1 ;;\n  *) echo"))
    error = error_of_start()
    assert what in error.what
    assert said in error.what
    assert hint in error.hint
    assert not list(ownership.folders().iterdir())


def test_a_cluster_that_was_there_under_our_name_is_left(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_KIND_NAME", "mine")
    tools.runs("mine", Path("/elsewhere"))
    error = error_of_start()
    assert "there is a kind cluster mine already; it is left as it is" in error.what
    assert "SIGNOFF_KIND_NAME" in error.hint
    assert "delete" not in tools.calls


def test_attaching_to_a_cluster_that_is_not_ours(tools: Tools) -> None:
    tools.runs("mine", Path("/elsewhere"))
    with pytest.raises(SignoffError, match="no kind cluster is running there"):
        KindCluster.attach(tools.folder / "cache" / "kind" / "clusters" / "mine", images={})
