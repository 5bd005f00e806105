"""The providers that there are."""

from typing import Any

from signoff.cluster import registry
from signoff.cluster.base import Provider
from signoff.cluster.embedded import provider as embedded
from signoff.cluster.existing import provider as existing
from signoff.cluster.kind import provider as kind

PROVIDERS: dict[str, Provider] = {"embedded": embedded, "kind": kind, "existing": existing}
"""mypy sees here that each module has all that makes a provider."""


def test_every_provider_is_one_in_full() -> None:
    assert tuple(PROVIDERS) == registry.NAMES
    for name, module in PROVIDERS.items():
        found: Any = registry.provider(name)
        assert found is module
