"""kustomize: the user's own first, else one that is downloaded with its checksum or built."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from aiohttp import web

from doubles.serving import running
from signoff.core.errors import SignoffError
from signoff.programs import kustomize, search
from signoff.programs.kustomize import VERSION


def quiet(_: str) -> None:
    """No progress."""


@pytest.fixture
def none_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("kubectl", "kustomize") else found(name))


def release(*, checksum: str = "") -> web.Application:
    """A double of the server that has the release; `checksum` takes the place of the right one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("kustomize")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"it"))
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    name = f"kustomize_v{VERSION}_linux_{arch}.tar.gz"
    sums = f"{checksum or hashlib.sha256(packed.getvalue()).hexdigest()}  {name}\n"

    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=packed.getvalue() if request.path.endswith(name) else sums.encode())

    app = web.Application()
    app.router.add_get("/{release}/{file}", serve)
    return app


@pytest.mark.parametrize(("program", "verb"), [("kubectl", "kustomize"), ("kustomize", "build")])
def test_the_user_s_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, verb: str) -> None:
    (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(kustomize.command(quiet)) == [str(tmp_path / program), verb]


def test_a_release_is_downloaded_with_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path))
    with running(release()) as url:
        found = search.find(kustomize.recipe(url), quiet)["kustomize"]
    assert found.read_bytes() == b"it"


def test_a_changed_release_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path))
    with running(release(checksum="0" * 64)) as url, pytest.raises(SignoffError, match="checksum"):
        search.find(kustomize.recipe(url), quiet)


@pytest.mark.download
@pytest.mark.usefixtures("none_on_path")
def test_without_one_on_path_ours_builds_folders() -> None:
    program, verb = kustomize.command(quiet)
    said = subprocess.run([program, "version"], capture_output=True, check=True, text=True).stdout
    assert f"v{VERSION}" in said or "devel" in said
    assert verb == "build"
