"""A controller's image is pulled; without a way to the registry it is made of the program alone. docker is a double."""

import tarfile
from pathlib import Path

import pytest

from signoff.cluster.kind import controller_images
from signoff.core.errors import SignoffError
from signoff.programs.controllers import CERT_MANAGER
from tests.cluster.kind.conftest import Tools

DOCKER = """\
echo "$@" >> "$DOUBLE/calls"
case "$1" in
  image) [ -e "$DOUBLE/there" ] && echo 1 || exit 1 ;;
  pull) [ -z "$NO_WAY" ] || {{ echo "no such host" >&2; exit 1; }} ;;
  import) cat > "$DOUBLE/image.tar"; {ends} ;;
esac
"""


@pytest.fixture
def calls(tools: Tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("cert-manager-controller", "cert-manager-acmesolver"):
        (programs / name).write_text("it")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("SIGNOFF_CERT_MANAGER_BIN", str(programs))
    tools.put("docker", DOCKER.format(ends="true"))
    return tools.folder / "calls"


def quiet(_: str) -> None:
    """No progress."""


def test_one_that_is_there_is_left_alone(tools: Tools, calls: Path) -> None:
    (tools.folder / "there").touch()
    controller_images.have(CERT_MANAGER.image, quiet)
    assert "pull" not in calls.read_text()


def test_the_published_one_is_pulled(calls: Path) -> None:
    controller_images.have(CERT_MANAGER.image, quiet)
    assert f"pull --quiet {CERT_MANAGER.image}" in calls.read_text()
    assert "import" not in calls.read_text()


def test_without_a_registry_it_is_made_here_and_that_is_said(
    tools: Tools, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_WAY", "1")
    said: list[str] = []
    controller_images.have(CERT_MANAGER.image, said.append)
    assert said[1] == f"no pull (docker pull failed: no such host): making {CERT_MANAGER.image} here"
    asked = calls.read_text().splitlines()[-1]
    assert 'ENTRYPOINT ["/cert-manager-controller"]' in asked
    assert "USER 1000" in asked
    assert asked.endswith(CERT_MANAGER.image)
    with tarfile.open(tools.folder / "image.tar") as archive:
        modes = {each.name: each.mode for each in archive.getmembers()}
    assert modes == {"tmp": 0o1777, "cert-manager-controller": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644}


@pytest.mark.usefixtures("calls")
def test_a_docker_that_makes_no_image_is_told(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_WAY", "1")
    tools.put("docker", DOCKER.format(ends="echo 'no space left on device' >&2; exit 1"))
    with pytest.raises(SignoffError, match="a disk is full"):
        controller_images.have(CERT_MANAGER.image, quiet)
