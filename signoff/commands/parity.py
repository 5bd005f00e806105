"""`signoff parity`: run the matrix, and compare two."""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import UsageError, refusing
from signoff.core.paths import REPORTS, ROOT, check_reports
from signoff.evidence import FILE, Evidence
from signoff.evidence.models import ParityMatrix
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.options import ClusterChoice, add_deployment_options, check_deployment, check_trust
from signoff.parity import calls, cases, deployment
from signoff.parity.judge import Class
from signoff.parity.matrix import MAX_UNPROVEN, Change, Matrix, changes, read
from signoff.parity.recorder_pod import RecorderPod
from signoff.parity.runner import KEY, Backend, Observation, Sides, routes_for, version_of
from signoff.parity.verdict import CASES, matrix_of, verdict_on
from signoff.report import parity as page
from signoff.report import seal
from signoff.settings.arguments import read_from
from signoff.settings.shown import headline, not_the_storys, record
from signoff.traffic.keys import BACKEND, GATEWAY
from signoff.verdicts import Value

_WORST_SHOWN = 12


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "parity",
        help="compare LiteLLM with its vLLM, call by call",
        description=f"""Ask vLLM directly and through LiteLLM, case by case, and classify every difference. Deploys the
        story's manifests with a recorder between LiteLLM and vLLM, and a second LiteLLM without the settings that
        avoid known faults, on a cluster that it starts for the purpose unless one is kept or attached to. Writes
        the evidence with all calls, and what follows from it: parity.json and parity.html. Exits 1 if the gate
        (signoff/parity/gate.yaml) fails, and if none or less than {1 - MAX_UNPROVEN:.0%} of the story's runs could be
        judged.""",
        epilog="""To see what an upgrade changes: `signoff parity --out reports/now`, `signoff parity --out reports/next
        --image ghcr.io/berriai/litellm:<other tag>`, `signoff parity diff reports/now reports/next`.""",
    )
    add_deployment_options(parser, also={"litellm_image": "--image"})
    parser.add_argument("--cases", type=Path, default=cases.FOLDER, help="the folder with the cases")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="runs such as 'chat.*/streamed/*'"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder to create (default: reports/parity-<time>)")
    parser.add_argument("--list", action="store_true", help="list the runs and exit")
    parser.set_defaults(run=run)
    more = parser.add_subparsers(metavar="")
    comparing = more.add_parser(
        "diff", help="show what changed between two matrices", description="Exits 1 if something is newly broken."
    )
    comparing.add_argument("before", type=Path, metavar="A", help="a parity.json, or its folder")
    comparing.add_argument("after", type=Path, metavar="B", help="the later one")
    comparing.set_defaults(run=diff)


def run(options: argparse.Namespace) -> int:
    """Run the matrix; returns 1 if the gate fails, or if too little was judged."""
    if options.list and options.out is not None:
        what = "--list writes nothing, and --out names a folder to create"
        raise UsageError(what, where=f"--list --out {options.out}", hint="leave out one or the other")
    with refusing():
        chosen = cases.runs(cases.load(options.cases), options.only)
    if options.list:
        print("\n".join(each.id for each in chosen))
        return 0
    given = read_from(options)
    choice = ClusterChoice.of(given, options.attach, trust=options.trust)
    manifests = check_deployment(given, choice).without_way_in()
    out = options.out or REPORTS / f"parity-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{os.getpid()}"
    check_reports(out, "--out")
    _check_free(out)
    folder = options.cases.resolve()
    settings = {
        **record(given),
        **manifests.not_the_storys,
        "attach": choice.attach.value,
        "trust": check_trust(choice, manifests),
        CASES: str(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder),
        "only": options.only,
    }
    with recording(out, began("parity", choice.cluster.value, settings)) as evidence:
        whole = not options.only and options.cases == cases.FOLDER
        _record(evidence, manifests, *_observe(chosen, choice, manifests, evidence), whole=whole)
        found = matrix_of(evidence.so_far())
    page.save(found, evidence.dir)
    seal(evidence.dir)
    print("\n".join(lines(found)))
    print(f"report: {evidence.dir / page.PAGE}")
    verdict = verdict_on(found)
    if verdict.value is Value.PASSED:
        return 0
    print(f"not passed: {verdict.reason}")
    return 1


def _check_free(out: Path) -> None:
    """See that no run is in the folder: evidence is of one run alone.

    Raises:
        UsageError: one is.
    """
    if there := [name for name in (FILE, page.FILE) if (out / name).exists()]:
        raise UsageError(f"a run's {there[0]} is there already", where=f"--out {out}", hint="name another folder")


def _observe(
    chosen: list[cases.Run], choice: ClusterChoice, manifests: StoryManifests, evidence: Evidence
) -> tuple[list[Observation], float]:
    """Ask both sides every call; gives what was seen, and how many seconds the asking took."""
    with ExitStack() as stack:
        cluster = stack.enter_context(closing(choice.open_cluster(manifests.images)))
        record_cluster(evidence, cluster)
        deployed = Deployment(cluster, manifests, evidence)
        deployed.apply(deployment.backend(manifests))
        pods = {"chat": RecorderPod(deployed.gateway, deployed.backend)}
        if any(run.case.backend == "embeddings" for run in chosen):
            deployed.apply(deployment.embeddings_backend(manifests))
            pods["embeddings"] = RecorderPod(deployed.gateway, deployment.embeddings_workload(manifests))
        routes = routes_for(chosen)
        progress("deploy", "vLLM, LiteLLM, and a LiteLLM without the settings that avoid its known faults")
        for pod in pods.values():
            for manifest in pod.manifests(manifests.gateway_image, manifests.settings.allowed_nodes):
                deployed.kube.apply(manifest, deployed.namespace)
        route_urls = {name: pod.route_url for name, pod in pods.items()}
        deployed.apply(deployment.gateway(manifests, route_urls, routes))
        bare, applied = deployment.bare_gateway(manifests, route_urls, routes)
        deployed.apply(applied)
        deployed.wait_for_gateway()
        deployed.wait_for_gateway(bare)
        deployed.wait_for_backend()
        if "embeddings" in pods:
            second = pods["embeddings"].backend
            deployed.kube.wait_until_available(second.namespace, second.name, timeouts.BACKEND_READY, second.kind)
        backends = {
            name: Backend(
                cluster.service_url(pod.backend.namespace, pod.backend.service, pod.backend.port),
                stack.enter_context(pod.answering(deployed)),
                deployment.NAMED[name],
            )
            for name, pod in pods.items()
        }
        gateways = {
            "story": deployed.answering_gateway().url,
            "defaults": deployed.answering_gateway(bare).url,
        }
        progress("parity", f"{len(chosen)} runs")
        started = time.monotonic()
        given = deployed.keys.given
        own = {"story": given[GATEWAY]} if GATEWAY in given else {}
        model = manifests.settings.model
        sides = Sides(backends, gateways, model, routes, keys=own, backend_key=given.get(BACKEND, KEY))
        return sides.observe(chosen, _tell), time.monotonic() - started


def _record(
    evidence: Evidence, manifests: StoryManifests, observed: list[Observation], seconds: float, *, whole: bool
) -> None:
    image = manifests.gateway_image
    evidence.add(
        ParityMatrix(
            calls_file=calls.write(observed, evidence.dir / "calls.json"),
            version=version_of(observed, image),
            image=image,
            seconds=round(seconds, 1),
            whole=whole,
        )
    )


def _tell(done: int, every: int) -> None:
    if done % 50 == 0 or done == every:
        progress("parity", f"{done} of {every} runs")


def diff(options: argparse.Namespace) -> int:
    """Print what changed between two matrices; returns 1 if something is newly broken."""
    with refusing():
        before, after = read(options.before), read(options.after)
    found = changes(before, after)
    print(f"LiteLLM {before['litellm']['version']} -> {after['litellm']['version']}")
    for folder, matrix in ((options.before, before), (options.after, after)):
        for each in not_the_storys(matrix.get("not_the_storys", {})):
            print(f"{folder}: {each.as_line}")
    for change in found:
        print(f"{change.word:17} {change.run}: {change.before or '-'} -> {change.after or '-'}")
        print(
            "\n".join(f"  {sign} {path}" for sign, paths in (("+", change.came), ("-", change.went)) for path in paths)
        )
    print("\n".join(_causes(found)))
    words = Counter(change.word for change in found)
    print(", ".join(f"{count} {word}" for word, count in words.items()) or "nothing changed")
    return 1 if words["newly broken"] else 0


def _causes(found: list[Change]) -> Iterator[str]:
    """What the changes have in common: the paths that came and went in most runs."""
    for sign, paths in (("+", [p for c in found for p in c.came]), ("-", [p for c in found for p in c.went])):
        for path, count in Counter(paths).most_common(_WORST_SHOWN):
            yield f"{sign} {path} in {count} run{'s' if count > 1 else ''}"


def lines(found: Matrix) -> Iterator[str]:
    """The terminal's short table."""
    short = {Class.RELOCATED.value: "relocated"}
    families: dict[str, Counter[str]] = {}
    for each in found["runs"]:
        families.setdefault(each["family"], Counter())[each["class"]] += 1
    names = [each.value for each in Class]
    yield " ".join([f"{'family':13}", *(f"{short.get(name, name):>12}" for name in names)])
    for family, counted in families.items():
        yield " ".join([f"{family:13}", *(f"{counted[name] or '':>12}" for name in names)])
    yield " ".join([f"{'all':13}", *(f"{found['summary'][name]:>12}" for name in names)])
    yield ""
    for name, entry in found["known"].items():
        if entry["class"] == "defect":
            issues = " ".join("#" + link.rpartition("/")[2] for link in entry["issues"])
            yield f"known {name} ({len(entry['runs'])} runs{', ' + issues if issues else ''}): {entry['reason']}"
    unknown = Counter(
        f"{d['kind']} {d['path']}" for each in found["runs"] for d in each["differences"]
        if d["class"] == Class.DEFECT.value and not d["known"]
    )  # fmt: skip
    for path, count in unknown.most_common(_WORST_SHOWN):
        yield f"NEW   {path} ({count} times): no entry of known.yaml explains it"
    for name in found["fixed"]:
        yield f"fixed {name}: no run shows it any more; take it out of known.yaml, or end its `versions`"
    for failure in found["gate"]["failures"]:
        yield f"gate  {failure['rule']}: {failure['run']} at {failure['path']}"
    word = "passed" if found["gate"]["passed"] else f"failed ({len(found['gate']['failures'])})"
    yield ""
    differing = not_the_storys(found.get("not_the_storys", {}))
    yield from (each.as_line for each in differing)
    told = f"LiteLLM {found['litellm']['version']}: {len(found['runs'])} runs in {found['seconds']:.0f} s; gate {word}"
    yield headline(told, differing)
