"""Which cluster each context has led to from this machine, whatever folder and settings a run began with."""

import hashlib
import json
from pathlib import Path

from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import STATE_VARIABLE, state_dir
from signoff.core.whole import draft_of


def uid_of(context: str, server: str) -> str:
    """The UID of the cluster that this context has led to at this server; empty if none has.

    Raises:
        UsageError: what is remembered cannot be read.
    """
    file = file_of(context, server)
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["uid"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        what = f"which cluster the context {context} has led to cannot be read"
        raise UsageError(what, where=str(file), hint="remove it, and the next run writes it anew") from None


def remember(context: str, server: str, uid: str) -> None:
    """Have the next run from this machine know it.

    Raises:
        SignoffError: it cannot be written.
    """
    file, told = file_of(context, server), {"context": context, "server": server, "uid": uid}
    hint = f"let this user write it, or name a folder that you may write to in {STATE_VARIABLE}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        what = f"which cluster the context {context} leads to cannot be written down: {error.strerror}"
        raise SignoffError(what, where=str(file.parent), hint=hint) from None
    with draft_of(file, hint) as draft:
        draft.write_text(json.dumps(told), encoding="utf-8")


def file_of(context: str, server: str) -> Path:
    """Where it is written down."""
    name = hashlib.sha256(json.dumps([context, server]).encode()).hexdigest()[:16]
    return state_dir() / "clusters" / f"{name}.json"
