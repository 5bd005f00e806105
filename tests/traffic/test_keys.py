"""Each side is asked with its own key, wherever the client runs, and the keys are shown nowhere."""

import os
import subprocess
import sys
from pathlib import Path
from runpy import run_module

import pytest

from signoff.core.errors import UsageError
from signoff.gateway import inside
from signoff.kube import shipping
from signoff.kube.manifests import StoryManifests
from signoff.overhead import timing_job
from signoff.parity import cases
from signoff.parity.runner import KEY, Backend, Sides
from signoff.settings import reading as settings
from signoff.traffic.blocks import time_blocks
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import BACKEND, GATEWAY, Keys, refuse_on_command_line
from signoff.traffic.pairs import measure
from tests.asked_with import asked_with

KEYS = Keys(gateway="sk-of-litellm", backend="sk-of-vllm")
OWN = {("direct", "Bearer sk-of-vllm"), ("proxied", "Bearer sk-of-litellm")}
ASKED = ("--model=m", "--asked-model=m", "--pairs=1", "--seed=1")
NONE = {("direct", "Bearer sk-none"), ("proxied", "Bearer sk-none")}
STORY = StoryManifests.read()


def sides(url: str, keys: Keys) -> tuple[Endpoint, Endpoint]:
    return Endpoint(f"{url}/direct", api_key=keys.backend), Endpoint(f"{url}/proxied", api_key=keys.gateway)


@pytest.mark.parametrize(("keys", "sent"), [(KEYS, OWN), (Keys(), NONE)])
def test_pairs_and_blocks(keys: Keys, sent: set[tuple[str, str]], brisk: None) -> None:
    with asked_with() as (url, asked):
        timed = list(measure(*sides(url, keys), pairs=1, seed=1))
        assert not any(each.error for each in timed)
        assert set(asked) == sent
        asked.clear()
        list(time_blocks(*sides(url, keys), pairs=1, seed=1))
        assert {each for each in asked if each[0] == "proxied"} == {each for each in sent if each[0] == "proxied"}


@pytest.mark.parametrize(("keys", "sent"), [(KEYS, OWN), (Keys(), NONE)])
def test_the_program_in_a_pod_has_them_from_its_environment(
    keys: Keys,
    sent: set[tuple[str, str]],
    brisk: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in keys.given.items():
        monkeypatch.setenv(name, value)
    with asked_with() as (url, asked):
        monkeypatch.setattr(sys, "argv", ["program", f"--direct={url}/direct", f"--proxied={url}/proxied", *ASKED])
        run_module(timing_job.PROGRAM, run_name="__main__")
    assert sent <= set(asked) <= sent | {("direct", "")}  # vLLM's metrics page is asked without
    said = capfd.readouterr()
    assert '"block"' in said.out
    assert "sk-of" not in said.out + said.err


def test_who_asks_from_inside_has_it_from_its_environment() -> None:
    with asked_with() as (url, asked):
        command = [sys.executable, "-c", inside.SCRIPT, f"{url}/proxied", "qwen"]
        subprocess.run(command, env={**os.environ, **KEYS.given}, capture_output=True, check=True)
    assert set(asked) == {("proxied", "Bearer sk-of-litellm")}


def test_a_pod_has_them_by_reference_to_a_secret() -> None:
    body = timing_job.job(STORY, 1, 1, KEYS).body
    (container,) = body["spec"]["template"]["spec"]["containers"]
    secret = shipping.key_secret(Path(__file__), timing_job.NAME, "ml", KEYS).body
    taken = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each]
    assert {(each["name"], each["key"]) for each in taken} == {(timing_job.NAME, GATEWAY), (timing_job.NAME, BACKEND)}
    assert (secret["metadata"]["name"], secret["stringData"]) == (timing_job.NAME, KEYS.given)
    assert "sk-of" not in str(body)
    assert timing_job.job(STORY, 1, 1).body == timing_job.job(STORY, 1, 1, Keys()).body
    assert "secretKeyRef" not in str(timing_job.job(STORY, 1, 1).body)


def test_each_litellm_of_parity_is_asked_with_its_own() -> None:
    (run,) = cases.runs(cases.load(cases.FOLDER), ["chat.plain/plain/openai"])
    with asked_with() as (url, asked):
        backends, gateways = {"chat": Backend(f"{url}/direct", None)}, {"story": f"{url}/proxied"}
        keys = {"story": "sk-of-litellm"}
        (seen,) = Sides(backends, gateways, "a-model", keys=keys, backend_key="sk-of-vllm").observe([run])
        assert set(asked) == OWN
        assert "sk-of" not in repr(seen) + str(seen.to_record())
        asked.clear()
        Sides(backends, gateways, "a-model").observe([run])
        assert set(asked) == {("direct", f"Bearer {KEY}"), ("proxied", f"Bearer {KEY}")}


def test_no_variable_of_a_key_is_taken_for_a_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.given.items():
        monkeypatch.setenv(name, value)
    assert settings.read({}).settings.api_key.get_secret_value() == KEYS.gateway


def test_a_key_is_not_shown() -> None:
    assert "sk-of" not in repr(KEYS)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("sk-1234\n", "a line break at its end"),
        ("sk 1234", "white space or control characters"),
        ("sk-\x07", "white space or control characters"),
        ("sk-schlüssel", "letters beyond ASCII"),
    ],
)
def test_a_key_that_no_header_holds_is_refused_and_not_repeated(key: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        Keys.from_environment({GATEWAY: key})
    assert key.strip() not in str(refused.value)
    assert refused.value.where == GATEWAY


@pytest.mark.parametrize(
    "words", [["--api-key", "sk-hush"], ["-t", "1m", "--api-key=sk-hush"], ["--vllm-k", "sk-hush"]]
)
def test_a_key_on_a_command_line_is_refused_and_not_repeated(words: list[str]) -> None:
    with pytest.raises(UsageError, match="set it in the variable SIGNOFF_") as refused:
        refuse_on_command_line(words)
    assert "sk-hush" not in str(refused.value)
    refuse_on_command_line(["--autostart", "--arrivals", "closed", "--host", "http://api-key"])
