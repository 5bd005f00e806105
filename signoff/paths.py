"""Where the suite keeps things."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "manifests"


def cache_dir() -> Path:
    """The folder of everything that is made once and kept: `SIGNOFF_CACHE`, else `$XDG_CACHE_HOME/signoff`."""
    if named := os.environ.get("SIGNOFF_CACHE"):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signoff"
