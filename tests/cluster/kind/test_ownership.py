"""What a killed run left is cleared away, and nothing else; docker and kind are doubles that note what is asked."""

import json
import os
from pathlib import Path

import pytest

from signoff import story
from signoff.cluster.kind import ownership
from signoff.core.errors import SignoffError
from tests.cluster.kind.conftest import Tools


def cluster_of(tools: Tools, *, kept: bool = False, alive: bool = False) -> Path:
    """A cluster with its folder, whose run is dead unless it is this one."""
    folder = ownership.open_folder("signoff-1", story.NODES, kept=kept)
    if not alive:
        dead = {"pid": os.getpid(), "started": 1.0, "kept": kept}  # this PID belongs to another process now
        (folder / "owner.json").write_text(json.dumps(dead))
    tools.runs(folder.name, ownership.mark(folder))
    return folder


def swept(tools: Tools) -> list[str]:
    lines: list[str] = []
    ownership.sweep(tools.bin / "kind", lines.append)
    return lines


def test_what_a_killed_run_left_is_removed_and_said(tools: Tools) -> None:
    folder = cluster_of(tools)
    assert swept(tools) == ["removing the kind cluster signoff-1, which a killed run had left"]
    assert "delete cluster --name signoff-1" in tools.calls
    assert not folder.exists()


def test_the_cluster_of_a_living_run_is_left(tools: Tools) -> None:
    folder = cluster_of(tools, alive=True)
    assert swept(tools) == []
    assert tools.calls == ""
    assert folder.exists()


def test_a_kept_cluster_is_left_until_it_has_been_deleted(tools: Tools) -> None:
    folder = cluster_of(tools, kept=True)
    assert swept(tools) == []
    assert tools.calls == ""
    assert folder.exists()
    (tools.folder / "containers").write_text("")
    assert swept(tools) == []
    assert not folder.exists()


def test_somebody_elses_cluster_with_the_name_of_a_killed_runs_is_left_and_said(tools: Tools) -> None:
    folder = cluster_of(tools)
    tools.runs(folder.name, Path("/elsewhere"))
    (line,) = swept(tools)
    assert line.startswith("leaving the kind cluster signoff-1 alone")
    assert "delete" not in tools.calls
    assert not folder.exists()


def test_a_folder_that_is_no_clusters_is_left(tools: Tools) -> None:
    strange = ownership.folders() / "notes"
    strange.mkdir(parents=True)
    assert swept(tools) == []
    assert strange.exists()


def test_two_runs_cannot_own_one_name(tools: Tools) -> None:
    ownership.open_folder("signoff-1", story.NODES, kept=False)
    with pytest.raises(SignoffError, match="in use by another run"):
        ownership.open_folder("signoff-1", story.NODES, kept=False)
