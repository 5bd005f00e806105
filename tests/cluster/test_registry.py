"""Every provider of the registry is one in full: mypy sees it here, and the tests see that none is missing here."""

from signoff.cluster import registry
from signoff.cluster.base import Provider
from signoff.cluster.embedded import provider as embedded
from signoff.cluster.existing import provider as existing
from signoff.cluster.kind import provider as kind
from signoff.core.paths import ROOT

FOLDERS = {path.parent.name for path in (ROOT / "signoff" / "cluster").glob("*/provider.py")}
PROVIDERS: dict[str, Provider] = {"embedded": embedded, "kind": kind, "existing": existing}
NO_PROVIDER: Provider = registry  # type: ignore[assignment]  # which mypy would call unused, were this one


def test_every_folder_with_a_provider_is_registered() -> None:
    assert set(registry.NAMES) == FOLDERS


def test_every_provider_of_the_registry_is_here_to_be_type_checked() -> None:
    assert {name: registry.provider(name) for name in registry.NAMES} == PROVIDERS
