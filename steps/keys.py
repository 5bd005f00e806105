"""Asking LiteLLM with its own key, with another, and with none."""

from dataclasses import dataclass, replace

import pytest
from pytest_bdd import given, parsers, then, when

from signoff.bdd.observing import observes
from signoff.evidence import Evidence
from signoff.evidence.models import AnswersSeen
from signoff.gateway.deployment import Deployment
from signoff.judges.answers import OWN_KEY
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import GATEWAY
from steps.chat import PROMPT, Asked, ask

UNKNOWN = "sk-signoff-has-made-this-up"
_CASES = {"its own": OWN_KEY, "a wrong": "wrong", "no": "missing"}


@dataclass(frozen=True)
class AskedWith:
    """An answer, and whose key it was asked with."""

    case: str
    asked: Asked


@given("LiteLLM asks for a key")
def asks_for_a_key(deployment: Deployment) -> None:
    if GATEWAY not in deployment.keys.given:
        pytest.skip("LiteLLM asks for no key")


@when(parsers.parse("I send a chat completion to LiteLLM with {whose} key"), target_fixture="asked_with")
def send_with_key(gateway: Endpoint, evidence: Evidence, whose: str) -> AskedWith:
    return ask_with_key(evidence, "proxied", gateway, whose)


def ask_with_key(evidence: Evidence, arm: str, endpoint: Endpoint, whose: str) -> AskedWith:
    """Ask with the key that the feature's words name: the endpoint's own, one that nobody has, or none."""
    case = _CASES[whose]
    key = {OWN_KEY: endpoint.api_key, "wrong": UNKNOWN, "missing": ""}[case]
    return AskedWith(case, ask(evidence, arm, replace(endpoint, api_key=key), PROMPT))


@then("it is answered if the key is LiteLLM's own, and refused if not")
@observes("key-asked")
def answered_with_its_own_key_alone(asked_with: AskedWith, evidence: Evidence) -> None:
    evidence.add(AnswersSeen(check="key-asked", case=asked_with.case, exchanges=[asked_with.asked.seq]))
