"""Locust's distributed mode in the cluster itself, master and workers as pods of Locust's own image.

The pods run bench/locustfile.py from a ConfigMap. Workers hand their records to the master, which keeps the run's
folder and serves it at its page; this process collects it from there while the load runs, so that what was collected
outlives a kill, and watches the pods meanwhile.
"""

import argparse
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from signoff.cluster.base import Cluster
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS, writing
from signoff.core.waiting import Hopeless, NotYet, WaitFailed, eventually
from signoff.evidence import FILE, Evidence
from signoff.evidence.invalid import LOOK_EVERY_SECONDS
from signoff.evidence.models import Load, LoadFiles, LoadInvalid, LoadStep, LoadWorker, Note
from signoff.evidence.store import digest, parse
from signoff.in_cluster.load_generator import files
from signoff.in_cluster.load_generator.rollup import follow_rollup
from signoff.in_cluster.load_generator.run import POD_SAMPLES, ResourceSampler, files_of, samples_file
from signoff.kube import kustomizations, shipping
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests, load, transform
from signoff.kube.objects import Manifest, main_containers
from signoff.kube.roles import Roles
from signoff.kube.undo import Apply, Undo
from signoff.load.reading import read_run, run_of
from signoff.load.resource_sampler import PodSampler, watched
from signoff.traffic.keys import NO_KEYS, Keys

MASTER, WORKER, CODE, KEYS = "locust-master", "locust-worker", "locust-code", "locust-keys"
PAGE_PORT = 8089
IMAGE_NAME = "locustio/locust"
DEFAULT_TIME = "60s"
LOCUSTFILE = "bench.locustfile"

_LENGTHS = "lengths.csv"
_LOCUST = "locust"
_STOPPED_LOOKS = 4
"""Locust says that it has stopped before its master has written so, on a busy machine seconds before."""
_STOPPING, _STOPPED = "stopping", "stopped"
"""Locust's words. A master that cannot write, on a full disk, stops without saying so in its evidence."""
_OF_THE_LOAD = (Load, LoadStep, LoadInvalid, LoadWorker, Note)
"""What is taken over from the master's evidence; how that began and ended, and its files, this process says itself."""


def concluded(folder: Path, error: str) -> int:
    """Say what was collected into this folder; exit status 1 if the load is invalid.

    Raises:
        SignoffError: the load broke off, because of `error` or for a reason that nobody told.
    """
    told = read_run(folder)
    hidden = [span for spans in told.invalid_steps().values() for span in spans]
    for span in hidden[:3]:
        progress("load", f"INVALID ({span.worker}, {span.kind.words}, {span.looks} times), at worst: {span.reason}")
    progress("load", f"the raw records of {', '.join(sorted(told.workers))} are in {folder}")
    progress("load", f"judge them with: signoff load-report {folder}")
    if error or told.ended is None:
        raise SignoffError(
            f"the load was cut short: {error or 'Locust stopped without saying that the load had ended'}",
            where=str(folder),
            hint=f"what was recorded until then is there; is the disk of {MASTER} full, or did its pod restart?",
        )
    return 1 if hidden else 0


def manifests(options: argparse.Namespace, under_load: StoryManifests, keys: Keys = NO_KEYS) -> list[Manifest]:
    """What is applied: the code, master and workers, with this number of workers and these options for Locust.

    They are adapted from those of locust/ beside the manifests of what is under load, else from the suite's own, and
    are in its namespace. Where keys were given, they come first, in a Secret.
    """
    folder, namespace = under_load.settings.manifests[0], under_load.roles.gateway.namespace
    has_own = folder != MANIFESTS and (folder / _LOCUST).is_dir()
    own = (folder if has_own else MANIFESTS) / _LOCUST
    code, listed = _code(options.lengths, namespace), load(own)
    for name in (MASTER, WORKER):
        _check_deploys(own, listed, name)
    secret = [shipping.key_secret(Path(__file__), KEYS, namespace, keys)] if keys.given else []
    adapted = transform(listed, lambda body: _adapt(body, options, under_load, keys))
    if not has_own:
        adapted = transform(adapted, lambda body: _place(body, under_load))
    return [*secret, Manifest(Path(__file__), "", code), *adapted]


def _check_deploys(folder: Path, found: list[Manifest], name: str) -> None:
    """See that the manifests of this folder deploy what is waited for under this name."""
    deployed = (each for each in found if each.name == f"Deployment/{name}")
    if not any(main_containers(each.body) for each in deployed):
        raise SignoffError(
            f"no manifest is a Deployment called {name} with a container in it",
            where=str(kustomizations.of(folder) or folder),
            hint="add the file that holds it, or list it under `resources:`",
        )


def _adapt(body: dict[str, Any], options: argparse.Namespace, under_load: StoryManifests, keys: Keys) -> None:
    """Put an object beside what is under load, and have master and workers do what the options ask for."""
    body["metadata"]["namespace"] = under_load.roles.gateway.namespace
    if body["kind"] != "Deployment":
        return
    name, spec = body["metadata"]["name"], body["spec"]["template"]["spec"]
    for container in spec["containers"]:
        container["image"] = options.image or container["image"]
        container["env"] = [*container.get("env", []), *shipping.key_environment(KEYS, keys)]
        if name == MASTER:
            kept = _without(container["args"], "--host", "--direct")
            container["args"] = [*kept, *_targets(under_load), *_arguments(options)]
        if name == WORKER:
            host = f"--master-host={MASTER}.{under_load.roles.gateway.namespace}.svc.cluster.local"
            container["args"] = [*_without(container["args"], "--master-host"), host]
    lengths = [{"key": _LENGTHS, "path": _LENGTHS}] if options.lengths else []
    for volume in spec["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["items"] = shipping.items(_modules()) + lengths
    if name == WORKER:
        body["spec"]["replicas"] = options.workers


def _targets(under_load: StoryManifests) -> list[str]:
    """Where both arms are, and what each calls the model."""
    roles = under_load.roles
    return [
        f"--host={roles.gateway.url}",
        f"--direct={roles.backend.url}",
        f"--model={roles.model.asked}",
        f"--direct-model={under_load.settings.model}",
    ]


def _without(arguments: Sequence[str], *options: str) -> list[str]:
    return [each for each in arguments if each.partition("=")[0] not in options]


def _place(body: dict[str, Any], under_load: StoryManifests) -> None:
    """Keep the suite's own pods to the nodes where LiteLLM may run, which have the image, and off its own if possible.

    A generator beside LiteLLM would take the processor from it and measure its own doing.
    """
    if body["kind"] != "Deployment":
        return
    beside = {
        "labelSelector": {"matchLabels": dict(under_load.roles.gateway.selector)},
        "topologyKey": "kubernetes.io/hostname",
    }
    body["spec"]["template"]["spec"]["affinity"] = {
        "nodeAffinity": shipping.on_nodes(under_load.settings.allowed_nodes),
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": beside}]
        },
    }


def _arguments(options: argparse.Namespace) -> list[str]:
    """Of Locust's master."""
    arguments = list(options.locust)
    if not _ends(arguments):
        arguments += ["-t", DEFAULT_TIME]
    arguments += ["--autostart", "--class-picker", f"--expect-workers={options.workers}"]
    if options.lengths:
        arguments.append(f"--lengths=/code/{_LENGTHS}")
    return arguments


def _modules() -> tuple[str, ...]:
    return shipping.modules(LOCUSTFILE)


def _ends(arguments: Sequence[str]) -> bool:
    """Whether a load with these options for Locust ends by itself: after a time, or with the stages of a shape."""
    told = " ".join(arguments).replace("--shape=", "--shape ").split()
    shape = told[told.index("--shape") + 1 :][:1] if "--shape" in told else []
    return any(each.startswith(("-t", "--run-time")) for each in arguments) or shape not in ([], ["steady"])


def _code(lengths: Path | None, namespace: str) -> dict[str, Any]:
    """The ConfigMap that holds the modules, and a person's own lengths."""
    data = shipping.data(_modules())
    if lengths:
        try:
            data[_LENGTHS] = lengths.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SignoffError(f"the lengths cannot be read: {error}", where=str(lengths), hint="fix it") from None
    metadata = {"name": CODE, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "signoff"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@contextmanager
def applied(kube: Kube, namespace: str, wanted: list[Manifest]) -> Iterator[None]:
    """Master and workers are there, in this namespace, inside this block."""
    progress("load", "Locust's master and workers start")
    with Undo(kube) as undo:
        for manifest in wanted:
            undo.make(Apply(manifest, namespace))
        for name in (MASTER, WORKER):
            kube.wait_until_available(namespace, name, timeouts.LOCUST_READY)
        yield


def follow(cluster: Cluster, kube: Kube, roles: Roles, evidence: Evidence) -> str:
    """Collect the load's files until it has ended; says why it broke off. Ctrl-C ends the load, and then this."""
    url = cluster.service_url(roles.gateway.namespace, MASTER, PAGE_PORT)
    unobserved: list[str] = []

    def note(text: str) -> None:
        progress("load", text)
        unobserved.append(text)

    progress("load", f"Locust's page is at {url}")
    with httpx.Client(base_url=url, timeout=timeouts.REQUEST.seconds, trust_env=False) as page:
        collector = Collector(page, evidence)
        sampler = PodSampler(kube, watched(roles), note)
        with sampled(sampler, evidence.dir):
            try:
                collector.until_ended()
            except KeyboardInterrupt:
                progress("load", "stopping; what was recorded is collected")
                page.post("/stop")
                collector.until_ended()
        report = page.get("/stats/report").content
    if not collector.run:
        raise SignoffError(f"no load began: {collector.error or 'Locust stopped before'}", where=url)
    with _writing(evidence.dir):
        (evidence.dir / "locust.html").write_bytes(report)
    for text in unobserved:
        evidence.add(Note(text=text))
    complete(evidence, sampler.versions())
    return collector.error


def _writing(folder: Path) -> AbstractContextManager[None]:
    hint = "make room, or name another disk with --reports; what is there already is whole"
    return writing("what the load recorded", folder, hint)


class Collector:
    """Copies the master's growing files, and takes over what its evidence tells of the load."""

    def __init__(self, page: httpx.Client, evidence: Evidence) -> None:
        self._page, self.evidence = page, evidence
        self._taken, self._lines, self._last = 0, 0, ""
        """Bytes and lines of the master's evidence that were taken over, and the SHA-256 of the last."""
        self.run = ""
        """How the master calls its load; empty before it has one."""
        self.error = ""
        """Why the load broke off, as far as somebody told; empty if nobody did."""
        self._looks_stopped = 0
        """How often in a row Locust has said that it has stopped."""
        self._full_told = False

    def until_ended(self) -> None:
        """Copy until the load has ended, then once more; or until Locust has stopped without that.

        Raises:
            WaitFailed: the master does not answer any more.
            SignoffError: what was recorded cannot be written here, even when the load has ended. Until then that is
                told, once: the master has it all, so that there is time to make room.
        """
        try:
            eventually("the load to end", timeouts.LOAD_ENDS, self._copied_to_its_end)
        except WaitFailed as failed:
            if not failed.hopeless:
                raise
            self.error = f"Locust's master has been stopping for {timeouts.LOCUST_STOPS.seconds:.0f} s"
            self.copy()

    def _copied_to_its_end(self) -> None:
        """Copy what there is; as long as the load lasts, say how it goes."""
        stats = self._get("/stats/requests").json()
        self._looks_stopped = self._looks_stopped + 1 if stats["state"] == _STOPPED else 0
        ended = self._ended() or self._looks_stopped >= _STOPPED_LOOKS
        try:
            self.copy()
        except SignoffError as full:
            if ended or self.error:
                raise
            if not self._full_told:
                progress("load", f"{full}\nYou have until the load ends.")
            self._full_told = True
        if not (ended or self.error):
            seen = _summary(stats)
            stopping = stats["state"] == _STOPPING
            raise Hopeless(seen, grace=timeouts.LOCUST_STOPS.seconds) if stopping else NotYet(seen)

    def copy(self) -> None:
        """Fetch what is new, the lines that were added; follow what was rolled up.

        Raises:
            SignoffError: it cannot be written here, or the master's evidence is damaged.
        """
        listed = self._get(files.PATH).json()
        if listed["error"]:
            self.error = f"{MASTER} cannot write its records: {listed['error']}"
        if not listed["run"]:
            return
        if self.run and self.run != listed["run"]:
            self.error = f"{MASTER} has begun another load: its pod restarted, or somebody used its page"
            return
        self.run = listed["run"]
        folder = self.evidence.dir
        for name, size in listed["files"].items():
            if name == FILE:
                self._take_over(size)
            elif name.endswith(".csv"):
                with _writing(folder):
                    self._copy_file(folder / Path(name).name, size)
        with _writing(folder):
            follow_rollup(folder, listed["files"])

    def _copy_file(self, here: Path, size: int) -> None:
        have = here.stat().st_size if here.exists() else 0
        if have >= size:
            return
        answer = self._get(f"{files.PATH}/{here.name}?from={have}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return  # rolled up since it was listed
        with here.open("ab") as file:
            file.write(answer.content)

    def _take_over(self, size: int) -> None:
        """Read the new lines of the master's evidence, and record here what they tell of the load."""
        if size <= self._taken:
            return
        where = Path(f"{files.PATH}/{FILE}")
        *whole, _ = self._get(f"{where}?from={self._taken}").content.split(b"\n")
        for text in whole:
            line = parse(text.decode("utf-8", errors="replace"), self._lines + 1, where)
            if (line.seq, line.prev) != (self._lines, self._last):
                raise SignoffError(
                    f"line {self._lines + 1} of the evidence of {MASTER} does not follow the one before it",
                    where=str(where),
                )
            if isinstance(line.record, _OF_THE_LOAD):
                self.evidence.add(line.record)
            self._taken, self._lines, self._last = self._taken + len(text) + 1, self._lines + 1, digest(text)

    def _ended(self) -> bool:
        return bool(self._get(files.PATH).json()["ended"])

    def _get(self, path: str) -> httpx.Response:
        """The answer of the page: what was asked for, or that there is no such thing."""

        def look() -> httpx.Response:
            try:
                answer = self._page.get(path)
                if answer.status_code != httpx.codes.NOT_FOUND:
                    answer.raise_for_status()
                return answer
            except httpx.HTTPError as error:
                raise NotYet(str(error)) from None

        return eventually("Locust's master to answer", timeouts.LOCUST_ANSWERS, look)


def _summary(stats: dict[str, Any]) -> str:
    requests = sum(each["num_requests"] for each in stats["stats"] if each["name"] == "Aggregated")
    return (
        f"{stats['state']}: {stats['user_count']} users, {requests} requests, "
        f"{stats['total_rps']:.1f} per second, {stats['fail_ratio']:.1%} failed"
    )


@contextmanager
def sampled(sampler: ResourceSampler, folder: Path) -> Iterator[None]:
    """Sample the pods into the folder, from a thread inside this block.

    Samples that cannot be written are lost, which is told once: the load is worth more than they are.
    """
    over = threading.Event()

    def follow() -> None:
        told = False
        with suppress(OSError), ExitStack() as opened:  # closing writes what could not be written before
            lines = None
            while not over.wait(LOOK_EVERY_SECONDS):
                samples = sampler.look()
                try:
                    lines = lines or opened.enter_context(samples_file(folder, POD_SAMPLES))
                    lines.writerows(map(asdict, samples))
                except OSError as error:
                    if not told:
                        progress("load", f"samples of the pods cannot be written and are lost: {error}")
                    told = True

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def complete(evidence: Evidence, images: dict[str, str]) -> None:
    """Tell the images, and name the files: nothing more is written to them.

    Raises:
        SignoffError: the files cannot be read, or nothing written.
    """
    evidence.add(Load(run={"versions": run_of(evidence.so_far()).versions | images}))
    with _writing(evidence.dir):
        named = files_of(evidence.dir)
    evidence.add(LoadFiles.model_validate({"files": named}))
