"""A secret that was read is in nothing that the suite writes; each writer would write it if it were not known."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace as Of

import pytest

from signoff.bdd.plugin import _scrub
from signoff.cli import main
from signoff.cluster import embedded, kind
from signoff.cluster.kind import tools
from signoff.core import redact, whole
from signoff.core.console import progress
from signoff.core.errors import SignoffError, told
from signoff.evidence import Evidence
from signoff.evidence.models import Applied, Note, Run
from signoff.gateway import key
from signoff.kube import loading, secrets
from signoff.kube.diagnostics import Snapshot, collect, render
from signoff.kube.gateway_config import Configuration
from signoff.kube.variables import of_container
from signoff.parity import calls, cases
from signoff.parity.exchange import Exchange
from signoff.parity.runner import Observation
from signoff.traffic import timings_csv
from signoff.traffic.keys import Keys
from signoff.traffic.pairs import Timing
from tests.load.test_resource_sampler import Cluster, event, pod, sampling

OF_A_SECRET, OF_A_FILE, OF_THE_CONFIG, GIVEN = (f"hush-hush-{number}" for number in range(4))
HUSH = (OF_A_SECRET, OF_A_FILE, OF_THE_CONFIG, GIVEN)
SAID = f"Bearer {OF_A_SECRET}, {OF_A_FILE}! ({OF_THE_CONFIG}) x{GIVEN}x"
MANIFESTS = f"""
apiVersion: v1
kind: Secret
metadata: {{name: litellm-secrets}}
stringData: {{whatever: {OF_A_SECRET}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config}}
data:
  config.yaml: |
    general_settings: {{master_key: {OF_THE_CONFIG}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: litellm}}
spec: {{template: {{spec: {{containers: [{{name: litellm, image: litellm}}]}}}}}}
"""

Writer = Callable[[Path, pytest.MonkeyPatch], None]


def a_run(folder: Path) -> Evidence:
    return Evidence(folder / "run", Run(tool="serve", argv=["--x", SAID], commit="", dirty=False))


def evidence(folder: Path, _: pytest.MonkeyPatch) -> None:
    a_run(folder).add(Note(text=SAID))


def applied(folder: Path, _: pytest.MonkeyPatch) -> None:
    for each in loading.read(folder.parent / "all.yaml"):
        record = Applied(file=SAID, sha256=each.sha256, object=each.name, object_sha256=each.object_sha256)
        a_run(folder / each.body["kind"]).add(record)
        print(each, each.sha256, each.object_sha256)


def calls_of_parity(folder: Path, _: pytest.MonkeyPatch) -> None:
    (run,) = cases.runs(cases.load(cases.FOLDER), ["chat.plain/plain/openai"])
    exchange = Exchange({"body": SAID}, 401, {"x-why": SAID}, SAID, (SAID,), SAID)
    calls.write([Observation(run, {}, exchange, exchange, exchange, None)], folder / "calls.json")


def timings(folder: Path, _: pytest.MonkeyPatch) -> None:
    with timings_csv.writing(folder / "timings.csv") as write:
        write(Timing(0, 0, "proxied", 0.0, 1.0, error=f"status 401: {SAID}"))


def page(folder: Path, _: pytest.MonkeyPatch) -> None:
    whole.put(folder / "page.html", f"<p>{SAID}</p>")


def line_of_progress(_: Path, __: pytest.MonkeyPatch) -> None:
    progress("deploy", SAID)


def error_of_the_suite(_: Path, __: pytest.MonkeyPatch) -> None:
    error = SignoffError(SAID, where=SAID, hint=SAID)
    print(error, error.what, error.where, error.hint)


def error_of_anybody(_: Path, __: pytest.MonkeyPatch) -> None:
    error = ValueError(SAID)
    error.add_note(SAID)
    print(told(error))


def bundle(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "bundle").write_text(render(Snapshot(logs={("pod", "container", False): SAID}, unread=[SAID])))


def bundle_of_a_dead_cluster(folder: Path, _: pytest.MonkeyPatch) -> None:
    text = collect(None, "ml", ValueError(SAID), SignoffError("gone"))  # type: ignore[arg-type]
    (folder / "bundle").write_text(text)


def logs_of_embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "logs").mkdir()
    (folder.parent / "logs" / "agent.log").write_text(SAID)
    monkeypatch.setattr(embedded, "logs_of", lambda _: folder.parent / "logs")
    embedded.EmbeddedCluster.export_logs(Of(dir=folder), folder / "cluster-logs")  # type: ignore[arg-type]


def logs_of_kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: str) -> None:
        (folder / "cluster-logs").mkdir()
        (folder / "cluster-logs" / "kubelet.log").write_bytes(b"\xff" + SAID.encode())

    monkeypatch.setattr(tools, "run_kind", export)
    kind.KindCluster.export_logs(Of(_kind="kind", name="k"), folder / "cluster-logs")  # type: ignore[arg-type]


def events_of_pods(folder: Path, _: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.pods = [pod("proxy-0")]
    cluster.events = [Of(**{**vars(event("Failed", 1)), "message": SAID})]
    with (folder / "samples.csv").open("w") as file:
        csv.writer(file).writerows(asdict(each).values() for each in sampling(cluster).look())


def report_of_pytest(folder: Path, _: pytest.MonkeyPatch) -> None:
    failed = pytest.TestReport("x", ("x", 1, "x"), {}, "failed", SAID, "call", [("Captured stdout call", SAID)])
    skipped = pytest.TestReport("x", ("x", 1, "x"), {}, "skipped", ("x", 1, SAID), "call")
    for each in (failed, skipped):
        _scrub(each)
        print(each.longrepr, each.sections)


WRITERS: list[Writer] = [
    evidence,
    applied,
    calls_of_parity,
    timings,
    page,
    line_of_progress,
    error_of_the_suite,
    error_of_anybody,
    bundle,
    bundle_of_a_dead_cluster,
    logs_of_embedded,
    logs_of_kind,
    events_of_pods,
    report_of_pytest,
]


def seed(folder: Path) -> None:
    """Have the suite read a secret in each way in which it may be given one."""
    (folder / "all.yaml").write_text(MANIFESTS)
    (folder / "given.env").write_text(f"whatever={OF_A_FILE}\n")
    found = [*loading.read(folder / "all.yaml"), *secrets.read({"given": folder / "given.env"}, "ml")]
    named = {each.name: each for each in found}
    environment = of_container(named["Deployment/litellm"], "", found)
    master = key.find(Configuration(named["ConfigMap/config"], "config.yaml", environment))
    print(found, master, Keys(gateway=GIVEN))


def written(folder: Path, printed: pytest.CaptureFixture[str]) -> bytes:
    """Every byte of the folder, file names too, and of both outputs."""
    output = "".join(printed.readouterr())
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(
        [output.encode(), *(str(path).encode() for path in files), *(path.read_bytes() for path in files)]
    )


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_no_writer_writes_a_secret(
    write: Writer, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    seed(tmp_path)
    write(tmp_path / "out", monkeypatch)
    found = written(tmp_path / "out", capfd)
    assert b"[redacted]" in found
    assert [hush for hush in HUSH if hush.encode() in found] == []


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_each_writer_would_write_a_secret_that_nobody_knows(
    write: Writer, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    seed(tmp_path)
    capfd.readouterr()
    monkeypatch.setattr(redact.Known, "scrubbed", lambda _, text: text)
    write(tmp_path / "out", monkeypatch)
    found = written(tmp_path / "out", capfd)
    assert [hush for hush in HUSH[1:] if hush.encode() not in found] == []


def test_what_is_read_shows_no_secret_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seed(tmp_path)
    assert [hush for hush in HUSH if hush in "".join(capfd.readouterr())] == []


def test_no_command_line_of_a_child_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor of a child of a child: `signoff load` has Locust look at what is meant for it."""
    monkeypatch.setenv("SIGNOFF_API_KEY", GIVEN)
    seen, over = set[bytes](), Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.update(command_lines(os.getpid()))

    looking = Thread(target=look)
    looking.start()
    try:
        assert main(["load", "--print", "--", "-t", "5s"]) == 0
    finally:
        over.set()
        looking.join()
    assert any(b"signoff.load.asked" in each for each in seen)
    assert not any(GIVEN.encode() in each for each in seen)


def command_lines(pid: int | str) -> Iterator[bytes]:
    """Those of a process and of all below it."""
    with suppress(OSError):  # it has ended
        yield Path(f"/proc/{pid}/cmdline").read_bytes()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text(encoding="utf-8").split():
                yield from command_lines(child)
