"""Faults, and their end."""

import re
import time
from collections.abc import Iterator

import pytest
from pytest_bdd import parsers, when

from signoff.bdd.plugin import is_over
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.faults.cluster import FAULTS, inject
from signoff.gateway.deployment import Deployment
from signoff.kube.client import Kube
from signoff.kube.undo import Undo


@pytest.fixture
def undo(request: pytest.FixtureRequest, kube: Kube) -> Iterator[Undo]:
    """What the scenario changes on the cluster, put back at its end whatever happens."""
    made = Undo(kube)
    yield made
    with causes.of(Subject.CLUSTER):
        made.all(wait=not is_over(request.config))  # who has pressed Ctrl-C does not wait for vLLM


@when(parsers.re(f"(?P<fault>{'|'.join(map(re.escape, FAULTS))})"), target_fixture="faulty_since")
def fault_is_injected(deployment: Deployment, undo: Undo, fault: str) -> float:
    with causes.of(Subject.CLUSTER):
        inject(fault, deployment, undo)
    return time.monotonic()
