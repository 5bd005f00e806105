"""`signoff cluster up | status | down` and `prepare` on kind; docker and kind are doubles that note what is asked."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from signoff import story
from signoff.cli import main
from signoff.cluster.access import NO_ACCESS
from signoff.cluster.base import Needs
from signoff.cluster.kind import CONTROL_PLANE, KindCluster, health, ownership
from signoff.cluster.kind import provider as kind
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube
from signoff.programs import controllers, crds
from tests.cluster.kind.conftest import KIND, Tools

Capture = pytest.CaptureFixture[str]
CREATES = """\
  "create cluster")
    for option in "$@"; do
      case "$option" in
        --name=*) name="${option#--name=}" ;;
        --kubeconfig=*) echo "$CONFIG" > "${option#--kubeconfig=}" ;;
      esac
    done
    echo "$name-control-plane" >> "$DOUBLE/containers"
    echo "$SIGNOFF_CACHE/kind/clusters/$name/mark" >> "$DOUBLE/mounts" ;;
"""
CONFIG = """
{current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}], users: [{name: x, user: {}}],
 clusters: [{name: x, cluster: {server: "http://127.0.0.1:9"}}]}
"""


@dataclass
class Nodes:
    """The nodes of every cluster, by name, and whether each is Ready."""

    ready: dict[str, bool]

    def __call__(self, kubeconfig: Path) -> SimpleNamespace:
        """A client that lists them."""
        return SimpleNamespace(core=SimpleNamespace(list_node=lambda **_: SimpleNamespace(items=self.listed)))

    @property
    def listed(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                metadata=SimpleNamespace(name=name),
                status=SimpleNamespace(conditions=[SimpleNamespace(type="Ready", status=str(ready))]),
            )
            for name, ready in self.ready.items()
        ]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Those of the story, Ready."""
    found = Nodes(dict.fromkeys(("control-plane", *story.ALLOWED_NODES, story.GPU_NODE), True))
    monkeypatch.setattr(health, "Kube", found)
    monkeypatch.setattr(health, "NODES_READY", Timeout(0.05, every=0.01))
    return found


@pytest.fixture
def creating(tools: Tools, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A kind that creates clusters whose nodes are Ready at once."""
    monkeypatch.setenv("CONFIG", CONFIG)
    tools.put("kind", KIND.replace("  *) echo", f"{CREATES}  *) echo"))
    monkeypatch.setattr(KindCluster, "_wait_until_ready", lambda self: None)
    monkeypatch.delenv("SIGNOFF_CLUSTER", raising=False)
    return tools


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Exit status and both outputs of `signoff cluster` with these arguments."""
    status = main(["cluster", *arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


def disown(folder: Path) -> None:
    """Make it the cluster of a run that has ended."""
    owner = json.loads((folder / "owner.json").read_text())
    (folder / "owner.json").write_text(json.dumps({**owner, "started": 1.0}))


def test_up_status_and_down_on_kind(creating: Tools, capsys: Capture) -> None:
    folder = ownership.folders() / "demo"
    status, out, _ = run(capsys, "up", "demo", "--cluster", "kind")
    assert (status, out) == (0, f"export KUBECONFIG={folder / 'kubeconfig'}\n")
    disown(folder)
    status, out, err = run(capsys, "up", "--cluster", "kind")
    assert (status, out) == (0, f"export KUBECONFIG={folder / 'kubeconfig'}\n")
    assert "demo has been up for" in err
    assert "pytest features/ --cluster kind --attach demo uses it" in err
    assert creating.calls.count("create cluster") == 1

    status, out, _ = run(capsys, "status")
    headings, row = (line.split() for line in out.splitlines()[:2])
    assert status == 0
    assert headings[:3] == ["NAME", "PROVIDER", "STATE"]
    assert row[:3] == ["demo", "kind", "kept"]
    assert "signoff cluster down demo ends it" in out

    assert run(capsys, "down")[:2] == (0, "ended demo\n")
    assert "delete cluster --name demo" in creating.calls
    assert not folder.exists()
    assert run(capsys, "status")[1] == "no cluster is running; `signoff cluster up` starts one\n"


def unready(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> str:
    nodes.ready[story.GPU_NODE] = False
    return f"not Ready: {story.GPU_NODE}"


def lacking(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> str:
    del nodes.ready[story.GPU_NODE]
    return f"it has no node {story.GPU_NODE}"


def stopped(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STATE", "exited")
    return "not running: demo-control-plane; start again by: docker start demo-control-plane"


def silent(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(health, "Kube", Kube)
    return "its API does not answer"


@pytest.mark.parametrize("spoil", [unready, lacking, stopped, silent])
def test_a_kept_cluster_that_is_not_well_is_not_handed_out(
    creating: Tools,
    nodes: Nodes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    told: list[str],
    spoil: Callable[[Nodes, pytest.MonkeyPatch], str],
) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    wrong = spoil(nodes, monkeypatch)
    status, out, err = run(capsys, "up", "demo", "--cluster", "kind")
    assert (status, out) == (1, "")
    assert f"the cluster is not well: {wrong}" in err
    assert "signoff cluster down demo" in err
    with pytest.raises(SignoffError, match="the cluster is not well: "):
        KindCluster.attach(Path("demo"), images={})
    _, out, _ = run(capsys, "up", "--cluster", "kind")
    assert "demo" not in out
    assert creating.calls.count("create cluster") == 2
    assert any(f"the kept cluster demo is left alone: {wrong}" in line for line in told)


def test_a_kept_cluster_of_another_node_image_is_left_alone(
    creating: Tools, monkeypatch: pytest.MonkeyPatch, capsys: Capture, told: list[str]
) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    monkeypatch.setenv("SIGNOFF_KIND_IMAGE", "kindest/node:v1.34.0")
    run(capsys, "up", "--cluster", "kind")
    assert creating.calls.count("create cluster") == 2
    assert any("demo is left alone: SIGNOFF_KIND_IMAGE was unset and is kindest/node:v1.34.0" in line for line in told)


def test_a_kept_cluster_of_other_nodes_is_left_alone_and_refused(
    creating: Tools, capsys: Capture, told: list[str]
) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    names = ["--allowed-nodes", "nuc", "--forbidden-nodes", "tower", "--backend-nodes", "tower"]
    status, out, err = run(capsys, "up", "demo", "--cluster", "kind", *names)
    assert (status, out) == (1, "")
    assert "demo has other nodes: its nodes are k3s-worker-01, " in err
    assert "signoff cluster up" in err
    with pytest.raises(SignoffError, match="demo has other nodes"):
        KindCluster.attach(Path("demo"), images={}, nodes=[Node("nuc")])
    run(capsys, "up", "--cluster", "kind", *names)
    assert creating.calls.count("create cluster") == 2
    assert any("demo is left alone: it has other nodes: " in line for line in told)


def test_a_kept_cluster_whose_nodes_an_older_version_did_not_note_is_left_alone(
    creating: Tools, capsys: Capture
) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    owner = ownership.folders() / "demo" / "owner.json"
    noted = json.loads(owner.read_text())
    del noted["nodes"]
    owner.write_text(json.dumps(noted))
    assert "started it and did not note them" in run(capsys, "up", "demo", "--cluster", "kind")[2]


def test_nodes_are_named_marked_and_one_of_them_may_be_the_control_plane(
    creating: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    kube = SimpleNamespace(mark=lambda *each: asked.append(each), advertise=lambda *each: asked.append(each))
    monkeypatch.setattr("signoff.cluster.kind.Kube", lambda _: kube)
    monkeypatch.setattr(KindCluster, "_wait_until_ready", KindCluster._mark_nodes)
    master = Node("k3s-master", {CONTROL_PLANE: ""})
    tower = Node("tower", {"card": "rtx3090"}, ("gpu=true:NoSchedule",), {"nvidia.com/gpu": 1})
    cluster = KindCluster.start(images={}, nodes=[master, Node("nuc"), tower])
    config = yaml.safe_load((cluster.dir / "config.yaml").read_text())
    assert [(each["role"], yaml.safe_load(each["kubeadmConfigPatches"][0])) for each in config["nodes"]] == [
        ("control-plane", {"kind": "InitConfiguration", "nodeRegistration": {"name": "k3s-master"}}),
        ("worker", {"kind": "JoinConfiguration", "nodeRegistration": {"name": "nuc"}}),
        ("worker", {"kind": "JoinConfiguration", "nodeRegistration": {"name": "tower"}}),
    ]
    names = [cluster.container_of(each.name).removeprefix(cluster.name) for each in cluster.nodes]
    assert names == ["-control-plane", "-worker", "-worker2"]
    taken_away = {(CONTROL_PLANE, "NoSchedule"): None}
    assert asked[0] == ("k3s-master", {CONTROL_PLANE: ""}, taken_away)
    assert asked[-2:] == [
        ("tower", {"card": "rtx3090"}, taken_away | {("gpu", "NoSchedule"): "true"}),
        ("tower", {"nvidia.com/gpu": 1}),
    ]
    cluster.close()


def test_several_control_planes_are_refused(creating: Tools) -> None:
    with pytest.raises(SignoffError, match="has one control plane, and a and b are declared as such"):
        KindCluster.start(images={}, nodes=[Node(name, {CONTROL_PLANE: ""}) for name in "ab"])
    assert "create cluster" not in creating.calls


def test_a_kept_cluster_whose_node_image_an_older_version_did_not_note_is_used(
    creating: Tools, capsys: Capture
) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    owner = ownership.folders() / "demo" / "owner.json"
    noted = json.loads(owner.read_text())
    del noted["image"]
    owner.write_text(json.dumps(noted))
    assert "demo" in run(capsys, "up", "--cluster", "kind")[1]


def test_the_variable_names_the_provider_that_up_takes(
    creating: Tools, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SIGNOFF_CLUSTER", "kind")
    assert run(capsys, "up")[0] == 0
    assert "create cluster" in creating.calls


def test_a_cluster_that_a_program_uses_is_left_to_it(creating: Tools, capsys: Capture) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")  # this process owns it still
    status, _, err = run(capsys, "down", "demo")
    assert status == 1
    assert f"the cluster demo is in use\n  where: pid {os.getpid()}" in err
    assert "delete cluster" not in creating.calls


def test_a_name_is_taken_once_whatever_the_provider(creating: Tools, capsys: Capture) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    status, out, err = run(capsys, "up", "demo", "--cluster", "embedded")
    assert (status, out) == (4, "")
    assert "a cluster of kind kind is called demo" in err
    assert "next:  choose another name" in err


def test_what_is_printed_for_eval_survives_a_folder_with_spaces(
    creating: Tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    cache = tmp_path / "my cache"
    monkeypatch.setenv("SIGNOFF_CACHE", str(cache))
    _, out, _ = run(capsys, "up", "demo", "--cluster", "kind")
    shell = subprocess.run(["/bin/sh", "-c", f'{out}\necho "$KUBECONFIG"'], capture_output=True, text=True, check=True)
    assert shell.stdout == f"{cache}/kind/clusters/demo/kubeconfig\n"


def test_a_cluster_that_could_not_be_made_is_not_kept(creating: Tools, capsys: Capture) -> None:
    failing = CREATES.replace('mounts" ;;', 'mounts"; exit 1 ;;')
    creating.put("kind", KIND.replace("  *) echo", f"{failing}  *) echo"))
    assert run(capsys, "up", "demo", "--cluster", "kind")[0] == 1
    assert "delete cluster --name demo" in creating.calls
    assert not (ownership.folders() / "demo").exists()


def test_a_provider_that_cannot_start_one_says_so(creating: Tools, capsys: Capture) -> None:
    status, out, err = run(capsys, "up", "--cluster", "existing")
    assert (status, out) == (4, "")
    assert "on yours nothing is deployed or started unasked" in err


def test_a_machine_without_docker_lists_the_others_clusters(
    creating: Tools,
    capsys: Capture,
    told: list[str],
) -> None:
    creating.take_away("docker")
    assert run(capsys, "status") == (0, "no cluster is running; `signoff cluster up` starts one\n", "")
    ownership.open_folder("demo", story.NODES, kept=True)
    status, out, _ = run(capsys, "status")
    assert (status, out) == (0, "no cluster is running; `signoff cluster up` starts one\n")
    assert any("clusters of provider kind cannot be listed: docker is not on PATH" in line for line in told)


def test_the_images_of_a_kind_cluster_are_pulled_in_advance(
    creating: Tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of both, and of the controllers of a way in."""
    for name in crds.PUBLISHED:
        (tmp_path / name).touch()
    monkeypatch.setenv(crds.FOLDER_VARIABLE, str(tmp_path))
    creating.put("docker", 'case "$1" in pull) echo "$@" >> "$DOUBLE/calls" ;; image) exit 1 ;; *) echo 28 ;; esac')
    assert main(["prepare", "--cluster", "kind"]) == 0
    pulled = [line for line in creating.calls.splitlines() if line.startswith("pull")]
    assert len(pulled) == 2 + len(controllers.EVERY)
    assert any("litellm" in line for line in pulled)
    assert any(controllers.TRAEFIK.image in line for line in pulled)


def test_attach_takes_the_name_of_a_kind_cluster(creating: Tools, capsys: Capture) -> None:
    run(capsys, "up", "demo", "--cluster", "kind")
    for named in (Path("demo"), ownership.folders() / "demo"):
        kind.precheck(named, Needs({}, {}, ()), NO_ACCESS)
    with pytest.raises(SignoffError, match="no kind cluster is running there") as refused:
        kind.precheck(Path("other"), Needs({}, {}, ()), NO_ACCESS)
    assert refused.value.where == "other"
