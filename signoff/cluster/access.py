"""What a person lets a run do on a cluster of their own: which one it is, and what may be changed there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signoff.changes.rights import Right
from signoff.changes.target import Named


@dataclass(frozen=True)
class Access:
    """A cluster of a person's own, by its kubeconfig's context, and what they allow there.

    `context` is the one that is meant and `allowed_context` the one that may be used: they have to be the same, so that
    no file alone, and no shell's history, leads a run to a cluster. `uid` is that of its namespace kube-system, as it
    was at the first run; empty before that. `namespace` is the one in which LiteLLM is.
    """

    context: str = ""
    allowed_context: str = ""
    uid: str = ""
    allow: frozenset[Right] = frozenset()
    namespace: str = ""
    as_copy: bool = False
    dry_run: bool = False


NO_ACCESS = Access()


@dataclass(frozen=True)
class Use:
    """What a run is going to do on a person's own cluster: in which namespaces, LiteLLM's first.

    `run` is the folder of its report, by whose name it is known. `named` are the objects that it applies, `reads` those
    that it judges, and `disturbs` what it does to workloads and nodes if that is allowed, for a person to read.
    """

    access: Access
    namespaces: Sequence[str]
    run: Path
    named: frozenset[Named] = frozenset()
    reads: Sequence[str] = ()
    disturbs: Sequence[str] = ()


NO_USE = Use(NO_ACCESS, (), Path())
