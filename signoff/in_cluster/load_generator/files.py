"""The files of the load that runs, at Locust's own page: `/signoff/files`, for whoever collects them from a cluster."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PATH = "/signoff/files"


def serve(app: Any, folder: Callable[[], Path | None], ended: Callable[[], bool], error: Callable[[], str]) -> None:
    """Serve the folder that `folder` gives: a list of names and sizes, and of each file what is behind `from`.

    The list says too whether its load has `ended`, and why nothing more is written there (`error`; empty as long as
    it is).
    """
    from flask import Response, request  # which whoever collects does not need

    @app.route(PATH)  # type: ignore[untyped-decorator]
    def listed() -> Any:
        where = folder()
        run, there = (where.name, sizes(where)) if where else ("", {})
        told = {"run": run, "files": there, "ended": ended(), "error": error()}
        return Response(json.dumps(told), mimetype="application/json")

    @app.route(f"{PATH}/<name>")  # type: ignore[untyped-decorator]
    def one(name: str) -> Any:
        where = folder()
        path = None if where is None or name.startswith(".") else where / name
        if path is None or path.parent != where:
            return Response("no such file\n", status=404)
        try:
            with path.open("rb") as file:
                file.seek(max(0, request.args.get("from", 0, type=int)))
                return Response(file.read(), mimetype="application/octet-stream")
        except (FileNotFoundError, IsADirectoryError):
            return Response("no such file\n", status=404)


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in the folder but the drafts; of one that goes meanwhile nothing is told."""
    found = {}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):
                found[path.name] = path.stat().st_size
    return found
