"""What an ingress adds is told beside LiteLLM's overhead, and moves nothing of it, whatever becomes of the ingress."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from runpy import run_module
from types import SimpleNamespace
from typing import Any

import certifi
import numpy as np
import pytest

from doubles.gateway import Gateway
from doubles.serving import running
from signoff.cluster.embedded.pki import Authority
from signoff.kube.manifests import StoryManifests
from signoff.overhead import measure as measuring
from signoff.overhead import timing_job
from signoff.overhead.estimate import Samples, ingress_adds, judge
from signoff.traffic import delay_proxy, timings_csv
from signoff.traffic import pairs as paired
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import ROOTS, Endpoint
from signoff.traffic.pairs import ARMS, INGRESS, Arm, Timing, is_stable, measure
from signoff.verdicts.verdict import Value
from tests import tls
from tests.asked_with import asked_with
from tests.pair import Pair
from tests.tls import NAME

WINDOW_ROUNDS = paired.WINDOW_ROUNDS
"""As they are shipped, before `brisk` makes them short."""
AT = f"{NAME} at https://127.101.0.9:443"
NOWHERE = Endpoint("https://127.0.0.1:9", host=NAME)


def samples(pairs: int, added_ms: float, *, error: str = "", cpu_ms: float = 1.0) -> Samples:
    """Rounds in which LiteLLM adds 10 ms, and half of each kind asks through an ingress that adds so much to that."""
    rng = np.random.default_rng(7)
    timings = []
    for number in range(pairs):
        stream = number % 2 == 1
        arms: tuple[Arm, ...] = (*ARMS, INGRESS) if number % 4 < 2 else ARMS
        for place, arm in enumerate(arms):
            through = added_ms if arm == INGRESS else 0.0
            ms = 20 + rng.exponential(2) + (0.0 if arm in ("direct", "control") else 10.0) + through
            ttft = ms - 7 if stream else None
            own = cpu_ms if arm == INGRESS else 1.0
            timings.append(Timing(number, place, arm, number, ms, streamed=stream, ttft_ms=ttft, cpu_ms=own))
    last = max(at for at, each in enumerate(timings) if each.arm == INGRESS)
    timings[last] = replace(timings[last], error=error)
    return Samples(tuple(timings))


def without_ingress(timed: Samples) -> Samples:
    return Samples(tuple(each for each in timed.timings if each.arm in ARMS))


@pytest.mark.parametrize("added_ms", [0.0, 3.0, 300.0])
def test_what_an_ingress_adds_is_found_again_and_moves_nothing_of_litellms(added_ms: float) -> None:
    timed = samples(400, added_ms, cpu_ms=1000.0)
    found = ingress_adds(timed, at=AT, seed=1)
    assert (found.at, found.pairs, found.missing) == (AT, 200, "")
    assert set(found.figures) == {"median", "median_plain", "median_streamed", "p95_shift", "ttft"}
    for name in ("median", "median_plain", "median_streamed", "ttft"):
        low, high = found.figures[name].ends
        assert low <= added_ms <= high, name
    assert found.figures["p95_shift"].value == pytest.approx(added_ms, abs=3)
    own = judge(timed, limit_ms=100.0, seed=1)
    assert own == judge(without_ingress(timed), limit_ms=100.0, seed=1)
    assert own.verdict.value is Value.PASSED


def test_p95_of_fewer_requests_is_not_told() -> None:
    assert "p95_shift" not in ingress_adds(samples(396, 3.0), at=AT, seed=1).figures


def test_a_request_that_failed_takes_the_figure_away_and_nothing_of_litellms() -> None:
    timed = samples(400, 3.0, error="status 502: bad gateway")
    found = ingress_adds(timed, at=AT, seed=1)
    assert not found.figures
    assert found.missing == "a request through it failed: status 502: bad gateway"
    assert judge(timed, limit_ms=100.0, seed=1) == judge(without_ingress(timed), limit_ms=100.0, seed=1)


def test_a_failure_of_litellm_itself_is_told_as_what_ended_the_rounds() -> None:
    timed = samples(40, 3.0)
    failed = Timing(40, 0, "proxied", 0.0, 0.0, "status 500")
    found = ingress_adds(Samples((*timed.timings, failed)), at=AT, seed=1)
    assert (found.figures, found.pairs) == ({}, 20)
    assert found.missing == "the rounds ended early, with a request that failed: status 500"


def test_an_ingress_that_was_never_asked_is_missing() -> None:
    assert ingress_adds(without_ingress(samples(40, 3.0)), at=AT, seed=1).missing == "nothing was timed through it"


def taken(pair: Pair, ingress: Endpoint | None, pairs: int = 40, seed: int = 1) -> Samples:
    direct, proxied = Endpoint(pair.direct), Endpoint(pair.proxied)
    return Samples(tuple(measure(direct, proxied, ingress=ingress, pairs=pairs, seed=seed)))


def test_a_delay_before_litellm_is_measured_in_half_of_each_kinds_rounds(pair: Pair, never_invalid: None) -> None:
    with delay_proxy.running(pair.proxied, 40.0) as url:
        timed = taken(pair, Endpoint(url), seed=2)
    found, own = ingress_adds(timed, at=AT, seed=1), judge(timed, limit_ms=20.0, seed=1)
    for name in ("median", "median_plain", "median_streamed", "ttft"):
        assert found.figures[name].value > 39.0
    assert own.figures["median"].value < 20.0
    through = Counter(each.streamed for each in timed.timings if each.arm == INGRESS and each.round >= 0)
    assert through == {False: 10, True: 10}
    assert len({each.position for each in timed.timings if each.arm == INGRESS}) == 4  # in random order


def test_an_ingress_that_does_not_answer_is_asked_once_and_the_rounds_go_on(pair: Pair, never_invalid: None) -> None:
    timed = taken(pair, NOWHERE)
    assert len(timed.rounds()) == 40
    assert len(timed.errors(INGRESS)) == 1
    assert judge(timed, limit_ms=100.0, seed=1).figures
    assert ingress_adds(timed, at=AT, seed=1).missing.startswith("a request through it failed: no answer to POST")


def test_a_litellm_that_fails_ends_the_rounds_all_the_same(pair: Pair) -> None:
    with running(Gateway(pair.direct).app()) as through:
        pair.gateway.tampering = "server_error"
        timed = taken(pair, Endpoint(through))
    assert max(each.round for each in timed.timings) < 0
    assert judge(timed, limit_ms=100.0, seed=1).verdict.value is Value.FAILED


def test_rounds_without_an_ingress_ask_what_they_always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def time(_: OpenAIClient, arm: Arm, number: int, place: int, rng: random.Random, *, stream: bool) -> Timing:
        asked.append((arm, paired.random_prompt(rng)[:8], stream))
        return Timing(number, place, arm, 0.0, 20.0, streamed=stream)

    monkeypatch.setattr(paired, "WINDOW_ROUNDS", WINDOW_ROUNDS)
    monkeypatch.setattr(paired, "_time", time)
    list(measure(*[Endpoint("http://127.0.0.1:9")] * 2, pairs=3, seed=1))
    assert asked[:2] == [("proxied", "tmjfmxkp", False), ("direct", "mykwmtkr", False)]
    assert asked[-1] == ("control", "odbitozp", True)


def test_whether_rounds_were_warm_is_not_told_by_the_ingress() -> None:
    def window(ingress_ms: float) -> list[list[Timing]]:
        arms: tuple[Arm, ...] = (*ARMS, INGRESS)
        ms = {INGRESS: ingress_ms}
        return [[Timing(at, 0, arm, 0.0, ms.get(arm, 20.0)) for arm in arms] for at in range(10)]

    assert is_stable(window(500.0), window(5.0))


# Where the clock is


def deployment(pair: Pair) -> Any:
    """As much of one as is asked from this machine."""
    return SimpleNamespace(
        cluster=SimpleNamespace(tunnelled=False),
        direct=Endpoint(pair.direct),
        answering_gateway=lambda: Endpoint(pair.proxied),
    )


@pytest.mark.parametrize("works", [True, False])
def test_from_this_machine_the_ingress_takes_no_block_away(pair: Pair, tmp_path: Path, *, works: bool) -> None:
    ingress = Endpoint(pair.proxied, host=NAME) if works else NOWHERE
    taken = measuring.time_pairs(deployment(pair), 20, 1, tmp_path / "overhead.csv", ingress=ingress)
    assert (taken.place, taken.left_out) == ("from this machine", 0)
    assert {block.arm for block in taken.blocks} == {"direct", "proxied", "hop"}
    found = ingress_adds(Samples(timings_csv.read(tmp_path / "overhead.csv")), at=str(ingress), seed=1)
    assert bool(found.figures) is works


def test_the_job_is_told_where_the_ingress_is() -> None:
    def container(ingress: Endpoint | None) -> dict[str, Any]:
        spec = timing_job.job(StoryManifests.read(), 400, 1, ingress=ingress).body["spec"]
        found: dict[str, Any] = spec["template"]["spec"]["containers"][0]
        return found

    through = container(Endpoint("https://10.43.0.9:443", host=NAME, authorities="PEM"))
    assert through["args"][-2:] == ["--ingress=https://10.43.0.9:443", f"--ingress-host={NAME}"]
    assert {"name": ROOTS, "value": "/timing-job/roots.pem"} in through["env"]
    without = container(None)
    assert without["args"] == through["args"][:-2]
    assert without["env"] == [each for each in through["env"] if each["name"] != ROOTS]


def test_all_public_roots_reach_the_job_which_no_variable_could_hold() -> None:
    public = Path(certifi.where()).read_text(encoding="utf-8")
    ingress = Endpoint("https://10.43.0.9:443", host=NAME, authorities=public)
    data = timing_job.code("ml", ingress).body["data"]
    assert data["roots.pem"] == public
    assert sum(map(len, data.values())) < 2**20  # what a ConfigMap holds
    spec = timing_job.job(StoryManifests.read(), 400, 1, ingress=ingress).body["spec"]["template"]["spec"]
    assert all(len(each.get("value", "")) < 2**17 for each in spec["containers"][0]["env"])
    assert {"key": "roots.pem", "path": "roots.pem"} in spec["volumes"][0]["configMap"]["items"]


@pytest.mark.parametrize("trusted", [True, False])
def test_the_program_in_a_pod_asks_through_it_by_name_and_with_the_key_of_litellm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, trusted: bool
) -> None:
    root = Authority(tmp_path, "root")
    monkeypatch.setenv("SIGNOFF_API_KEY", "sk-of-litellm")
    monkeypatch.setenv(ROOTS, str(root.cert) if trusted else "")
    with asked_with() as (url, _), asked_with(tls.context(root, NAME)) as (way_in, through):
        program = ["program", f"--direct={url}/direct", f"--proxied={url}/proxied", "--model=m", "--asked-model=m"]
        way = [f"--ingress={way_in}/ingress", f"--ingress-host={NAME}", "--pairs=20", "--seed=1"]
        monkeypatch.setattr("sys.argv", [*program, *way])
        run_module(timing_job.PROGRAM, run_name="__main__")
    found = timing_job.samples(capfd.readouterr().out)
    assert {block.arm for block in found.blocks} >= {"direct", "proxied"}
    if trusted:
        assert set(through) == {("ingress", "Bearer sk-of-litellm")}
        assert ingress_adds(found, at=AT, seed=1).pairs == 10
    else:
        assert f"its certificate is not trusted as that of {NAME}" in ingress_adds(found, at=AT, seed=1).missing
        assert not through
