"""The files of the load that runs, at Locust's own page: `/signoff/files`, for whoever collects them from a cluster."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATH = "/signoff/files"


def serve(app: Any, folder: Callable[[], Path | None]) -> None:
    """Serve the folder that `folder` gives: a list of names and sizes, and of each file what is behind `from`."""
    from flask import Response, request  # which whoever collects does not need

    @app.route(PATH)  # type: ignore[untyped-decorator]
    def listed() -> Any:
        where = folder()
        found = [] if where is None else [path for path in sorted(where.iterdir()) if not path.name.startswith(".")]
        told = {"run": where.name if where else "", "files": {path.name: path.stat().st_size for path in found}}
        return Response(json.dumps(told), mimetype="application/json")

    @app.route(f"{PATH}/<name>")  # type: ignore[untyped-decorator]
    def one(name: str) -> Any:
        where = folder()
        path = None if where is None or name.startswith(".") else where / name
        if path is None or path.parent != where or not path.is_file():
            return Response("no such file\n", status=404)
        with path.open("rb") as file:
            file.seek(max(0, request.args.get("from", 0, type=int)))
            return Response(file.read(), mimetype="application/octet-stream")
