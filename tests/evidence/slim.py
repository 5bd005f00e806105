"""Makes a recorded run small enough to keep: `python -m tests.evidence.slim RUN_FOLDER NAME`.

It writes `recorded/NAME.tar.xz` with what signoff.evidence.legacy and the judges read of a run of version 0, without
what tells of the machine that it ran on. `verdicts.yaml` then has to say what that run's verdicts were.
"""

import io
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
_CALL = (
    *("id", "seconds", "client", "rates", "exchanges", "upstream", "recorded", "lane", "stopped", "too_late"),
    "follow_up",
)
"""What signoff.parity.runner.Observation.from_record reads."""
_PATH = re.compile(r"/(?:root|tmp|home)\b[^\"'\\\s,;)]*")


def slim(folder: Path, archive: Path) -> None:
    """Write the run of a folder into an archive."""
    lines = [_record(json.loads(line)) for line in (folder / "evidence.jsonl").read_text("utf-8").split("\n") if line]
    files = {"evidence.jsonl": "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines if line)}
    if (folder / "overhead.csv").exists():
        files["overhead.csv"] = (folder / "overhead.csv").read_text("utf-8")
    if (folder / "parity.json").exists():
        runs = json.loads((folder / "parity.json").read_bytes())["runs"]
        calls = [{name: run[name] for name in _CALL} for run in runs]
        files["parity.json"] = json.dumps({"runs": calls}, ensure_ascii=False)
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for name, text in files.items():
            data = _PATH.sub("/elsewhere", text).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _record(told: dict[str, Any]) -> dict[str, Any] | None:
    """A record without what nobody reads, None where that is all of it."""
    head = {name: told[name] for name in ("at", "monotonic", "kind")}
    match told["kind"]:
        case "timing":
            return None  # overhead.csv has it too
        case "parity-call":
            return {**head, "id": told["id"]}  # parity.json has the rest
        case "parity-matrix":
            return {**head, "litellm": told["litellm"]}
        case "run":
            return {**told, "argv": [], "machine": {**told["machine"], "system": "Linux"}}
        case "cluster":
            return {**told, "details": {}}
    return told


if __name__ == "__main__":
    slim(Path(sys.argv[1]), RECORDED / f"{sys.argv[2]}.tar.xz")
