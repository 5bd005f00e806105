"""What tests of a load share."""

import pytest


@pytest.fixture(autouse=True)
def read_alone(undrawn: None, few_draws: None) -> None:
    """These tests read what a page says, and tests/report draws; tests/stats tries the ends of intervals."""
