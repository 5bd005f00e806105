"""A run that is killed at any moment leaves nothing that cannot be put back, and so does whoever puts it back."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.rights import OWN_NAMESPACE
from signoff.changes.session import cluster_uid, left, restore_left
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.paths import ROOT
from signoff.kube.client import Kube
from tests.changes.writer import NODES
from tests.sampling import sampled

MOMENTS = 190
"""As many as a run has with all its changes and its end."""


def writer(cluster: EmbeddedCluster, home: str, run: str, *more: str) -> int:
    command = [sys.executable, "-m", "tests.changes.writer", str(cluster.kubeconfig), home, run, *more]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode


def see_clean(kube: Kube, home: str, before: journals.Before) -> None:
    assert state.differing(before, state.read(kube, [home])) == []
    assert OWN_NAMESPACE not in [each.metadata.name for each in kube.core.list_namespace().items]
    managed = [kube.core.read_node(node) for node in NODES]
    managed += kube.apps.list_namespaced_deployment(home).items + kube.core.list_namespaced_config_map(home).items
    assert [each.metadata.name for each in managed if "signoff" in managers(each)] == []


def managers(body: object) -> list[str]:
    return [each.manager for each in body.metadata.managed_fields]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", sampled(range(12), every=12))
def test_a_killed_run_is_put_back_by_the_next(seed: int, cluster: EmbeddedCluster, kube: Kube, home: str) -> None:
    drawn = random.Random(seed)
    moment = drawn.randrange(1, MOMENTS)
    print(f"seed {seed}: killed at moment {moment}")
    before = state.read(kube, [home])
    writer(cluster, home, "killed", "--seed", str(seed), "--killed-at", str(moment))
    outcomes = [outcome for _, outcome in restore_left(cluster.kubeconfig)]
    assert [(each.problems, each.differences) for each in outcomes if not each.is_as_before] == []
    see_clean(kube, home, before)
    assert left(cluster_uid(kube)) == []


def test_what_puts_things_back_may_be_killed_again_and_again(
    cluster: EmbeddedCluster, kube: Kube, home: str, state_folder: Path
) -> None:
    seed = random.randrange(10**6)
    drawn = random.Random(seed)
    print(f"seed {seed}")
    before = state.read(kube, [home])
    assert writer(cluster, home, "killed", "--seed", str(seed), "--killed-at", str(drawn.randrange(60, 90))) == -9
    (journal,) = left(cluster_uid(kube))
    for moment in sorted(drawn.sample(range(1, 40), 2)):
        writer(cluster, home, "killed", "--restore", str(journal.path), "--killed-at", str(moment))
    restore_left(cluster.kubeconfig)
    see_clean(kube, home, before)
    assert left(cluster_uid(kube)) == []
