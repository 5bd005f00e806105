"""Under which circumstances a run took place; of every tool the same, in a pod as well."""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from signoff.core.paths import INSTALLED, ROOT

PACKAGES = ("signoff", "pytest", "pytest-bdd", "httpx", "kubernetes", "locust", "numpy")


def commit() -> str:
    """The commit of this checkout, or "nogit"."""
    return _git("rev-parse", "--short", "HEAD") or "nogit"


def circumstances(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Commit, versions and machine, with what the run was asked for: fields of the evidence's first record."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "commit": commit(),
        "dirty": bool(_git("status", "--porcelain")),
        "settings": dict(settings),
        "versions": {"python": platform.python_version(), **dict(_versions())},
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "memory_gib": round(memory / 2**30, 1),
        },
    }


def _versions() -> Iterator[tuple[str, str]]:
    """Of the packages that are there: a pod has few."""
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _git(*arguments: str) -> str:
    """What git says of this checkout; nothing where there is no git, or no checkout.

    A wheel may lie in the virtual environment of somebody's own repository, whose commit is not the suite's.
    """
    if INSTALLED:
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
