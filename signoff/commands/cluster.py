"""`signoff cluster up | status | down`: clusters that outlive the command that started them."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from signoff.cluster import registry
from signoff.cluster.base import Running
from signoff.cluster.kept import difference, left_alone, see_well
from signoff.core.console import progress
from signoff.core.errors import SignoffError, UsageError
from signoff.core.node import Node
from signoff.core.paths import check_cache
from signoff.core.words import duration
from signoff.kube.client import Kube
from signoff.options import ClusterChoice, declare_settings
from signoff.settings.arguments import read_from
from signoff.settings.model import OF_NODES

_NAME = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
_HEADINGS = ("NAME", "PROVIDER", "STATE", "AGE", "NODES", "PODS", "MEMORY", "USED BY")


def up(options: argparse.Namespace) -> int:
    """Have a cluster that stays until `signoff cluster down`, and say how to use it.

    Starts one, or finds the one that is there: `up` twice is `up` once. It comes without a deployment: the first
    `pytest features/` or `locust -f bench/` brings that, and leaves it to the next. kubectl needs only the KUBECONFIG
    that is printed. Standard output is made for `eval`: eval "$(signoff cluster up)".
    """
    if options.name and not re.fullmatch(_NAME, options.name):
        hint = "use lower-case letters, digits and hyphens, at most 32, as in: signoff cluster up demo"
        raise UsageError(f"a cluster cannot be called {options.name!r}", hint=hint)
    choice = ClusterChoice.of(read_from(options))
    provider = choice.cluster.value
    check_cache()
    every = _every()
    if other := next((each for each in every if each.name == options.name and each.provider != provider), None):
        hint = f"choose another name, or end that one: signoff cluster down {other.name}"
        raise UsageError(f"a cluster of kind {other.provider} is called {other.name}", where=str(other.dir), hint=hint)
    kept = _well([each for each in every if each.provider == provider and each.kept], options.name, choice.nodes)
    if kept is None:
        kept = registry.provider(provider).start_kept(options.name, choice.nodes)
    else:
        print(f"{kept.name} has been up for {duration(kept.age_seconds)}", file=sys.stderr)
        print(kept.how_to_use(), file=sys.stderr)
    print(f"export KUBECONFIG={shlex.quote(str(kept.kubeconfig))}")
    return 0


def status(options: argparse.Namespace) -> int:
    """List the clusters that run, with what they hold; for one that is named or alone, how to use it.

    A cluster is "kept" when it stays until `signoff cluster down`, else it ends with the program that uses it. NODES
    and PODS are Ready of all. MEMORY is that of all its processes, pods included, shared pages counted once, where
    that can be told.
    """
    found = [_named(options.name)] if options.name else _every()
    if not found:
        print("no cluster is running; `signoff cluster up` starts one")
        return 0
    for line in _table([_HEADINGS, *(_row(each) for each in found)]):
        print(line)
    if len(found) == 1 and found[0].kept:
        print(found[0].how_to_use())
    return 0


def down(options: argparse.Namespace) -> int:
    """End a kept cluster with all that runs on it, and remove its folder.

    Without a name the only kept cluster there is. A cluster that a running program uses is left to that program.
    """
    if options.all and options.name:
        raise UsageError(
            f"--all ends every kept cluster, and {options.name} is one",
            where=f"{options.name} --all",
            hint="leave out one or the other",
        )
    kept = [each for each in _every() if each.kept]
    if options.all:
        chosen = kept
    elif options.name:
        chosen = [_named(options.name)]
    elif len(kept) > 1:
        names = ", ".join(each.name for each in kept)
        raise UsageError("several clusters are kept", where=names, hint="name one, or end --all")
    else:
        chosen = kept
    if not chosen:
        print("no kept cluster is running")
    for cluster in chosen:
        if user := cluster.user:
            hint = "end that program first" if cluster.kept else "it ends with that program"
            raise SignoffError(f"the cluster {cluster.name} is in use", where=user, hint=hint)
        cluster.end()
        print(f"ended {cluster.name}")
    return 0


def _every() -> list[Running]:
    """The clusters of all providers; one that cannot tell does not hide the others'."""
    found: list[Running] = []
    for name in registry.NAMES:
        try:
            found += registry.provider(name).running()
        except SignoffError as error:
            progress("cluster", f"clusters of provider {name} cannot be listed: {error.what}")
    return found


def _well(kept: Iterable[Running], name: str | None, nodes: Sequence[Node]) -> Running | None:
    """The one of this name; without a name the first that is as one started now would be, and well.

    Raises:
        SignoffError: the one of this name is not well, or has other nodes.
    """
    if name:
        named = next((each for each in kept if each.name == name), None)
        if named:
            see_well(named, nodes)
        return named
    for each in kept:
        if why := difference(each, nodes) or each.ailment():
            progress("cluster", left_alone(each, why))
        else:
            return each
    return None


def _named(name: str) -> Running:
    every = _every()
    for cluster in every:
        if cluster.name == name:
            return cluster
    for provider in registry.NAMES:
        if reason := registry.provider(provider).ended(name):
            raise reason
    names = ", ".join(each.name for each in every) or "none"
    raise UsageError(f"no cluster is called {name}", hint=f"running: {names}")


def _row(cluster: Running) -> tuple[str, ...]:
    state, memory = "kept" if cluster.kept else "of a run", cluster.memory_mb
    return (
        cluster.name,
        cluster.provider,
        state,
        duration(cluster.age_seconds),
        *_nodes_and_pods(cluster.kubeconfig),
        "?" if memory is None else f"{memory:.0f} MB",
        cluster.user or "-",
    )


def _nodes_and_pods(kubeconfig: Path) -> tuple[str, str]:
    """How many nodes and how many pods are Ready of how many, such as ("3/3", "2/2"); "?" where nobody answers."""
    try:
        kube = Kube(kubeconfig)
        nodes, pods = kube.core.list_node().items, kube.core.list_pod_for_all_namespaces().items
    except (ApiException, ConfigException, HTTPError, OSError):
        return "?", "?"
    return _ready(nodes), _ready([pod for pod in pods if pod.status.phase not in ("Succeeded", "Failed")])


def _ready(objects: Sequence[Any]) -> str:
    conditions = [each.status.conditions or [] for each in objects]
    ready = [each for each in conditions if any(c.type == "Ready" and c.status == "True" for c in each)]
    return f"{len(ready)}/{len(objects)}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def add_to(commands: Any) -> None:
    """Add `cluster` and its own commands to the command line."""
    parser = commands.add_parser(
        "cluster",
        help="keep a cluster for kubectl, Locust and the next run",
        description="Keep a cluster between runs: up, status, down.",
        epilog='for example: eval "$(signoff cluster up)" && kubectl get nodes; pytest features/; signoff cluster down',
    )
    own = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, what in (
        (up, "start a cluster, or find the kept one"),
        (status, "list the running clusters"),
        (down, "end"),
    ):
        described = argparse.RawDescriptionHelpFormatter
        each = own.add_parser(run.__name__, help=what, description=_paragraphs(run), formatter_class=described)
        each.add_argument("name", nargs="?", metavar="NAME", help="its name")
        each.set_defaults(run=run)
        if run is up:
            declare_settings(each.add_argument, ["cluster", *OF_NODES, "nodes"])
        if run is down:
            each.add_argument("--all", action="store_true", help="end all kept clusters")


def _paragraphs(run: Any) -> str:
    return "\n".join(line.strip() for line in (run.__doc__ or "").splitlines()).strip()
