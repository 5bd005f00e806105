"""`signoff restore`: what a run has changed on a person's cluster is put back, whatever became of the run."""

import argparse
from pathlib import Path
from typing import Any

from signoff.changes import journal as journals
from signoff.changes.journal import Journal
from signoff.changes.restoring import Outcome
from signoff.changes.rights import OWN_NAMESPACE
from signoff.changes.session import accept_elsewhere, restore
from signoff.core.errors import UsageError
from signoff.core.paths import private_folder
from signoff.core.words import listed
from signoff.kube import kubeconfig

_ABOUT = """\
Put back what a run has changed on your own cluster.

A run puts all back itself at its end, also after Ctrl-C. This is for one that had no time to: it was
killed, the machine or the network went away. Without RUN, the runs that left something are listed.

What the run has made is deleted, what it has changed becomes as it was before, field by field: what
others have changed meanwhile stays. Then all objects of the namespaces that it was allowed to touch,
and all nodes, are compared with how they were before the run, and each difference is told.

The cluster is reached by the context that the run used, of $KUBECONFIG or ~/.kube/config. Another
cluster under the same context's name is refused. It may be broken off and called again at any time.
"""
_STATUS = """\
exit status: 0 if all is as before the run, 1 if something is not, 4 if it was refused: the run still
lives, another run writes to the cluster, or the context leads to another one.

for example: signoff restore; signoff restore 2026-01-31T10-00-00
"""


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "restore",
        help="put back what a run has changed on your own cluster",
        description=_ABOUT,
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="RUN", help="its name, or the folder of its report")
    parser.add_argument(
        "--accept",
        action="store_true",
        help="leave what cannot be put back as it is, and let the next run begin all the same",
    )
    parser.add_argument(
        "--kube-context",
        metavar="NAME",
        help="with --accept: of a run whose journal is on another machine, or lost, the context of its cluster",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore a run, or list those that left something."""
    if options.name is None:
        if options.accept:
            raise UsageError("--accept is for one run", hint="name it: signoff restore RUN --accept")
        return _list()
    if options.kube_context is not None:
        return _accept_elsewhere(options)
    journal = _named(options.name)
    if journal.is_closed:
        print(f"nothing is left of the run {journal.run}: all was put back before")
        return 0
    return _told(journal, _restored(journal, accept=options.accept), accepted=options.accept)


def _accept_elsewhere(options: argparse.Namespace) -> int:
    """Let the next run begin on what a run has left that this machine knows nothing of."""
    name, context = options.name, options.kube_context
    if not options.accept or any(each.run == name for each in journals.everywhere()[0]):
        what = "--kube-context is for a run whose journal is not on this machine, with --accept"
        raise UsageError(what, hint=f"signoff restore {name}: the journal knows the context")
    with private_folder() as folder:
        holder = accept_elsewhere(kubeconfig.only(context, folder), name)
    print(f"what the run {holder} has changed stays as it is now: nothing of it is put back or deleted here")
    print(f"what it has left in the namespace {OWN_NAMESPACE} is yours to delete; the next run may begin")
    return 1


def _restored(journal: Journal, *, accept: bool) -> Outcome:
    with private_folder() as folder:
        try:
            path = kubeconfig.only(journal.header.context, folder)
        except UsageError as error:
            used = listed(journal.header.kubeconfigs)
            hint = f"name in {kubeconfig.VARIABLE} what the run used: {used}" if used else error.hint
            raise UsageError(error.what, where=error.where, hint=hint) from None
        return restore(path, journal, accept=accept)


def _told(journal: Journal, outcome: Outcome, *, accepted: bool) -> int:
    for line in outcome.done:
        print(line)
    for line in outcome.problems:
        print(f"not put back: {line}")
    for line in outcome.differences:
        print(f"not as before: {line}")
    if outcome.is_as_before:
        print(f"all is as before the run {journal.run}")
        return 0
    if accepted:
        print("left so, as --accept asked: the next run may begin")
    elif outcome.is_settled:
        print(f"nothing of this is what the run {journal.run} has written: the next run may begin")
    else:
        print(f"mend it and call this again, or leave it so: signoff restore {journal.run} --accept")
    return 1


def _list() -> int:
    every, errors = journals.everywhere()
    left = [each for each in every if not each.is_closed]
    for each in left:
        header = each.header
        state = "still at work" if any(process.lives for process in each.processes) else "not put back"
        objects = len({intent.path for intent in each.intents})
        print(f"{each.run}  {header.at:%Y-%m-%d %H:%M} UTC  context {header.context}  {objects} objects  {state}")
    for error in errors:
        print(error)
    if not left and not errors:
        print("no run has left anything on a cluster")
    return 1 if errors else 0


def _named(name: str) -> Journal:
    """The journal of the run of this name, or of the one whose report is in this folder."""
    every, errors = journals.everywhere()
    folder = str(Path(name).absolute())
    found = [each for each in every if each.run == name] or [each for each in every if each.header.folder == folder]
    if not found and errors:
        raise errors[0]
    if not found:
        names = ", ".join(each.run for each in every if not each.is_closed) or "none"
        what = f"no run of this machine that has written to a cluster is called {name}"
        raise UsageError(what, hint=f"those that left something: {names}")
    if len(found) > 1:
        clusters = listed(each.header.cluster for each in found)
        raise UsageError(f"several clusters have a run {name}", where=clusters, hint="name its report's folder")
    return found[0]
