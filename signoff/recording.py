"""The evidence of a command: opened with its circumstances, and closed with its end, whatever that is."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from signoff import blame
from signoff.circumstances import circumstances
from signoff.cluster.base import Cluster
from signoff.errors import SignoffError
from signoff.evidence import Evidence
from signoff.evidence.models import Cluster as ClusterRecord
from signoff.evidence.models import End, Run, SetUpFailure
from signoff.redact import redacted_log


@contextmanager
def recording(
    folder: Path, tool: Literal["parity", "load", "serve"], cluster: str, settings: Mapping[str, Any]
) -> Iterator[Evidence]:
    """The evidence of what is done in this block; it ends with what ended that, where it was an error.

    Raises:
        SignoffError: it cannot be written, or the folder holds the evidence of another run.
    """
    argv = [redacted_log(each) for each in sys.argv[1:]]
    evidence = Evidence(folder.absolute(), Run(tool=tool, argv=argv, cluster=cluster, **circumstances(settings)))
    try:
        yield evidence
    except BaseException as error:
        with suppress(SignoffError):  # the disk may be full, which hides no other error
            if isinstance(error, Exception):
                where = error.where if isinstance(error, SignoffError) else ""
                evidence.add(SetUpFailure(cause=blame.cause_of(error), where=where))
            evidence.add(End(interrupted=isinstance(error, KeyboardInterrupt)))
        raise
    else:
        evidence.add(End())
    finally:
        evidence.close()


def record_cluster(evidence: Evidence, cluster: Cluster) -> None:
    """Say what the cluster is."""
    facts = cluster.facts()
    evidence.add(
        ClusterRecord(
            provider=facts.provider,
            kubernetes_version=facts.kubernetes_version,
            nodes=list(facts.nodes),
            start_seconds=facts.start_seconds,
            details=facts.details,
        )
    )
