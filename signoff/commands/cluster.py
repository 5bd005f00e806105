"""`signoff cluster up | status | down`: embedded clusters that outlive the command that started them."""

import argparse
import re
import sys
from typing import Any

from signoff.cluster.embedded import EmbeddedCluster, end
from signoff.cluster.embedded.ended import reason_of_end
from signoff.cluster.embedded.guide import how_to_use, nodes_and_pods
from signoff.cluster.embedded.kept import Running, clusters_dir, running
from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import check_cache

_NAME = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
_HEADINGS = ("NAME", "STATE", "AGE", "NODES", "PODS", "MEMORY", "USED BY")


def up(options: argparse.Namespace) -> int:
    """Have an embedded cluster that stays until `signoff cluster down`, and say how to use it.

    Starts one in seconds, or finds the one that is there: `up` twice is `up` once. It comes without a deployment:
    the first `pytest features/` or `locust -f bench/` brings that, and leaves it to the next. kubectl needs only the
    KUBECONFIG that is printed. Standard output is made for `eval`: eval "$(signoff cluster up)".
    """
    if options.name and not re.fullmatch(_NAME, options.name):
        hint = "use lower-case letters, digits and hyphens, at most 32, as in: signoff cluster up demo"
        raise UsageError(f"a cluster cannot be called {options.name!r}", hint=hint)
    check_cache()
    found = next((each for each in running() if _is_wanted(each, options.name)), None)
    if found is None:
        cluster = EmbeddedCluster.start(name=options.name)
        cluster.keep()
        found = next(each for each in running() if each.dir == cluster.dir)
    else:
        _say_use(found)
    print(f"export KUBECONFIG={_kubeconfig(found)}")
    return 0


def status(options: argparse.Namespace) -> int:
    """List the embedded clusters that run, with what they hold; for one that is named or alone, how to use it.

    A cluster is "kept" when it stays until `signoff cluster down`, else it ends with the program that uses it. NODES
    and PODS are Ready of all. MEMORY is that of all its processes, pods included, shared pages counted once.
    """
    found = [_named(options.name)] if options.name else running()
    if not found:
        print("no embedded cluster runs; `signoff cluster up` starts one")
        return 0
    for line in _table([_HEADINGS, *(_row(each) for each in found)]):
        print(line)
    if len(found) == 1 and found[0].kept:
        print(how_to_use(found[0].name, _kubeconfig(found[0])))
    return 0


def down(options: argparse.Namespace) -> int:
    """End a kept cluster with all that runs on it, and remove its folder, within 2 seconds.

    Without a name the only kept cluster there is. A cluster that a running program uses is left to that program.
    """
    kept = [each for each in running() if each.kept]
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
        print("no kept cluster runs")
    for cluster in chosen:
        if user := cluster.user:
            hint = "end that program first" if cluster.kept else "it ends with that program"
            raise SignoffError(f"the cluster {cluster.name} is in use", where=user, hint=hint)
        end(cluster)
        print(f"ended {cluster.name}")
    return 0


def _is_wanted(cluster: Running, name: str | None) -> bool:
    return cluster.kept and (cluster.name == name if name else cluster.fits)


def _named(name: str) -> Running:
    every = running()
    for cluster in every:
        if cluster.name == name:
            return cluster
    if ended := reason_of_end(clusters_dir() / name):
        raise ended
    names = ", ".join(each.name for each in every) or "none"
    raise UsageError(f"no cluster is called {name}", hint=f"those that run: {names}")


def _say_use(cluster: Running) -> None:
    print(f"{cluster.name} has been up for {cluster.age}", file=sys.stderr)
    print(how_to_use(cluster.name, _kubeconfig(cluster)), file=sys.stderr)
    if not cluster.fits:
        print("  other code or settings started it: pytest and locust will not use it by themselves", file=sys.stderr)


def _kubeconfig(cluster: Running) -> Any:
    return cluster.dir / "kubeconfig"


def _row(cluster: Running) -> tuple[str, ...]:
    nodes, pods = nodes_and_pods(_kubeconfig(cluster))
    state = "kept" if cluster.kept else "of a run"
    return cluster.name, state, cluster.age, nodes, pods, f"{cluster.memory_mb:.0f} MB", cluster.user or "-"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def add_to(commands: Any) -> None:
    """Add `cluster` and its own commands to the command line."""
    parser = commands.add_parser(
        "cluster",
        help="keep an embedded cluster for kubectl, Locust and the next run",
        description="Keep an embedded cluster between runs: up, status, down.",
        epilog='for example: eval "$(signoff cluster up)" && kubectl get nodes; pytest features/; signoff cluster down',
    )
    own = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, what in ((up, "start one, or find the one that is kept"), (status, "list those that run"), (down, "end")):
        described = argparse.RawDescriptionHelpFormatter
        each = own.add_parser(run.__name__, help=what, description=_paragraphs(run), formatter_class=described)
        each.add_argument("name", nargs="?", metavar="NAME", help="its name or id")
        each.set_defaults(run=run)
        if run is down:
            each.add_argument("--all", action="store_true", help="end all kept clusters")


def _paragraphs(run: Any) -> str:
    return "\n".join(line.strip() for line in (run.__doc__ or "").splitlines()).strip()
