"""What `signoff load` puts into a cluster, and how it collects a load's files from Locust's page."""

import argparse
import errno
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.synthetic_load import Synthetic
from signoff import cli
from signoff.cluster import registry
from signoff.commands.verify import verify
from signoff.core import timeouts
from signoff.core.errors import REFUSED, SignoffError
from signoff.core.paths import ROOT
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.evidence import FILE, Evidence
from signoff.evidence import models as evidence
from signoff.evidence.chain import Chain
from signoff.evidence.integrity import breaks
from signoff.in_cluster.load_generator import files
from signoff.in_cluster.load_generator.records import Record, Role
from signoff.in_cluster.load_generator.rollup import RotatingRecords, roll_up
from signoff.in_cluster.load_generator.run import Sample
from signoff.kube import shipping
from signoff.kube.manifests import StoryManifests
from signoff.load import distributed
from signoff.load.distributed import CODE, LOCUSTFILE, MASTER, WORKER, Collector, manifests
from signoff.load.reading import check_files, read_run
from signoff.load.records import read_records
from signoff.traffic.keys import Keys
from tests.labs.lab import HERE, chosen
from tests.load.test_resource_sampler import THEIRS, Cluster, pod, sampling
from tests.pair import Pair

_AS_IN_A_POD = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"httpx", "pandas", "numpy", "kubernetes", "yaml", "aiohttp", "pydantic"}:
            raise ModuleNotFoundError(f"Locust's image has no {name}", name=name)
sys.meta_path.insert(0, Refuse())
"""
_IMPORT = f"""
import importlib.util
{_AS_IN_A_POD}
sys.path.insert(0, sys.argv[1])
spec = importlib.util.spec_from_file_location("locustfile", sys.argv[1] + "/bench/locustfile.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "signoff"))
"""

MODULES = shipping.modules(LOCUSTFILE)
SOON = Timeout(60, every=0.01)


def options(**more: object) -> argparse.Namespace:
    default = {"workers": 3, "locust": [], "lengths": None, "image": None}
    return argparse.Namespace(**{**default, **more})


def ship(folder: Path) -> None:
    """Put the modules there, as the ConfigMap's volume does."""
    for module in MODULES:
        (folder / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / module, folder / module)


UNDER_LOAD = StoryManifests.read()


def test_locust_stands_beside_what_is_under_load_and_asks_it_by_its_names() -> None:
    roles = UNDER_LOAD.roles
    gateway = replace(roles.gateway, namespace="ai", service="router", port=80)
    model = replace(roles.model, asked="big")
    other = replace(UNDER_LOAD, roles=replace(roles, gateway=gateway, model=model))
    found = manifests(options(), other, Keys("sk-of-litellm"))
    assert {each.body["metadata"]["namespace"] for each in found} == {"ai"}
    (master,) = (each.body for each in found if each.name == f"Deployment/{MASTER}")
    arguments = master["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [each for each in arguments if each.startswith(("--host", "--direct", "--model", "--direct-model"))] == [
        "--host=http://router.ai.svc.cluster.local:80",
        "--direct=http://vllm-api.ml.svc.cluster.local:8000",
        "--model=big",
        f"--direct-model={UNDER_LOAD.settings.model}",
    ]


def test_locust_finds_its_master_and_its_nodes_whatever_things_are_called() -> None:
    lab = chosen(HERE / "home_lab").manifests
    lab = replace(lab, settings=lab.settings.model_copy(update={"allowed_nodes": ("nuc-1", "nuc-2")}))
    found = manifests(options(), lab)
    workloads = [each.body for each in found if each.body["kind"] == "Deployment"]
    assert len(workloads) == 2
    for body in workloads:
        told = str(body["spec"]["template"]["spec"])
        assert "['nuc-1', 'nuc-2']" in told and str(dict(lab.roles.gateway.selector)) in told
        assert "k3s-" not in told and ".ml.svc" not in told
    worker = next(each for each in workloads if each["metadata"]["name"] == WORKER)
    arguments = worker["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--master-host=locust-master.attic.svc.cluster.local" in arguments


def test_the_pods_have_the_keys_by_reference_to_a_secret() -> None:
    keys = Keys("sk-of-litellm", "sk-of-vllm")
    secret, *others = manifests(options(), UNDER_LOAD, keys)
    assert (secret.name, secret.body["stringData"]) == (f"Secret/{distributed.KEYS}", keys.given)
    for each in others:
        assert "sk-of" not in str(each.body)
    for name in (MASTER, WORKER):
        (body,) = (each.body for each in others if each.name == f"Deployment/{name}")
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert {each["name"] for each in container["env"] if "valueFrom" in each} == set(keys.given)
    assert not any(
        each.body["kind"] == "Secret" or "secretKeyRef" in str(each.body) for each in manifests(options(), UNDER_LOAD)
    )


def test_what_would_be_applied_is_printed_without_the_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_API_KEY", "sk-of-litellm")
    assert cli.main(["load", "--print"]) == 0
    printed = capsys.readouterr()
    assert "key: SIGNOFF_API_KEY" in printed.out
    assert f"create secret generic {distributed.KEYS} --from-env-file=FILE" in printed.err
    assert "sk-of" not in printed.out + printed.err


def test_a_key_behind_the_dashes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["load", "--print", "--", "--api-key", "sk-hush"]) == REFUSED
    assert "sk-hush" not in capsys.readouterr().err


def test_a_pod_can_fold_with_what_it_carries(tmp_path: Path) -> None:
    ship(tmp_path / "code")
    folder = Synthetic().write(tmp_path / "load-there")
    fold = [
        sys.executable,
        "-S",
        "-m",
        "signoff.in_cluster.load_generator.rollup",
        "1000",
        str(folder / "records-local.csv"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}  # and -S: without any installed package
    done = subprocess.run(fold, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"minutes-local.csv", "probes-local.csv"} <= set(files.sizes(folder))
    assert "records-local.csv" not in files.sizes(folder)


@pytest.mark.locust
def test_the_code_in_the_pods_is_what_the_locustfile_imports(tmp_path: Path) -> None:
    ship(tmp_path)
    done = subprocess.run([sys.executable, "-c", _IMPORT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shipped = {module.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for module in MODULES}
    assert set(done.stdout.split()) == {name for name in shipped if name.startswith("signoff")}


@pytest.mark.locust
def test_a_load_of_what_a_pod_has_leaves_evidence_that_verifies(pair: Pair, tmp_path: Path) -> None:
    code, reports = tmp_path / "code", tmp_path / "reports"
    ship(code)
    (code / "sitecustomize.py").write_text(_AS_IN_A_POD)
    where = ["--proxied", pair.proxied, "--direct", pair.direct, "--reports", str(reports)]
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(code / "bench/locustfile.py"), "--headless", "-t", "6s", *where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = reports.iterdir()
    run = read_run(folder)
    assert run.ended and run.workers == ["local"] and [step.name for step in run.steps] == ["users=4"]
    assert check_files(folder)
    assert list(verify(folder)) == []


def test_what_is_applied_follows_the_command_line(tmp_path: Path) -> None:
    lengths = tmp_path / "mine.csv"
    lengths.write_text("prompt_tokens,answer_tokens\n10,3\n")
    found = manifests(
        options(workers=5, locust=["--rate", "20", "-t", "9s"], lengths=lengths, image="my/locust:1"), UNDER_LOAD
    )
    bodies = {each.body["metadata"]["name"]: each.body for each in found if each.body["kind"] != "Service"}
    assert bodies[WORKER]["spec"]["replicas"] == 5
    containers = {name: bodies[name]["spec"]["template"]["spec"]["containers"][0] for name in (MASTER, WORKER)}
    assert {each["image"] for each in containers.values()} == {"my/locust:1"}
    arguments = containers[MASTER]["args"]
    assert arguments[arguments.index("--rate") : arguments.index("--rate") + 4] == ["--rate", "20", "-t", "9s"]
    assert {"--autostart", "--expect-workers=5", "--lengths=/code/lengths.csv"} <= set(arguments)
    assert bodies[CODE]["data"]["lengths.csv"] == lengths.read_text()
    for name in (MASTER, WORKER):
        items = bodies[name]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"]
        assert {each["key"] for each in items} == set(bodies[CODE]["data"])
        assert {each["path"] for each in items} == {*MODULES, "lengths.csv"}


@pytest.mark.parametrize(
    ("locust", "gets"),
    [
        ([], True),
        (["--shape", "steady"], True),
        (["--shape=steady"], True),
        (["--shape", "sweep-rate"], False),
        (["--shape=ramp"], False),
        (["--shape", "steady", "-t9s"], False),
    ],
)
def test_a_load_without_an_end_gets_one(locust: list[str], gets: bool) -> None:
    found = manifests(options(locust=locust), UNDER_LOAD)
    master = next(each.body for each in found if each.body["metadata"]["name"] == MASTER)
    assert ("-t" in master["spec"]["template"]["spec"]["containers"][0]["args"]) is gets


@pytest.mark.locust
def test_the_options_of_the_locustfile_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["load", "--options"]) == 0
    told = capfd.readouterr().out
    for option in ("--proxied", "--shape", "--rate", "--lengths", "--keep-records", "SIGNOFF_DIRECT"):
        assert option in told


@pytest.mark.locust
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--workers", "0"], 4, "--workers 0"),
        (["--lengths", "/no/such/file.csv"], 4, "the lengths cannot be read"),
        (["--reports", os.devnull], 4, f"{os.devnull} is no folder"),
        (["--manifests", "/no/such/folder"], 4, "the folder of manifests is not there\n  where: /no/such/folder"),
        (["--image", "example.test/none:1"], 4, "where: --image example.test/none:1"),
        (["--cluster", "existing"], 4, "where: --cluster existing"),
        (["--attach", "nobody"], 4, "no embedded cluster is running there\n  where: --attach nobody"),
        (["--", "--rate", "0"], 4, "--rate must be a number above 0"),
        (["--", "--stages", "1,2"], 4, "--stages belongs to a shape"),
        (["--", "--lengths", "mine.csv"], 4, "mine.csv"),
        (["--", "--headless"], 4, "--headless cannot be given to Locust's pods"),
        (["--", "--help"], 4, "an option there only prints something"),
        (["--", "Nobody"], 4, "there is no user class Nobody"),
        (["--", "--nothing"], 2, "locust: error: unrecognized arguments: --nothing"),
    ],
)
def test_what_is_asked_wrongly_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: list[str], status: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "open_cluster", None)
    assert cli.main(["load", "--reports", str(tmp_path / "reports"), *arguments]) == status
    told = capfd.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


@pytest.mark.locust
def test_an_option_for_the_pods_is_no_option_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGNOFF_DIRECT", "nowhere")
    arguments = [
        "load",
        "--print",
        "--reports",
        str(tmp_path),
        "--",
        "--shape",
        "sweep-rate",
        "--stages",
        "1,2",
        "Whole",
    ]
    assert cli.main(arguments) == 0
    assert "--stages" in capfd.readouterr().out


@contextmanager
def locust_with_a_page(pair: Pair, there: Path, *arguments: str, max_bytes: int = -1) -> Iterator[httpx.Client]:
    """A load that starts by itself; no file of it may grow beyond `max_bytes`."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    where = ["--proxied", pair.proxied, "--direct", pair.direct, "--reports", str(there)]
    page = ["--web-host", "127.0.0.1", "--web-port", str(port), "--autostart"]
    locust = subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", "bench/", *where, *page, *arguments],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes)),
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        locust.terminate()
        locust.wait()


def ended_well(here: Path, collector: Collector) -> bool:
    """Whether the load was not cut short; a busy machine may make its figures invalid."""
    return distributed.concluded(here, collector.error) == bool(read_run(here).invalid_steps())


def collecting(client: httpx.Client, folder: Path) -> Collector:
    return Collector(client, Evidence(folder, evidence.Run(tool="load")))


@pytest.mark.locust
def test_a_load_is_collected_from_locusts_page_while_it_grows(pair: Pair, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    with locust_with_a_page(pair, there, "-t", "4s") as client:
        collector = collecting(client, here)
        collector.until_ended()
        for outside in (f"{files.PATH}/..%2F..%2Fsecret", f"{files.PATH}/.{FILE}", f"{files.PATH}/none"):
            assert client.get(outside).status_code == 404
        distributed.complete(collector.evidence, {"vllm_image": "vllm:1"})
    assert collector.error == ""
    assert ended_well(here, collector)
    (original,) = there.iterdir()
    assert collector.run == original.name
    told, kept = read_run(here), read_run(original)
    assert told.ended and told.versions.pop("vllm_image") == "vllm:1"
    assert told == kept
    assert (here / "records-local.csv").read_bytes() == (original / "records-local.csv").read_bytes()
    assert len(read_records(here)) > 0
    assert check_files(here) and check_files(original)
    assert list(breaks((here / FILE).read_bytes())) == []
    assert list(verify(original)) == []


@pytest.mark.locust
def test_locusts_page_offers_the_model_of_the_settings(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it offers it sends back when somebody starts a load there."""
    monkeypatch.setenv("SIGNOFF_MODEL", "another")
    with locust_with_a_page(pair, tmp_path, "-t", "60s") as client:

        def look() -> str:
            try:
                return client.get("/").raise_for_status().text
            except httpx.HTTPError as error:
                raise NotYet(str(error)) from None

        page = eventually("Locust's page", Timeout(50), look)
    for option in ("model", "direct_model"):
        assert re.search(rf'"{option}": {{[^}}]*"default_value": "another"', page), option


@pytest.mark.locust
def test_a_load_is_not_taken_for_ended_before_it_has_begun(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine there are seconds between the folder of a load and its first line, in which git is asked."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 1.2\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    with locust_with_a_page(pair, tmp_path / "there", "-t", "6s") as client:
        collector = collecting(client, tmp_path / "here")
        collector.until_ended()
        distributed.complete(collector.evidence, {})
    assert ended_well(tmp_path / "here", collector)


@pytest.mark.locust
def test_a_load_that_broke_off_on_a_full_disk_is_told_with_its_reason(pair: Pair, tmp_path: Path) -> None:
    with locust_with_a_page(pair, tmp_path / "there", "-t", "50s", "--think", "0", max_bytes=30_000) as client:
        collector = collecting(client, tmp_path / "here")
        collector.until_ended()
    assert os.strerror(errno.EFBIG) in collector.error
    with pytest.raises(SignoffError, match="the load was cut short: locust-master cannot write its records"):
        distributed.concluded(tmp_path / "here", collector.error)
    assert len(read_records(tmp_path / "here")) > 10


class Page:
    """Stands in for the master's page: a folder there, whose files a test can let go at any moment."""

    def __init__(self, folder: Path, state: str = "stopped") -> None:
        self.folder, self.state = folder, state
        self.before_a_file: Callable[[], None] = lambda: None

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://master", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/stats/requests":
            told = {"state": self.state, "user_count": 0, "stats": [], "total_rps": 0.0, "fail_ratio": 0.0}
            return httpx.Response(200, json=told)
        if request.url.path == files.PATH:
            ended = read_run(self.folder).ended is not None
            listed = {"run": self.folder.name, "files": files.sizes(self.folder), "ended": ended, "error": ""}
            return httpx.Response(200, json=listed)
        self.before_a_file()
        path = self.folder / request.url.path.rpartition("/")[2]
        if not path.exists():
            return httpx.Response(404)
        return httpx.Response(200, content=path.read_bytes()[int(request.url.params.get("from", 0)) :])


def record(number: int, worker: str) -> Record:
    at = 1_800_000_000.0 + number
    role: Role = "probe" if number % 2 else "load"
    return Record(worker, "U", role, "proxied", True, "rate=2", number, at, at, 40.0, 20.0, 1.0, 16, 200, 200, "")


def test_a_copy_of_a_long_load_is_as_bounded_as_the_original(tmp_path: Path) -> None:
    there, here = tmp_path / "load-there", tmp_path / "here"
    Synthetic().write(there)
    (there / "records-local.csv").unlink()
    collector = collecting(Page(there).client(), here)
    most = 0
    with closing(RotatingRecords(there, keep=100, files=2)) as kept:
        for number in range(600):
            kept.write(record(number, f"worker-{number % 3}"))
            if kept._rollup:
                kept._rollup.wait()
            if number % 40 == 0:
                collector.copy()
                most = max(most, len(list(here.glob("records-*.csv"))))
    collector.copy()
    assert most <= 2 + 3
    assert {path.name: path.read_bytes() for path in here.glob("*.csv")} == {
        path.name: path.read_bytes() for path in there.glob("*.csv")
    }


def test_what_is_folded_while_it_is_collected_is_neither_lost_nor_waited_for(tmp_path: Path) -> None:
    there = Synthetic().write(tmp_path / "load-there")
    page = Page(there)
    page.before_a_file = lambda: (
        roll_up(there / "records-local.csv") if (there / "records-local.csv").exists() else None
    )
    collector = collecting(page.client(), tmp_path / "here")
    collector.copy()
    assert not ((tmp_path / "here") / "records-local.csv").exists()
    collector.copy()
    assert len(read_records(tmp_path / "here")) == len(read_records(there))
    assert ((tmp_path / "here") / "minutes-local.csv").read_bytes() == (there / "minutes-local.csv").read_bytes()


def test_a_master_that_stopped_without_saying_so_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "LOAD_ENDS", SOON)
    there = Synthetic(ended=False).write(tmp_path / "load-there")
    collector = collecting(Page(there).client(), tmp_path / "here")
    collector.until_ended()
    assert len(read_records(tmp_path / "here")) == len(read_records(there))
    with pytest.raises(SignoffError, match="Locust stopped without saying that the load had ended"):
        distributed.concluded(tmp_path / "here", collector.error)


def test_a_master_that_never_stops_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "LOAD_ENDS", SOON)
    monkeypatch.setattr(timeouts, "LOCUST_STOPS", Timeout(0.05))
    there = Synthetic(ended=False).write(tmp_path / "load-there")
    collector = collecting(Page(there, state="stopping").client(), tmp_path / "here")
    collector.until_ended()
    with pytest.raises(SignoffError, match="has been stopping for"):
        distributed.concluded(tmp_path / "here", collector.error)


def test_a_disk_that_is_full_here_leaves_what_was_collected_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = Synthetic(ended=False).write(tmp_path / "load-there"), tmp_path / "here"
    collector = collecting(Page(there).client(), here)
    collector.copy()
    run, records = read_run(here), len(read_records(here))
    grow(there)
    monkeypatch.setattr(Path, "open", full_for("records-local.csv", lambda: True))
    with pytest.raises(SignoffError) as told:
        collector.copy()
    assert os.strerror(errno.ENOSPC) in told.value.what
    assert told.value.where == str(here)
    assert "make room" in told.value.hint
    assert (read_run(here), len(read_records(here))) == (run, records)


def test_what_could_not_be_written_is_collected_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timeouts, "LOAD_ENDS", SOON)
    there, here = Synthetic(ended=False).write(tmp_path / "load-there"), tmp_path / "here"
    page, failures = Page(there, state="running"), [0]

    def full_twice() -> bool:
        failures[0] += 1
        if failures[0] > 2:
            page.state = "stopped"
        return failures[0] <= 2

    collector = collecting(page.client(), here)
    monkeypatch.setattr(Path, "open", full_for("records-local.csv", full_twice))
    collector.until_ended()
    assert capfd.readouterr().err.count("make room") == 1
    assert read_run(here) == read_run(there)
    assert len(read_records(here)) == len(read_records(there))


def grow(folder: Path) -> None:
    """Let the master's records grow by one."""
    lines = (folder / "records-local.csv").read_bytes().splitlines(keepends=True)
    (folder / "records-local.csv").write_bytes(b"".join([*lines, lines[-1]]))


def full_for(name: str, full: Callable[[], bool]) -> Any:
    """Opens as ever, but for adding to files of this name, as long as it is `full`."""
    opened = Path.open

    def maybe_open(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if path.name == name and mode == "ab" and full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *arguments, **named)

    return maybe_open


def test_evidence_that_cannot_be_written_is_taken_over_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = Synthetic(ended=False).write(tmp_path / "load-there"), tmp_path / "here"
    collector, append, left = collecting(Page(there).client(), here), Chain.append, [2]

    def full_soon(chain: Chain, record: Any, scenario: str = "") -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(chain, record, scenario)

    with monkeypatch.context() as patched:
        patched.setattr(Chain, "append", full_soon)
        with pytest.raises(SignoffError, match="evidence cannot be written"):
            collector.copy()
    collector.copy()
    assert read_run(here) == read_run(there)
    assert list(breaks((here / FILE).read_bytes())) == []


def test_a_master_that_restarts_breaks_the_load_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "LOAD_ENDS", SOON)
    page = Page(Synthetic(ended=False).write(tmp_path / "load-there"), state="running")
    collector = collecting(page.client(), tmp_path / "here")
    collector.copy()
    page.folder = Synthetic(ended=False, seed=2).write(tmp_path / "load-another")
    collector.until_ended()
    assert read_run(tmp_path / "here").seed == 1
    with pytest.raises(SignoffError, match="the load was cut short: locust-master has begun another load"):
        distributed.concluded(tmp_path / "here", collector.error)


def test_evidence_of_the_master_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    there = Synthetic().write(tmp_path / "load-there")
    lines = (there / FILE).read_bytes().splitlines(keepends=True)
    (there / FILE).write_bytes(b"".join([*lines[:2], *lines[3:]]))
    with pytest.raises(SignoffError, match="line 3 of the evidence of locust-master does not follow"):
        collecting(Page(there).client(), tmp_path / "here").copy()


def test_a_file_that_goes_while_the_folder_is_listed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    (tmp_path / "records-local.csv").symlink_to(tmp_path / "gone")  # named by the folder, and not there when looked at
    assert files.sizes(tmp_path) == {FILE: 2}


class Pods:
    """Stands in for the pods: they are looked at as often as it says."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> list[Sample]:
        self.looks += 1
        return [Sample(1.0, "litellm-0", rss_mib=300.0)]

    def versions(self) -> dict[str, str]:
        return {}

    def wait_for(self, looks: int) -> None:
        def look() -> None:
            if self.looks < looks:
                raise NotYet(f"{self.looks} looks")

        eventually(f"{looks} looks", Timeout(30, every=0.02), look)


def test_samples_of_the_pods_are_on_disk_at_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "LOOK_EVERY_SECONDS", 0.02)
    pods = Pods()
    with distributed.sampled(pods, tmp_path):
        pods.wait_for(looks=5)
        # The fifth may not be written yet; those before it are.
        lines = (tmp_path / "samples-pods.csv").read_text().splitlines()
        assert len(lines) > 4 and lines[0].startswith("at,pod,")


class Strange(Cluster):
    """Stands in for a cluster whose nodes answer otherwise than a kubelet."""

    def kubelet_summary(self, node: str) -> Any:
        return {"kind": "Status"}


def test_a_node_that_answers_otherwise_is_told_once_and_looking_goes_on() -> None:
    cluster, notes = Strange(), list[str]()
    cluster.pods = [pod("proxy-0"), pod("model-0", THEIRS["backend"])]
    sampler = sampling(cluster, notes.append)
    assert [len(sampler.look()) for _ in range(3)] == [2, 2, 2]
    (note,) = notes
    assert "the pods on a-node cannot be read: KeyError" in note


def test_samples_that_cannot_be_written_are_told_once_and_looking_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distributed, "LOOK_EVERY_SECONDS", 0.01)
    folder, pods = tmp_path / "not-there", Pods()
    with distributed.sampled(pods, folder):
        pods.wait_for(looks=3)
        folder.mkdir()
        after = pods.looks
        pods.wait_for(looks=after + 3)
    assert len((folder / "samples-pods.csv").read_text().splitlines()) > 1
    assert capfd.readouterr().err.count("samples of the pods cannot be written") == 1
