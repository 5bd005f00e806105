"""Who is answered: with the gateway's own key, with another, and with none."""

import json
from types import SimpleNamespace as Of
from typing import Any

import pytest

from signoff.evidence.models import AnswersSeen, Exchange
from signoff.judges.answers import key_asked
from signoff.story.declaration import Check
from signoff.verdicts import Value
from tests.evidence.runs import completion

CHECK = Check(text="keys", judge="key-asked", arms=("proxied",), cases=("own", "wrong", "missing"))
SAYS = completion("well, well")
REFUSES = {"error": {"message": "no such key", "type": "auth_error", "param": None, "code": "401"}}


@pytest.mark.parametrize(
    ("case", "status", "body", "value", "said"),
    [
        ("own", 200, SAYS, Value.PASSED, ""),
        ("own", 401, REFUSES, Value.FAILED, "with its own key LiteLLM answered status 401"),
        ("own", 200, completion(""), Value.FAILED, "expected 200 with some text"),
        ("wrong", 401, REFUSES, Value.PASSED, "status 401"),
        ("wrong", 400, REFUSES, Value.PASSED, "status 400"),
        ("wrong", 200, SAYS, Value.FAILED, "with a wrong key: expected an error, LiteLLM answered status 200"),
        ("missing", 401, REFUSES, Value.PASSED, "status 401"),
        ("missing", 200, SAYS, Value.FAILED, "with no key: expected an error, LiteLLM answered status 200"),
        ("missing", 401, {"detail": "no"}, Value.FAILED, "with no key: no OpenAI error"),
        ("wrong", 500, REFUSES, Value.FAILED, "LiteLLM calls a wrong key its own fault: status 500"),
    ],
)
def test_each_is_answered_as_it_has_to_be(
    case: str, status: int, body: dict[str, Any], value: Value, said: str
) -> None:
    answer: dict[str, Any] = {"status": status, "headers": {}, "body": json.dumps(body)}
    exchange = Exchange(arm="proxied", request={"body": {}}, started=0.0, e2e_ms=1.0, **answer)
    seen = AnswersSeen(check="key-asked", case=case, exchanges=[1])
    ((of, verdict),) = key_asked([seen], CHECK, Of(by_seq=lambda *_: exchange))
    assert (of, verdict.value) == (case, value)
    assert said in verdict.reason
