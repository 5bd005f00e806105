"""The evidence of a command: opened with its circumstances, and closed with its end, whatever that is."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from signoff.cluster.base import Cluster
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.redact import redacted_log
from signoff.evidence import Evidence, causes
from signoff.evidence.circumstances import circumstances
from signoff.evidence.models import Cluster as ClusterRecord
from signoff.evidence.models import End, Run, SetUpFailure
from signoff.settings.shown import not_the_storys

Tool = Literal["parity", "load", "serve", "calibrate", "measure"]


def began(tool: Tool, cluster: str, settings: Mapping[str, Any]) -> Run:
    """How a run of a command begins: with its circumstances, and what it was asked for."""
    argv = [redacted_log(each) for each in sys.argv[1:]]
    return Run(tool=tool, argv=argv, cluster=cluster, **circumstances(settings))


@contextmanager
def recording(folder: Path, run: Run) -> Iterator[Evidence]:
    """The evidence of what is done in this block; it ends with what ended that, where it was an error.

    Before, a person is told which settings are not the story's.

    Raises:
        SignoffError: it cannot be written, or the folder holds the evidence of another run.
    """
    evidence = Evidence(folder.absolute(), run)
    for each in not_the_storys(run.settings):
        progress("settings", each.as_line)
    try:
        yield evidence
    except BaseException as error:
        with suppress(SignoffError):  # the disk may be full, which hides no other error
            if isinstance(error, Exception):
                where = error.where if isinstance(error, SignoffError) else ""
                evidence.add(SetUpFailure(cause=causes.cause_of(error), where=where))
            evidence.add(End(interrupted=isinstance(error, KeyboardInterrupt)))
        raise
    else:
        evidence.add(End())
    finally:
        evidence.close()


def record_cluster(evidence: Evidence, cluster: Cluster) -> None:
    """Say what the cluster is."""
    evidence.add(ClusterRecord(**asdict(cluster.facts())))
