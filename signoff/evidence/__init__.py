"""Evidence: typed records of what was observed, in one store for features, parity and load.

Locust's image has no pydantic: what its pods import of this package is `chain` alone, so that the rest is imported when
somebody asks for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signoff.evidence.store import FILE, Evidence, Recorded, read, side_file

__all__ = ["FILE", "Evidence", "Recorded", "read", "side_file"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("signoff.evidence.store"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
