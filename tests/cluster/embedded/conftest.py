"""Clusters that these tests start themselves know the small pods' image as well."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _recipes(recipes: None) -> None: ...
