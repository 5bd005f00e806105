"""Kills runs on a person's cluster at random moments, restores them, and compares all objects with those before.

    KUBECONFIG=FILE python -m scripts.kill_and_restore --context home --settings FILE --moments 10 [--seed N]

Each run may change all that a run may. The cluster is one that can be spared, on which a gateway stands:
`scripts.deploy_as_owner` makes one. What is compared is read anew here, of every kind that can be listed, and by other
code than the suite's own. Ends with 1 if anything differs.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes.dynamic.exceptions import DynamicApiError
from kubernetes.dynamic.resource import ResourceList

from signoff.core import console
from signoff.core.paths import ROOT
from signoff.kube.client import Kube
from signoff.kube.kubeconfig import only

RIGHTS = ("job", "deploy", "disruption")
DERIVED = {"Event", "Lease", "EndpointSlice", "Endpoints"}
"""Kinds that say what is at a moment, and not what somebody wants."""
SERVER_SET = ("resourceVersion", "generation", "managedFields")
REVISION = "deployment.kubernetes.io/revision"
LONGEST = 240.0
"""Seconds after which a run has nothing left to change."""

Objects = dict[str, Any]


def objects(kube: Kube) -> Objects:
    """All objects without a controlling owner, as far as they say what somebody wants of the cluster."""
    found: Objects = {}
    for resource in (each for same_kind in kube.dynamic.resources for each in same_kind):
        if isinstance(resource, ResourceList) or "list" not in resource.verbs or resource.kind in DERIVED:
            continue
        try:
            items = kube.dynamic.get(resource).to_dict()["items"]
        except DynamicApiError:
            continue
        for item in items:
            metadata = item["metadata"]
            if not any(owner.get("controller") for owner in metadata.get("ownerReferences") or []):
                key = f"{resource.group_version} {resource.kind} {metadata.get('namespace', '')}/{metadata['name']}"
                found[key] = _wanted(item)
    return found


def _wanted(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in SERVER_SET}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != REVISION}
    told = {key: value for key, value in item.items() if key not in ("status", "metadata")}
    return {**told, "metadata": {**metadata, "annotations": annotations}}


def differences(before: Objects, after: Objects) -> list[str]:
    """What is otherwise, an object a line."""
    return [
        f"{key}: {_short(before.get(key))} -> {_short(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _short(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, sort_keys=True, default=str)


def run(context: str, settings: str, reports: Path, rights: Sequence[str], more: Sequence[str]) -> list[str]:
    """The command of a run with these rights."""
    allowed = [word for right in rights for word in ("--allow", right)]
    where = ["--cluster", "existing", "--kube-context", context, "--allow-context", context]
    return [
        *(sys.executable, "-m", "pytest", "features/", "-q", "-p", "no:cacheprovider"),
        *("--settings", settings, "--reports", str(reports), *where, *allowed, *more),
    ]


def killed(command: Sequence[str], after: float) -> bool:
    """Kill a run after so many seconds; whether it was still at work."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def restored(reports: Path) -> int:
    """Restore the run that has its report here, if it came as far as that; gives the exit status."""
    for folder in reports.glob("*"):
        return subprocess.run([sys.executable, "-m", "signoff.cli", "restore", folder.name], cwd=ROOT).returncode
    return 0


def main() -> int:
    """Kill, restore and compare, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", required=True, help="the context of the cluster that can be spared")
    parser.add_argument("--settings", required=True, metavar="FILE")
    parser.add_argument("--moments", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31), metavar="N")
    parser.add_argument("--longest", type=float, default=LONGEST, metavar="SECONDS", help="the latest moment")
    parser.add_argument("-k", default="not overhead and not way_in", metavar="EXPRESSION", help="which scenarios")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    moments = random.Random(options.seed)
    with TemporaryDirectory() as folder:
        kube = Kube(only(options.context, Path(folder)))
        red = 0
        for number in range(1, options.moments + 1):
            before, after = objects(kube), moments.uniform(0, options.longest)
            reports = Path(folder) / str(number)
            was_killed = killed(run(options.context, options.settings, reports, RIGHTS, ("-k", options.k)), after)
            changed = len(differences(before, objects(kube)))
            started = time.monotonic()
            status = restored(reports)
            left = differences(before, objects(kube))
            red += bool(left or status)
            how = "killed" if was_killed else "had ended"
            console.progress(
                "restored",
                f"{number}: {how} after {after:.1f} s, {changed} objects differed; restored in "
                f"{time.monotonic() - started:.1f} s with {status}, {len(left)} differ",
            )
            for line in left:
                print(f"  {line}", flush=True)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
