"""Doubles of `docker` and `kind` on PATH, for what the real ones do not do on demand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff.core import console

DOCKER = """\
case "$1 $2" in
  "version --format") echo 28.0 ;;
  "info --format") echo "$DOUBLE/nowhere" ;;
  "image inspect") exit 1 ;;
  "ps --all")
    [ -e "$DOUBLE/containers" ] || exit 0
    while read -r name; do
      case "$name $*" in
        "${4##*=}"-*State*) echo "$name ${STATE:-running}" ;;
        "${4##*=}"-*) echo "$name" ;;
      esac
    done < "$DOUBLE/containers" ;;
  "inspect --format") cat "$DOUBLE/mounts" ;;
  *) echo "the double knows no docker $*" >&2; exit 1 ;;
esac
"""
KIND = """\
echo "$@" >> "$DOUBLE/calls"
case "$1 $2" in
  "get clusters") ;;
  "delete cluster") rm -f "$DOUBLE/containers" ;;
  *) echo "the double knows no kind $*" >&2; exit 1 ;;
esac
"""


class Tools:
    """A PATH that holds the doubles and a shell; what kind was asked is in `calls`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        for needed in ("sh", "cat", "rm"):
            (self.bin / needed).symlink_to(Path("/bin") / needed)
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("DOUBLE", str(folder))
        monkeypatch.setenv("SIGNOFF_CACHE", str(folder / "cache"))
        monkeypatch.delenv("SIGNOFF_KIND_NAME", raising=False)
        monkeypatch.delenv("SIGNOFF_KIND_IMAGE", raising=False)
        self.put("docker", DOCKER)
        self.put("kind", KIND)

    def put(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)

    def take_away(self, name: str) -> None:
        (self.bin / name).unlink()

    def runs(self, cluster: str, mount: Path) -> None:
        """Have docker show one node of a kind cluster of this name, with this folder mounted in it."""
        (self.folder / "containers").write_text(f"{cluster}-control-plane\n")
        (self.folder / "mounts").write_text(f"{mount}\n")

    @property
    def calls(self) -> str:
        asked = self.folder / "calls"
        return asked.read_text() if asked.exists() else ""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    monkeypatch.chdir(tmp_path)
    return Tools(tmp_path, monkeypatch)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The lines of progress."""
    lines: list[str] = []
    console.write_with(lines.append)
    yield lines
    console.write_with(None)
