"""What the measurements of the doubles share."""

import pytest


@pytest.fixture(autouse=True)
def hurried(brisk: None) -> None:
    """They are doubles, all of them."""
