"""An image's tag becomes a version; one that cannot be had is answered with the nearest that can."""

import errno
import os
import platform
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from signoff.cluster.access import NO_ACCESS
from signoff.cluster.base import Needs
from signoff.cluster.embedded import once, provider
from signoff.cluster.embedded.images import EXTRA, ImageError, Images, programs
from signoff.core.errors import SignoffError

RECIPE = """
images = ["signoff.test/toy"]
tag = '^v(?P<version>[0-9.]+)$'
version = "1.0.0"
requirements = ["toy=={version}"]
entrypoint = ["toy"]
"""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    """Images with a recipe `toy` whose package index is a folder: 2.0.0 is there, but wants what nobody has."""
    monkeypatch.setenv(EXTRA, str(tmp_path / "recipes"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    (tmp_path / "recipes" / "toy").mkdir(parents=True)
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(RECIPE)
    wheel(tmp_path, "1.0.0")
    wheel(tmp_path, "1.1.0")
    wheel(tmp_path, "2.0.0", requires="toy-extras==9")
    wheel(tmp_path, "2.1.0")
    wheel(tmp_path, "3.0.0", requires="toy-extras==9")
    return Images(tmp_path / "cache", lambda *_: None)


def wheel(folder: Path, version: str, requires: str = "") -> None:
    info = f"toy-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(folder / f"toy-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy\nVersion: {version}\n{needs}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


GATEWAY = "ghcr.io/berriai/litellm"
DIGEST = f"sha256:{'0' * 64}"
BY_ITS_TAG = "goes by its tag: a digest cannot be honoured where nothing is pulled"
LEFT_OUT = 'is version {}: no package index has what "{}" changed'


@pytest.mark.parametrize(
    ("image", "version", "said"),
    [
        (f"{GATEWAY}:main-v1.80.16-stable", "1.80.16", []),
        (f"{GATEWAY}:main-v1.80.11", "1.80.11", []),
        (f"{GATEWAY}:v1.80.0-stable", "1.80.0", []),
        (f"{GATEWAY}:main-v1.83.10-stable", "1.83.10", []),
        (f"{GATEWAY}:1.84.0", "1.84.0", []),
        (f"{GATEWAY}:v1.80.16.rc.1", "1.80.16.rc.1", []),
        (f"{GATEWAY}:1.106.0-rc.1", "1.106.0-rc.1", []),
        (f"{GATEWAY}:main-v1.80.8-stable.1", "1.80.8", [LEFT_OUT.format("1.80.8", ".1")]),
        (f"{GATEWAY}:main-v1.80.16-stable.patch.1", "1.80.16", [LEFT_OUT.format("1.80.16", ".patch.1")]),
        (f"{GATEWAY}:1.84.0@{DIGEST}", "1.84.0", [BY_ITS_TAG]),
        (
            f"{GATEWAY}:v1.80.16-stable.patch.2@{DIGEST}",
            "1.80.16",
            [BY_ITS_TAG, LEFT_OUT.format("1.80.16", ".patch.2")],
        ),
        (f"{GATEWAY}-non_root:main-v1.80.16-stable", "1.80.16", []),
        (f"{GATEWAY}-database:main-v1.80.16-stable", "1.80.16", []),
        ("docker.litellm.ai/berriai/litellm:main-v1.80.16-stable", "1.80.16", []),
        ("docker.litellm.ai/berriai/litellm-database:main-v1.80.16-stable", "1.80.16", []),
        ("docker.io/litellm/litellm:v1.80.16", "1.80.16", []),
        ("docker.io/vllm/vllm-openai-cpu:v0.32.0", "0.32.0", []),
        ("index.docker.io/locustio/locust:2.43.1", "2.43.1", []),
        ("redis:7", "7.0.15", []),
        ("redis:7-alpine3.20", "7.0.15", []),
        ("docker.io/library/redis:7.0.15-bookworm", "7.0.15", []),
        ("redis", "7.0.15", ["is version 7.0.15, the only one here, whichever is the newest"]),
        ("valkey/valkey:9-alpine", "9.1.2", []),
        ("postgres:16", "16.15.0", []),
        ("docker.io/library/postgres:16.15-alpine", "16.15.0", []),
    ],
)
def test_each_form_of_tag_names_its_version_and_what_it_leaves_out_is_said(
    image: str, version: str, said: list[str], tmp_path: Path
) -> None:
    known = Images(tmp_path)
    assert known.find(image)[1] == version
    assert known.check(image) == [f"{image} {each}" for each in said]


@pytest.mark.parametrize("tag", ["", ":latest", ":main-latest", ":main-stable"])
def test_a_moving_tag_is_known_without_an_index(tag: str, tmp_path: Path) -> None:
    assert Images(tmp_path).check(f"{GATEWAY}{tag}") == []


@pytest.mark.parametrize("tag", ["nightly", "main-v1.80.9-nightly", "v1.80", "sha-abcdef0", "litellm-v1.80.16"])
def test_a_tag_that_names_no_version_says_which_would(tag: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"names no version") as caught:
        Images(tmp_path).check(f"{GATEWAY}:{tag}")
    assert f"name a release, {GATEWAY}:main-v1.80.16-stable say" in caught.value.hint


def test_a_digest_alone_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has a digest and no tag: only a registry knows which version") as caught:
        Images(tmp_path).check(f"{GATEWAY}@{DIGEST}")
    assert caught.value.hint == f"write the tag before the digest: {GATEWAY}:main-v1.80.16-stable@{DIGEST}"


@pytest.mark.parametrize(
    ("image", "there"),
    [("redis:6-alpine", "7.0.15"), ("redis:7.2", "7.0.15"), ("redis:8", "7.0.15"), ("valkey/valkey:8", "9.1.2")],
)
def test_another_version_than_the_only_one_is_refused(image: str, there: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"names a version that is not here: the only one is {there}") as caught:
        Images(tmp_path).check(image)
    assert caught.value.hint.startswith(f"write {image.partition(':')[0]}:")


@pytest.mark.parametrize("image", ["postgres", "postgres:18", "postgres:13-alpine", "bitnami/postgresql:16"])
def test_a_postgres_that_keeps_its_data_elsewhere_is_refused(image: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"names no version|no recipe for image"):
        Images(tmp_path).check(image)


def test_an_abbreviated_tag_is_the_newest_release_that_begins_like_it(images: Images, tmp_path: Path) -> None:
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f"{RECIPE}abbreviates = true\n")
    found = {tag: images.find(f"signoff.test/toy:v{tag}")[1] for tag in ("1", "1.0", "1.1", "2")}
    assert found == {"1": "1.0.0", "1.0": "1.0.0", "1.1": "1.1.0", "2": "2.1.0"}


NOWHERE = "test.signoff:toy:jar:1.0.0"


def test_programs_for_other_machines_only_are_refused(images: Images, tmp_path: Path) -> None:
    one = f'{{machine = "abacus", artifact = "{NOWHERE}", sha256 = "0", member = "toy", program = "toy"}}'
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f"{RECIPE}downloads = [{one}]\n")
    with pytest.raises(ImageError, match=rf"toy 1\.0\.0 is not to be had for {platform.machine()}"):
        images.prepare("signoff.test/toy:v1.0.0")


def test_programs_that_cannot_be_reached_are_one_sentence(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    one = f'{{machine = "{platform.machine()}", artifact = "{NOWHERE}", sha256 = "0", member = "toy", program = "toy"}}'
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f"{RECIPE}downloads = [{one}]\n")
    with pytest.raises(ImageError, match=rf"toy 1\.0\.0 cannot be had: {NOWHERE}: .*") as told:
        images.prepare("signoff.test/toy:v1.0.0")
    assert "connect to the internet" in told.value.hint


def test_programs_that_somebody_has_changed_are_not_taken(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
        if "uv" not in Path(command[0]).name:
            Path(command[-1]).write_bytes(b"another one")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(programs, "run", fetched)
    one = f'{{machine = "{platform.machine()}", artifact = "{NOWHERE}", sha256 = "0", member = "toy", program = "toy"}}'
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f"{RECIPE}downloads = [{one}]\n")
    with pytest.raises(SignoffError, match=rf"{NOWHERE} is not the file that the recipe knows"):
        images.prepare("signoff.test/toy:v1.0.0")


def test_a_client_that_somebody_has_changed_is_not_run(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "maven.lock"
    lock.write_text(f"toy==1.0.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(programs, "_CLIENTS_LOCK", lock)
    one = f'{{machine = "{platform.machine()}", artifact = "{NOWHERE}", sha256 = "0", member = "toy", program = "toy"}}'
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f"{RECIPE}downloads = [{one}]\n")
    with pytest.raises(ImageError, match=r"Hash mismatch for `toy==1\.0\.0`"):
        images.prepare("signoff.test/toy:v1.0.0")


def test_an_archive_that_a_package_lacks_is_said(images: Images, tmp_path: Path) -> None:
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(f'{RECIPE}unpack = "toy/*.tar.gz"\n')
    with pytest.raises(SignoffError, match=r"0 files are called toy/\*\.tar\.gz, where one archive was to be"):
        images.prepare("signoff.test/toy:v1.0.0")


def test_the_example_of_each_recipe_is_a_tag_of_its_form(tmp_path: Path) -> None:
    for recipe in Images(tmp_path).recipes():
        assert recipe.known_version(recipe.example_tag) == recipe.version


def test_a_moving_tag_is_the_newest_version_that_can_be_installed_and_is_said(images: Images, tmp_path: Path) -> None:
    said: list[str] = []
    telling = Images(tmp_path / "cache", lambda _, text: said.append(text))
    assert telling.prepare("signoff.test/toy:latest").version == "2.1.0"
    newest = "version 2.1.0, the newest release that can be installed today"
    assert f'the tag "latest" of signoff.test/toy is {newest}' in said


def test_a_version_that_cannot_be_had_names_the_nearest_that_can(images: Images) -> None:
    with pytest.raises(ImageError, match=r"toy 1\.5\.0 cannot be installed") as missing:
        images.prepare("signoff.test/toy:v1.5.0")
    assert "the nearest versions that can be installed: 1.1.0 and 2.1.0" in str(missing.value)
    with pytest.raises(ImageError, match=r"toy-extras") as broken:
        images.prepare("signoff.test/toy:v3.0.0")
    assert "the nearest versions that can be installed: 2.1.0;" in str(broken.value)


def test_a_moving_tag_without_an_index_is_an_error(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    with pytest.raises(ImageError, match="does not say which version of toy"):
        images.prepare("signoff.test/toy:latest")


def test_an_image_for_which_there_is_no_room_is_not_begun(images: Images, tmp_path: Path) -> None:
    recipe = tmp_path / "recipes" / "toy" / "recipe.toml"
    recipe.write_text(f"{RECIPE}disk_gb = 1e9\n")
    with pytest.raises(SignoffError, match=r"toy needs 1e\+09 GB of disk, and .* GB are free") as full:
        images.prepare("signoff.test/toy:v1.0.0")
    assert full.value.where == str(tmp_path / "cache" / "images")


def test_an_image_that_cannot_be_written_is_one_sentence(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(SignoffError, match=r"toy 1\.0\.0 cannot be written: No space left on device") as told:
        images.prepare("signoff.test/toy:v1.0.0")
    assert "SIGNOFF_CACHE" in told.value.hint


def test_a_digest_is_said_to_be_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    pinned = f"ghcr.io/berriai/litellm:main-v1.80.16-stable@sha256:{'0' * 64}"
    provider.precheck(None, Needs({pinned: "proxy.yaml:7"}, {}, ()), NO_ACCESS)
    said = f"{pinned} goes by its tag: a digest cannot be honoured where nothing is pulled (proxy.yaml:7)"
    assert said in capfd.readouterr().err


FIRST = """
import os
from pathlib import Path
folder = Path(os.environ["KEPT"])
folder.mkdir()
(folder / "answer").write_text(os.environ["ANSWER"])
"""
KEEPS = """
[env]
KEPT = "{image}/kept"
ANSWER = "42"
"""


def finds_out(tmp_path: Path, program: str) -> None:
    recipe = tmp_path / "recipes" / "toy"
    (recipe / "recipe.toml").write_text(RECIPE + KEEPS)
    (recipe / "first.py").write_text(program)


def test_what_each_start_would_find_out_is_found_out_once(images: Images, tmp_path: Path) -> None:
    finds_out(tmp_path, FIRST)
    image = once.prepared(images, "signoff.test/toy:v1.0.0")
    assert image.found and [each.name for each in image.found.iterdir()] == ["kept"]
    assert (image.found / "kept" / "answer").read_text() == "42"
    before = (image.found / "kept" / "answer").stat().st_mtime_ns
    assert once.prepared(images, "signoff.test/toy:v1.0.0") == image
    assert (image.found / "kept" / "answer").stat().st_mtime_ns == before


def test_an_image_that_is_there_is_not_installed_again_for_it(images: Images, tmp_path: Path) -> None:
    (tmp_path / "recipes" / "toy" / "recipe.toml").write_text(RECIPE + KEEPS)
    before = once.prepared(images, "signoff.test/toy:v1.0.0")
    assert before.found is None
    finds_out(tmp_path, FIRST)
    image = once.prepared(images, "signoff.test/toy:v1.0.0")
    assert image.env_dir == before.env_dir and image.found and (image.found / "kept" / "answer").exists()


def test_what_finds_out_leaves_nothing_in_the_temporary_folder(images: Images, tmp_path: Path) -> None:
    finds_out(tmp_path, FIRST.replace('os.environ["ANSWER"]', "__import__('tempfile').gettempdir()"))
    image = once.prepared(images, "signoff.test/toy:v1.0.0")
    assert image.found
    folder = Path((image.found / "kept" / "answer").read_text())
    assert image.env_dir in folder.parents and not folder.exists()


def test_what_one_that_was_killed_left_is_cleared_away(images: Images, tmp_path: Path) -> None:
    finds_out(tmp_path, FIRST)
    image = images.prepare("signoff.test/toy:v1.0.0")
    assert image.found
    (image.env_dir / f".{image.found.name}.tmp0" / "found").mkdir(parents=True)
    once.prepared(images, "signoff.test/toy:v1.0.0")
    assert not [each for each in image.env_dir.iterdir() if ".tmp" in each.name]


@pytest.mark.parametrize("program", [FIRST + "raise ValueError('no')", "import os; os.kill(os.getpid(), 9)"])
def test_of_a_program_that_fails_nothing_is_kept_and_that_is_said(
    program: str, images: Images, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    finds_out(tmp_path, program)
    image = once.prepared(images, "signoff.test/toy:v1.0.0")
    assert image.found and list(image.found.iterdir()) == []
    assert "each start of toy 1.0.0 finds out itself: " in capfd.readouterr().err
    assert not [each for each in image.env_dir.iterdir() if ".tmp" in each.name]
