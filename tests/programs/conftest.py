"""A machine that has nothing of what is looked for, with a double of Go or without any."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from signoff.core.timeouts import Timeout
from signoff.programs import golang

GO = """#!/bin/sh
[ "$1" = env ] && { echo go1.26.8; echo auto; exit; }
echo "$@" >> FOLDER/asked
[ -f go.mod ] && /bin/cp go.mod FOLDER/go.mod
[ "$1 $2" = "mod download" ] && /bin/cp -r FOLDER/modules/. "$GOMODCACHE/"
[ "$1" = build ] && {
    while [ "$1" != -o ]; do shift; done
    out=$2; shift 2
    for package in "$@"; do
        case $out in */) made=$out${package##*/};; *) made=$out;; esac
        echo built > "$made" && /bin/chmod 755 "$made"
    done
}
exit 0
"""


@dataclass(frozen=True)
class Go:
    """A double of Go: it notes what it is asked for, gives the modules that a test has written, and builds nothing."""

    folder: Path

    @property
    def asked(self) -> list[str]:
        """The arguments of each call but those about itself."""
        return (self.folder / "asked").read_text().splitlines()

    @property
    def module(self) -> str:
        """The go.mod of the last call."""
        return (self.folder / "go.mod").read_text()

    def publish(self, module: str, version: str, files: dict[str, str]) -> None:
        """Have a module in this version with these files."""
        for name, text in files.items():
            path = self.folder / "modules" / f"{module}@{version}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache is empty, there is no Go and no way to any."""
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(golang, "BUILD_PROGRAMS", Timeout(60, every=0.1))  # its pause between two tries of Go


@pytest.fixture
def go(nothing_at_hand: None, tmp_path: Path) -> Go:
    for folder in ("bin", "modules"):
        (tmp_path / folder).mkdir()
    program = tmp_path / "bin" / "go"
    program.write_text(GO.replace("FOLDER", str(tmp_path)))
    program.chmod(0o755)
    return Go(tmp_path)
