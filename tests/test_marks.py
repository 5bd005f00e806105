"""What starts a cluster is left out of `make unit` by itself."""

import pytest

CONFTEST = """
from tests.conftest import pytest_collection_modifyitems
"""
TESTS = """
import pytest
from signoff.cluster.embedded import EmbeddedCluster

@pytest.fixture
def own():
    started = EmbeddedCluster.start(nodes=())
    yield started
    started.close()

@pytest.fixture
def through(own):
    return own.kubeconfig

@pytest.fixture
def attached(tmp_path):
    return EmbeddedCluster.attach(tmp_path)

@pytest.fixture(autouse=True)
def of_all(request): ...

def test_own(own): ...
def test_through(through): ...
def test_neither(attached): ...
"""


def test_what_reaches_a_cluster_through_a_fixture_is_marked(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nmarkers = cluster: needs the embedded cluster")
    items, _ = pytester.inline_genitems("-p", "no:pytest-bdd")
    marked = {each.name: bool(each.get_closest_marker("cluster")) for each in items}
    assert marked == {"test_own": True, "test_through": True, "test_neither": False}
