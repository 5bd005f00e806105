"""Why clusters ended by themselves, and their logs: kept for who asks later, since their folders go with them."""

import json
import shutil
from pathlib import Path

from signoff.core.errors import SignoffError
from signoff.core.paths import cache_dir

KEPT_AT_MOST = 5
_REASON = "reason.json"


def note_end(cluster: Path, error: SignoffError) -> SignoffError:
    """Keep the logs and the error of a cluster that ends by itself, in place of the oldest that are kept.

    Returns the error, which now points to the kept logs.
    """
    kept = _postmortem(cluster)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True, mode=0o700)
    if _logs(cluster).is_dir():
        shutil.copytree(_logs(cluster), _logs(kept))
    where = error.where.replace(str(_logs(cluster)), str(_logs(kept)))
    (kept / _REASON).write_text(json.dumps({"what": error.what, "where": where, "hint": error.hint}), encoding="utf-8")
    for old in sorted(kept.parent.iterdir(), key=lambda each: each.stat().st_mtime)[:-KEPT_AT_MOST]:
        shutil.rmtree(old, ignore_errors=True)
    return SignoffError(error.what, where=where, hint=error.hint)


def discard_end(cluster: Path) -> None:
    """A new cluster takes the name of one that has ended: what was kept of that is not the new one's."""
    shutil.rmtree(_postmortem(cluster), ignore_errors=True)


def reason_of_end(cluster: Path) -> SignoffError | None:
    """What `note_end` was told of the cluster, or None if it did not end by itself."""
    try:
        told = json.loads((_postmortem(cluster) / _REASON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return SignoffError(f"the embedded cluster has ended: {told['what']}", where=told["where"], hint=told["hint"])


def logs_of(cluster: Path) -> Path:
    """The folder of the cluster's logs: its own while it lives, then the one that was kept."""
    return _logs(cluster) if _logs(cluster).is_dir() else _logs(_postmortem(cluster))


def _logs(folder: Path) -> Path:
    return folder / "logs"


def _postmortem(cluster: Path) -> Path:
    return cache_dir() / "ended" / cluster.name
