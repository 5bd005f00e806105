"""Both arms as doubles, as the tests of traffic have them."""

from tests.traffic.conftest import pair

__all__ = ["pair"]
