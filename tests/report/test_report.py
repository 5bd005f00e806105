"""The pages show what the evidence holds, the same each time, and nothing in it can break them."""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from signoff import report
from signoff.cli import main
from signoff.core import whole
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence, read
from signoff.evidence.models import (
    Cause,
    Cluster,
    End,
    Note,
    Observation,
    Plan,
    PlannedScenario,
    Run,
    ScenarioEnd,
    SetUpFailure,
    Standing,
    Subject,
    Trio,
    Unproven,
)
from signoff.judges.run import Result, State
from signoff.overhead.measure import THROUGH_FORWARD
from signoff.verdicts import ExitStatus, Value
from tests.evidence import runs
from tests.judges import authority


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return runs.whole_run(tmp_path_factory.mktemp("reports") / "passed")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return runs.troubled_run(tmp_path_factory.mktemp("reports") / "troubled")


def page(result: Result, name: str = "signoff.html") -> str:
    return (result.evidence.folder / name).read_text(encoding="utf-8")


def words(result: Result, name: str) -> str:
    """What a person reads: without tags and marks, each space one."""
    text = page(result, name)
    if name.endswith(".html"):
        text = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL))
    text = " ".join(re.sub(r"[`*|\\]|<br>", " ", text).split())
    return re.sub(r" ([,;:)”])", r"\1", text).replace("( ", "(").replace("“ ", "“")


def terminal(result: Result) -> list[str]:
    return [line for line, _ in report.terminal_lines(result)]


both = pytest.mark.parametrize("name", report.PAGES)


# What stands on them


@both
def test_the_headline_and_the_story_stand_above_all_but_the_waivers(passed: Result, name: str) -> None:
    text = words(passed, name)
    parts = ("Waived by the person who ran it", "way-in", "Traefik is tried by hand, see ticket 12", "Story 14.1: ")
    places = [text.index(part) for part in (*parts, "What the story asks")]
    assert places == sorted(places)
    assert "Signed off; 1 check waived" in text[: places[-1]]
    assert "Story 14.1: Deploy LiteLLM Proxy with vLLM Backend" in text
    assert f"features/story.yaml, SHA-256 {passed.evidence.run.story_sha256}" in text


@both
def test_what_was_judged_stands_above_what_the_story_asks(passed: Result, name: str) -> None:
    text = words(passed, name)
    top = text[: text.index("What the story asks")]
    of_gateway, of_backend, of_model = (
        rf"{file}.yaml:\d+, {file}.yaml:\d+ " for file in ("litellm/deployment", "vllm/deployment", "litellm/configmap")
    )
    for told in (
        f"gateway Deployment/litellm behind Service/litellm, http://litellm.ml.svc.cluster.local:4000 {of_gateway}",
        f"backend Deployment/vllm behind Service/vllm-api, http://vllm-api.ml.svc.cluster.local:8000 {of_backend}",
        f"model Qwen/Qwen2.5-7B-Instruct-AWQ {of_model}",
    ):
        assert re.search(told, top), top
    assert passed.under_test is not None
    assert json.loads(page(passed, "verdict.json"))["under_test"] == passed.under_test.found


def test_evidence_that_does_not_say_what_was_judged_reads_as_before(tmp_path: Path) -> None:
    writer = runs.open_run(tmp_path / "run")
    runs.plan(writer, runs.OBSERVES)
    found = runs.finish(writer)
    assert "What was judged" not in page(found) and "under_test" not in found.to_record()


@both
@pytest.mark.parametrize(
    ("details", "trust", "told"),
    [
        ({"kept_apart": "namespaces"}, "", "nodes n; containers are kept apart by namespaces"),
        ({"kept_apart": "nothing: no"}, "trusted by --trust", "kept apart by nothing: no; trusted by --trust"),
        ({}, "", "nodes n"),
    ],
)
def test_what_kept_containers_apart_and_who_vouched_is_told(
    tmp_path: Path, name: str, details: dict[str, str], trust: str, told: str
) -> None:
    writer = runs.open_run(tmp_path / "run", settings={"trust": trust})
    runs.plan(writer, runs.OBSERVES)
    writer.evidence.add(Cluster(provider="embedded", kubernetes_version="v1", nodes=["n"], details=details))
    text = words(runs.finish(writer), name)
    assert f"{told}." in text or f"{told} " in text
    assert ("kept apart" in text) is bool(details)


@both
def test_what_stood_on_the_cluster_is_listed_as_what_is_applied_is(tmp_path: Path, name: str) -> None:
    writer = runs.open_run(tmp_path / "run")
    runs.plan(writer, runs.OBSERVES)
    standing: dict[str, Any] = {"namespace": "ai", "uid": "0f1e", "generation": 3, "images": ["litellm:v1"]}
    writer.evidence.add(Standing(object="Deployment/router", object_sha256="ab" * 32, **standing))
    text = words(runs.finish(writer), name)
    assert re.search(r"What stood on the cluster.*Deployment/router\W+ai\W+0f1e\W+3\W+abababababab\b", text), text
    assert "litellm:v1" in text and "SHA-256 as applied" not in text


@both
def test_the_way_in_is_told_with_its_certificate(tmp_path: Path, name: str) -> None:
    found = looked_at(tmp_path / "run")
    text = words(found, name)
    for told in (
        "https://litellm.home.jetzinger.com",
        "IngressRoute/litellm, ingressroute.yaml:17",
        "ClusterIssuer/letsencrypt-prod, ACME at https://acme/dir, for Certificate/litellm-tls",
        "litellm.home.jetzinger.com ← Intermediate",
        "Intermediate ← Root",
        "80 days left, until 2026-04-05 12:00 UTC",
        "EC P-256",
        "TLSv1.3",
    ):
        assert told in text[text.index("The way in") :], told
    assert json.loads(page(found, "verdict.json"))["way_in"] == {
        "host": "litellm.home.jetzinger.com",
        "route": "IngressRoute/litellm",
        "file": "ingressroute.yaml:17",
        "certificate": "Certificate/litellm-tls",
        "issuer": "ClusterIssuer/letsencrypt-prod",
        "acme_server": "https://acme/dir",
        "chain": [
            {"subject": "litellm.home.jetzinger.com", "issuer": "Intermediate"},
            {"subject": "Intermediate", "issuer": "Root"},
        ],
        "not_after": "2026-04-05T12:00:00+00:00",
        "days_left": 80.0,
        "key": "EC P-256",
        "tls": "TLSv1.3",
    }


@both
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"chain": [], "handshake_error": "connection refused"}, "none is served: connection refused"),
        ({"chain": ["no certificate"]}, "ClusterIssuer/letsencrypt-prod"),
    ],
)
def test_a_way_in_without_a_certificate_is_told(tmp_path: Path, name: str, changed: dict[str, Any], told: str) -> None:
    found = looked_at(tmp_path / "run", **changed)
    text = words(found, name)
    assert told in text[text.index("The way in") :] and "days left" not in text


@both
def test_every_requirement_and_point_has_its_word(troubled: Result, name: str) -> None:
    text = words(troubled, name)
    for requirement in troubled.requirements:
        assert f"{requirement.key} {requirement.word} {requirement.needs.text}" in text
    for told in (
        "documents only Determine the deployment method (raw manifests, in manifests/litellm)",
        "outside reach External access via Tailscale",
        "tailscale outside reach: existing only",
        "failed LiteLLM is Running on a non-GPU worker",
        "passed The directory structure of the story",
        "not judged A Traefik IngressRoute at litellm.home.jetzinger.com",
        "passed TLS with a Let's Encrypt certificate",
    ):
        assert told in text


@both
def test_every_check_is_told_with_its_verdict_and_reason(troubled: Result, name: str) -> None:
    text = words(troubled, name)
    assert {each.value for each in troubled.checks.values()} == set(Value)
    for judged in troubled.checks.values():
        needed = ", ".join(each.key for each in troubled.requirements if judged.name in each.needs.checks)
        row = f"{judged.name} {needed} {judged.value} {judged.check.text} {judged.verdict.reason}"
        assert " ".join(row.split()) in text
    for told in ("failed median, median_streamed, p95_shift", "not judged models, chat"):
        assert told in text.replace(":", "")


def test_classes_are_those_of_the_enums(troubled: Result) -> None:
    text = page(troubled)
    for judged in troubled.checks.values():
        value, code = judged.value.replace(" ", "-"), judged.verdict.code
        row = text.partition(f'id="check-{judged.name}"')[2].partition("</tr>")[0]
        assert f'<span class="verdict {value} code-{code}" title="{code}">{judged.value}</span>' in row
    shown = {each.state for each in troubled.scenarios}
    assert shown >= {State.PASSED, State.FAILED, State.INCONCLUSIVE, State.SKIPPED, State.NOT_RUN}
    for state in shown:
        assert f'<span class="verdict {state.replace(" ", "-")}">{state}</span>' in text


@both
def test_scenarios_are_told_with_step_reason_and_bundle(troubled: Result, name: str) -> None:
    text = words(troubled, name)
    for told in ("ended at: LiteLLM stays Ready", "bundles/a-test.txt", "31.2", "the cluster lacks certificates"):
        assert told in text
    assert (' href="bundles/a-test.txt"' in page(troubled, name)) is name.endswith(".html")


@both
def test_figures_placement_versions_and_hashes(passed: Result, name: str) -> None:
    text = words(passed, name)
    for told in (
        "13.5",
        "of streams",
        "time to the first token (not compared with the limit)",
        "400 interleaved pairs",
        "timed from this machine",
        "hop",
        "k3s-worker-01",
        "abababababab",
        "cdcdcdcdcdcd",
        "LiteLLM 1.80.16, vLLM 0.32.0",
        "v1.35.4",
        "main-v1.80.16-stable",
        "its CRD is not installed",
        "start the cluster",
        "20 calls, of which 3 equal, 1 relocated or lost, 16 with known defects; gate passed",
        "#15141",
        "the prefix openai/",
        passed.evidence.sha256,
    ):
        assert told in text, told
    assert re.search(r"set-up .*vLLM becomes available .*scenarios .*time the overhead", text)


def test_the_page_of_the_parity_holds_all_calls_at_the_time_of_the_evidence(passed: Result) -> None:
    matrix = json.loads(page(passed, "parity.json"))
    assert len(matrix["runs"]) == 20
    assert matrix["at"] in {line.at for line in passed.evidence.lines}
    assert "chat.plain/plain/hosted_vllm" in page(passed, "parity.html")


def test_verdict_json_is_the_result(troubled: Result) -> None:
    assert json.loads(page(troubled, "verdict.json")) == troubled.to_record()
    assert troubled.to_record()["exit_status"] == ExitStatus.FAILED


def looked_at(folder: Path, **changed: Any) -> Result:
    """A run in which somebody looked at the certificate of the way in."""

    def look(writer: runs.Writer) -> None:
        writer.evidence.add(authority.seen(**changed))

    return short(folder, look)


def short(folder: Path, then: Callable[[runs.Writer], None], *, end: bool = True) -> Result:
    """A run of one scenario, after which something else happens."""
    writer = runs.open_run(folder, {})
    runs.plan(writer, {"LiteLLM is Running": runs.OBSERVES["LiteLLM is Running"]})
    writer.play(["LiteLLM is Running"])
    then(writer)
    if end:
        return runs.finish(writer)
    writer.evidence.close()
    report.write(result := Result(read(folder)))
    return result


def nothing(_: runs.Writer) -> None:
    """Nothing else happens."""


def without_figures(writer: runs.Writer) -> None:
    rows = runs.timings(3, 9.0)
    failed = [*rows[:-1], type(rows[-1])(**{**vars(rows[-1]), "arm": "proxied", "error": "status 500"})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "timings", lambda *_, **__: failed)
        writer.record(writer.overhead())


@both
def test_an_overhead_without_figures_shows_its_reason_only(tmp_path: Path, name: str) -> None:
    text = words(short(tmp_path / "run", without_figures), name)
    assert "1 request to LiteLLM failed: status 500" in text
    assert "at the median" not in text
    assert "None" not in text


def through_a_tunnel(writer: runs.Writer) -> None:
    (seen,) = writer.overhead()
    writer.record(iter([seen.model_copy(update={"place": THROUGH_FORWARD, "left_out": 3})]))


@both
def test_an_overhead_that_was_timed_through_a_tunnel_says_so_and_what_was_left_out(tmp_path: Path, name: str) -> None:
    text = words(short(tmp_path / "run", through_a_tunnel), name)
    assert "timed from this machine, through the API server's port forward, which both arms pass; of 3" in text
    assert "of 3 more the tunnel broke a request, so that they were left out and asked again" in text


# What the ingress adds


@both
def test_what_the_ingress_adds_stands_beside_the_overhead(tmp_path: Path, name: str) -> None:
    result = runs.whole_run(tmp_path / "run", ingress=runs.WAY_IN)
    text = words(result, name)
    assert re.search(
        r"What the ingress adds .*median of the paired differences, mean of both kinds 2\.\d \d\.\d to", text
    )
    assert "p95 through the ingress minus p95 of LiteLLM's Service" in text
    assert "200 pairs" in text
    assert runs.WAY_IN in text
    assert result.signed_off


def test_what_the_ingress_adds_is_told_to_programs_and_in_the_terminal(tmp_path: Path) -> None:
    result = runs.whole_run(tmp_path / "run", ingress=runs.WAY_IN)
    told = json.loads(page(result, report.VERDICT))["ingress"]
    assert told["pairs"] == 200
    median = told["adds_ms"]["median"]
    assert median["low"] < median["value"] < median["high"]
    assert median["value"] == pytest.approx(2, abs=0.2)
    (line,) = [each for each in terminal(result) if each.startswith("the ingress adds ")]
    assert re.fullmatch(
        r"the ingress adds 2\.\d ms at the median \(95 % interval .*\), p95 shift .*, TTFT .*, 200 pairs; "
        r"it is no part of the overhead",
        line,
    )


def test_an_ingress_that_failed_is_told_with_its_reason_and_takes_nothing_from_the_overhead(tmp_path: Path) -> None:
    wrong = "status 502: bad gateway"
    result = runs.whole_run(tmp_path / "run", ingress=runs.WAY_IN, ingress_error=wrong)
    why = f"a request through it failed: {wrong}"
    assert json.loads(page(result, report.VERDICT))["ingress"] == {"missing": why}
    assert f"what the ingress adds is not known: {why}" in terminal(result)
    for name in report.PAGES:
        assert f"What the ingress adds Not known: {why}" in words(result, name).replace("# ", "")
    assert result.checks["overhead"] == runs.whole_run(tmp_path / "other", ingress=runs.WAY_IN).checks["overhead"]
    assert result.signed_off


@both
def test_a_run_without_a_way_in_says_nothing_of_an_ingress(passed: Result, name: str) -> None:
    assert "ingress adds" not in words(passed, name)
    assert "ingress" not in json.loads(page(passed, report.VERDICT))
    assert not [each for each in terminal(passed) if "the ingress" in each]


def test_no_figure_is_told_of_a_file_that_is_not_the_recorded_one(tmp_path: Path) -> None:
    result = runs.whole_run(tmp_path / "run", ingress=runs.WAY_IN)
    timed = result.evidence.folder / "overhead.csv"
    timed.write_text(timed.read_text("utf-8").replace("ingress", "proxied"), "utf-8")
    again = Result(read(result.evidence.folder))
    assert again.ingress is None
    assert again.checks["overhead"].value is Value.NOT_JUDGED


def of_the_set_up(writer: runs.Writer) -> None:
    cause = Cause(subject=Subject.CLUSTER, what="no cluster: port 6443 is taken")
    writer.evidence.add(SetUpFailure(cause=cause, where="port 6443", traceback="Traceback ..."))


@both
@pytest.mark.parametrize(
    ("then", "end", "told"),
    [
        (nothing, False, "The evidence has no end: the run was killed"),
        (lambda w: w.evidence.add(End(interrupted=True)), False, "The run was interrupted before it came to its end"),
        (of_the_set_up, True, "The set-up failed at port 6443"),
        (lambda w: w.evidence.add(Note(text="a note to whom it may concern")), True, "a note to whom it may concern"),
    ],
)
def test_how_a_run_went_wrong_is_told(
    tmp_path: Path, name: str, then: Callable[[runs.Writer], None], end: bool, told: str
) -> None:
    result = short(tmp_path / "run", then, end=end)
    assert told in words(result, name)
    assert not result.signed_off


@both
def test_a_model_that_is_not_judged_is_told_and_keeps_nothing_from_passing(tmp_path: Path, name: str) -> None:
    model = Unproven(model="gpt-4o", reason="its backend is elsewhere", file="config.yaml:9")

    def left_out(writer: runs.Writer) -> None:
        writer.evidence.add(model)

    result = short(tmp_path / "run", left_out)
    assert "gpt-4o" in words(result, name)
    assert "not judged: its backend is elsewhere (config.yaml:9)" in words(result, name)
    assert "model gpt-4o: not judged: its backend is elsewhere (config.yaml:9)" in "\n".join(terminal(result))
    assert result.to_record()["unproven_models"] == {"gpt-4o": "its backend is elsewhere"}
    assert result.checks["pod-ready"].value is Value.PASSED


@both
def test_evidence_that_was_cut_off_is_read_to_there_and_said(tmp_path: Path, name: str) -> None:
    short(tmp_path / "run", nothing)
    with (tmp_path / "run" / "evidence.jsonl").open("a") as file:
        file.write('{"seq": 99, "kind": "scen')
    report.write(result := Result(read(tmp_path / "run")))
    assert "the run was killed while it wrote" in words(result, name)
    assert "the run was killed while it wrote" in terminal(result)[0]


@both
def test_a_disturbance_is_told_with_its_scenario(troubled: Result, name: str) -> None:
    seen = "(seen while “LiteLLM outlives its backend” ran)"
    told = f"Disturbed: vLLM ended: OOMKilled (exit code 137) {seen}"
    assert told in words(troubled, name)


@both
def test_nothing_in_the_evidence_can_break_the_page(tmp_path: Path, name: str) -> None:
    evil = "<script>alert(1)</script> | a\nb"

    def happens(writer: runs.Writer) -> None:
        cause = Cause(subject=Subject.GATEWAY, what=evil)
        planned = PlannedScenario(id="evil", name=evil, feature="f", checks=["pod-ready"])
        writer.evidence.add(Plan(scenarios=[planned], selected=[]))
        writer.evidence.add(ScenarioEnd(id="evil", end="error", step=evil, cause=cause, bundle="a b"))
        writer.evidence.add(Note(text=evil))

    text = page(short(tmp_path / "run", happens), name)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text or "&lt;script>" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (4, 5, 6) for row in rows)


# A model that does not repeat itself


def test_rates_by_which_answers_were_judged_stand_on_the_pages_and_in_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(writer: runs.Writer, kind: str) -> Iterator[Observation]:
        for seen in calm(writer, kind):
            yield seen.model_copy(update={"trios": in_rounds(writer, kind)}) if seen.check == "equal-answers" else seen

    def in_rounds(writer: runs.Writer, kind: str) -> list[Trio]:
        chance, stream = random.Random(kind), kind == "streamed"
        made = []
        for prompt in runs.PROMPTS * 60:
            said = [f"{prompt} {'perhaps' if chance.random() < 0.2 else 'indeed'}" for _ in range(3)]
            asked = zip(("direct", "direct again", "proxied"), said, strict=True)
            first, again, proxied = (writer.ask(arm, prompt, text=text, stream=stream) for arm, text in asked)
            made.append(Trio(prompt=prompt, direct=first, again=again, proxied=proxied))
        return made

    calm = runs.Writer.trios
    monkeypatch.setattr(runs.Writer, "trios", moody)
    result = runs.whole_run(tmp_path / "moody")
    assert result.signed_off
    told = "vLLM does not repeat itself, so it was judged by rates of mismatch: of 240 pairs"
    for kind in ("plain", "streamed"):
        (line,) = [each for each in terminal(result) if each.startswith(f"equal-answers, {kind}: ")]
        assert told in line and "(p = " in line and "with a power of 80%" in line
    for name in report.PAGES:
        assert told in words(result, name)
    assert result.to_record()["checks"]["equal-answers"]["code"] == "by-rates"


def test_nothing_is_told_of_rates_where_vllm_repeats_itself(passed: Result) -> None:
    assert not [line for line in terminal(passed) if "rates of mismatch" in line]


# The terminal


def test_the_terminal_of_a_run_that_is_signed_off_is_short(passed: Result) -> None:
    told = terminal(passed)
    assert told[0] == "AC1     passed         " + passed.requirements[0].needs.text
    assert told[6].startswith("task 4  passed ")
    assert told[9] == "waived by the person who ran it: way-in: Traefik is tried by hand, see ticket 12"
    assert told[11].startswith("overhead 13.5 ms at the median (95 % interval ")
    assert "LiteLLM's header 1.1 + hop 1.8" in told[12]
    assert told[14].startswith("parity 20 calls, of which 3 equal")
    assert told[-2:] == ["Signed off; 1 check waived", f"report: {passed.evidence.folder / 'signoff.html'}"]
    assert len(told) < 30


def test_the_terminal_tells_each_reason_once(troubled: Result) -> None:
    told = "\n".join(terminal(troubled))
    for line in (
        "        pod-ready failed: not Running and Ready: litellm-1: CrashLoopBackOff",
        "        service, endpoints, cluster-name not judged: not run: The Service leads to LiteLLM",
        "        pod-ready, overhead: as above",
        "disturbed in 'LiteLLM outlives its backend': vLLM ended: OOMKilled (exit code 137)",
        "skipped The certificate is obtained: the cluster lacks certificates",
    ):
        assert line in told.split("\n")
    below = told.partition("AC1")[2]
    for judged in troubled.checks.values():
        if judged.hinders:
            assert judged.name in below
            assert below.count(f": {judged.verdict.reason}\n") == 1


def test_of_many_scenarios_that_were_left_out_for_one_reason_the_first_is_named(tmp_path: Path) -> None:
    names = [f"the way in, {number}" for number in range(4)]
    writer = runs.open_run(tmp_path / "run", {})
    runs.plan(writer, {**runs.OBSERVES, **dict.fromkeys(names, ("way-in",))})
    runs.set_up(writer)
    writer.play(list(runs.OBSERVES))
    for name in names:
        writer.evidence.add(ScenarioEnd(id=runs.scenario_id(name), end="skipped", skipped="the way in is waived"))
    result = runs.finish(writer)
    assert "skipped the way in, 0 and 3 more: the way in is waived" in terminal(result)
    assert all(name in words(result, "signoff.html") for name in names)


def test_nothing_but_what_passed_is_green(troubled: Result) -> None:
    green = [line for line, markup in report.terminal_lines(troubled) if markup.get("green")]
    assert green == [f"AC2     passed         {troubled.requirements[1].needs.text}"]


# The files


def test_the_same_evidence_gives_the_same_bytes_wherever_it_lies(passed: Result, tmp_path: Path) -> None:
    shutil.copytree(passed.evidence.folder, tmp_path / "copy")
    for name in (*report.PAGES, "verdict.json", "parity.html", "parity.json"):
        assert str(passed.evidence.folder.parent) not in page(passed, name)
        (tmp_path / "copy" / name).unlink()
    assert main(["report", str(tmp_path / "copy")]) == 0
    assert main(["verify", str(tmp_path / "copy")]) == 0
    for path in passed.evidence.folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(passed.evidence.folder)).read_bytes() == path.read_bytes()


def test_a_report_drawn_again_ends_with_the_status_of_the_run(
    troubled: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(troubled.evidence.folder)]) == ExitStatus.FAILED
    assert capsys.readouterr().out.splitlines()[0] == troubled.headline


def test_a_report_drawn_again_vouches_for_nothing_but_its_pages(passed: Result, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(passed.evidence.folder, folder)
    (folder / "junit.xml").write_text("<nothing/>")
    (folder / "signoff.md").write_text("Signed off")
    assert main(["report", str(folder)]) == 0
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert [line for line in done.stdout.splitlines() if not line.endswith(": OK")] == ["junit.xml: FAILED"]


def test_the_seal_names_every_file_but_itself(passed: Result) -> None:
    folder = passed.evidence.folder
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, check=True)
    named = [line.split("  ")[1] for line in page(passed, "SHA256SUMS").splitlines()]
    assert named == sorted(named)
    every = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(named) == every - {"SHA256SUMS"}
    assert "bundles/a-scenario.txt" in named


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.put(tmp_path / "page", "before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SignoffError, match="page cannot be written: No space left on device"):
        whole.put(tmp_path / "page", "after")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page").read_text() == "before"


def test_what_is_no_run_of_a_story_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 4
    assert "there is no evidence" in capsys.readouterr().err
    evidence = Evidence(tmp_path / "load", Run(tool="load"))
    evidence.add(End())
    evidence.close()
    assert main(["report", str(tmp_path / "load")]) == 1
    assert "a run of signoff load, which judges no story" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "load")]) == 0
    assert capsys.readouterr().out == "verified: 2 lines of evidence of a run of signoff load\n"


@pytest.mark.parametrize(("old", "new"), [('"status": 200', '"status": 500'), ('"kind"', '"kind" ')])
def test_nothing_is_drawn_from_evidence_that_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    runs.troubled_run(folder := tmp_path / "run")
    file = folder / "evidence.jsonl"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    drawn_before = page(Result(read(folder)))
    assert main(["report", str(folder)]) == 1
    assert "the evidence is not as it was written: evidence.jsonl:" in capsys.readouterr().err
    assert page(Result(read(folder))) == drawn_before
