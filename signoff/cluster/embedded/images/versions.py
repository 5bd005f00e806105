"""Which versions there are, asked of the package index through uv: only those that can be installed count."""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from signoff.core.processes import dying_with

_PIN = "=={version}"


@dataclass(frozen=True)
class Found:
    """The version that the resolver chose; empty when there is none, and why."""

    version: str
    said: str


def near(requirements: Sequence[str], overrides: Sequence[str], bound: str, python: str = "") -> Found:
    """The version of the recipe's main package within `bound` ("<1.2", ">1.2", or "" for all) that is nearest to it.

    It is the nearest one whose own requirements can be met as well, by Python's rules no pre-release. `python` is the
    one that the packages ask for, where it is not this one.
    """
    main = requirements[0]
    name = re.split(r"[\[=<>~! ]", main)[0]
    asked = "\n".join([main.replace(_PIN, bound), *requirements[1:]])
    with tempfile.TemporaryDirectory(prefix="signoff-") as folder:
        wanted, overriding = Path(folder, "requirements.in"), Path(folder, "overrides.txt")
        wanted.write_text(asked, encoding="utf-8")
        overriding.write_text("\n".join(overrides), encoding="utf-8")
        order = "lowest-direct" if bound.startswith(">") else "highest"
        quiet = ("--quiet", "--no-header", "--no-annotate", *for_python(python))
        done = run_uv("pip", "compile", *quiet, "--resolution", order, "--override", overriding, wanted)
    found = re.search(rf"^{re.escape(name)}==(\S+)", done.stdout, re.MULTILINE)
    return Found(found[1] if found else "", done.stderr.strip()[-500:])


def for_python(version: str) -> tuple[str, ...]:
    """The arguments with which uv resolves and installs for that Python, whichever is at hand."""
    return ("--python-version", version) if version else ()


def uv(*arguments: str | Path) -> list[str | Path]:
    """The command that runs uv without progress bars."""
    return [find_uv_bin(), "--no-progress", "--no-config", *arguments]


def run_uv(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run uv without progress bars; it dies with this thread."""
    return run(uv(*arguments))


def run(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    """Run a program outside of this environment; it dies with this thread."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
        preexec_fn=dying_with(os.getpid()),
    )
