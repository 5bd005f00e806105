"""Classes beyond tampering: what is known, what is fixed, what proves nothing, and the gate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from doubles.faulty_gateway import DONE, Events, Tampering, drop, put
from signoff import story
from signoff.core.errors import SignoffError
from signoff.parity import cases, rates
from signoff.parity.consumer import Consumer
from signoff.parity.differ import Difference
from signoff.parity.exchange import Exchange
from signoff.parity.judge import Class, Judged, fixed, gate, judge
from signoff.parity.known_issues import KINDS, KnownIssue, KnownIssues, Rule
from signoff.parity.matrix import changes, matrix, read, with_unknown_defects
from signoff.parity.runner import version_of
from signoff.verdicts.verdict import Value
from tests.parity_bench import Bench

PLAIN, STREAMED = "chat.plain/plain/*", "chat.plain/streamed/*"
LOST_USAGE = KnownIssue(
    "lost-usage", ("body.usage*",), "usage is lost", issues=("1",), versions=SpecifierSet(">=1.80,<1.90")
)
LOSES_USAGE = Tampering(body=drop("usage"))


def follows(known: KnownIssue, *paths: str) -> KnownIssue:
    """An entry for whatever follows from the known defect at these paths."""
    return replace(known, id="follows", paths=paths, kinds=KINDS, varies=dict.fromkeys(paths, "follows"))


def knowing(*defects: KnownIssue, rules: tuple[Rule, ...] = ()) -> KnownIssues:
    return KnownIssues((), defects, rules)


def test_a_known_defect_carries_its_entry(bench: Bench) -> None:
    (result,) = bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=knowing(LOST_USAGE))
    assert result.verdict is Class.DEFECT
    assert [each.known for each in result.differences if each.difference.path == "body.usage"] == [LOST_USAGE]


def test_a_list_of_models_may_name_others_before_the_one_that_is_asked(bench: Bench) -> None:
    (honest,) = bench.ask("models.list/*")

    def two(*names: str) -> Tampering:
        return Tampering(body=lambda body: body.update(data=[{**body["data"][0], "id": name} for name in names]))

    paths = [
        {each.difference.path for each in bench.ask("models.list/*", tampering=two(*names))[0].differences}
        for names in (("another", honest.observation.route), ("another", "a third"))
    ]
    assert ["body.data[0].id" in each for each in paths] == [False, True]


def test_a_known_defect_that_no_run_shows_is_fixed(bench: Bench) -> None:
    known = knowing(LOST_USAGE)
    assert fixed(bench.ask(PLAIN, known_issues=known), known, "1.80.16") == [LOST_USAGE]
    assert fixed(bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=known), known, "1.80.16") == []
    assert fixed(bench.ask(PLAIN, known_issues=known), known, "1.91.0") == [], "the entry is not of this version"


def test_an_entry_speaks_only_of_the_versions_that_it_names(bench: Bench) -> None:
    rules = (Rule("usage is there", ("body.usage",)),)
    known_issues = knowing(LOST_USAGE, rules=rules)
    for version, known in (("1.80.16", LOST_USAGE), ("1.80.0", LOST_USAGE), ("1.90.0", None), ("1.79.9", None)):
        (result,) = bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=known_issues, version=version)
        assert {each.known for each in result.differences if each.difference.path == "body.usage"} == {known}, version
        assert (gate([result], known_issues) == []) is (known is not None), version


def test_a_known_defect_that_shows_only_sometimes_is_never_told_as_fixed(bench: Bench) -> None:
    known = knowing(replace(LOST_USAGE, shows="sometimes"))
    assert fixed(bench.ask(PLAIN, known_issues=known), known, "1.80.16") == []


@pytest.mark.parametrize(
    ("named", "direct", "proxied", "is_known"),
    [
        ("200 -> 400", 200, 400, True),
        ("200 -> 400", 200, 500, False),
        ("200 -> 400", 201, 400, False),
        ("400", 200, 400, True),
        ("true -> false", True, False, True),
        ("(missing) -> null", "(missing)", None, True),
        ("{model} -> hosted_vllm/{model}", story.MODEL, f"hosted_vllm/{story.MODEL}", True),
        ("{model} -> hosted_vllm/{model}", story.MODEL, "hosted_vllm/gpt-4", False),
        ('* -> "{direct}"', 400, "400", True),
        ('* -> "{direct}"', 400, "404", False),
        ('* -> "{direct}"', 400, 400, False),
        ("* -> {direct}", 400, "400", False),
        ("* -> null", "a", "null", False),
        ("{model} -> {model}, {model}", story.MODEL, [story.MODEL, story.MODEL], False),
        ("* -> litellm.*: {direct}*", "no [a-z] .", "litellm.Error: no [a-z] .\nAnd more", True),
        ("* -> litellm.*: {direct}*", "no [a-z] .", "litellm.Error: no b", False),
        ("{proxied}* -> *", "a whole text", "a whole", True),
        ("{proxied}* -> *", "a whole text", "another", False),
        ("{proxied}* -> *", "a whole text", "", False),
        ("* -> {json}", "{}", "-7", True),
        ("* -> {json}", "{}", '{"a": ', False),
        ("* -> {json}", "{}", 7, False),
        ('(missing) -> {"a": [1, *]}', "(missing)", {"a": [1, 2]}, True),
    ],
)
def test_an_entry_excuses_the_values_that_it_names(
    named: str, direct: object, proxied: object, *, is_known: bool
) -> None:
    entry = KnownIssue("a", ("body.a",), "so it is", values={"body.a": (named,)})
    assert entry.fits("body.a", "changed", direct, proxied, model=story.MODEL) is is_known
    assert not replace(entry, values={}).fits("body.a", "changed", direct, proxied), "no value is named"
    assert replace(entry, values={}).fits("body.a", "lost", direct, "(missing)"), "whatever was there"


@pytest.mark.parametrize("kind", ["lost", "dropped"])
def test_what_is_gone_is_excused_by_the_value_that_it_had(kind: str) -> None:
    entry = KnownIssue(
        "a", ("body.a", "body.b"), "so it is", values={"body.a": ("null -> (missing)", '"" -> (missing)')}
    )
    for value, is_known in ((None, True), ("", True), ("null", False), ([], False), (5, False)):
        assert entry.fits("body.a", kind, value, "(missing)") is is_known, value
        assert entry.fits("body.b", kind, value, "(missing)"), "no value of it is named"
    assert entry.fits("body.a", "sometimes", "always", "sometimes"), "of it there is no value"


def test_an_entry_may_speak_of_one_choice() -> None:
    entry = KnownIssue("a", ("body.choices[1].text", "body.choices[].index"), "so it is")
    gone = [
        entry.fits(f"body.choices[{n}].{key}", "lost", "a", "(missing)") for key in ("text", "index") for n in (0, 1)
    ]
    assert gone == [False, True, True, True]


CHOICE, CALL = "body.choices[0]", "body.choices[0].message.tool_calls[0].function.arguments"
WRAPPED = 'litellm.BadRequestError: Hosted_vllmException - {"error":{"message":"no","type":"BadRequestError"}}'
NO_EXCUSE = [
    ("chat.logprobs/plain/openai", f"{CHOICE}.logprobs", "lost", {"content": [{"token": "a"}]}, "(missing)"),
    ("chat.logprobs/streamed/openai", f"{CHOICE}.logprobs", "lost", {"content": [{"token": "a"}]}, "(missing)"),
    ("chat.logprobs/streamed/openai", f"{CHOICE}.logprobs.content", "lost", [{"token": "a"}], "(missing)"),
    ("chat.logprobs/plain/openai", f"{CHOICE}.logprobs.content[0].top_logprobs", "lost", [{"token": "a"}], "(missing)"),
    ("chat.prompt-logprobs/plain/openai", "body.prompt_logprobs[0]", "lost", None, "(missing)"),
    ("chat.plain/plain/openai", f"{CHOICE}.message.refusal", "lost", "I will not", "(missing)"),
    ("tools.auto/plain/openai", f"{CHOICE}.message.content", "lost", "words", "(missing)"),
    ("tools.answer-to-call/plain/openai", "request.body.messages[0].content", "dropped", "hi", "(missing)"),
    ("chat.max-completion-tokens/plain/openai", "request.body.max_tokens", "dropped", 5, "(missing)"),
    ("tools.named/plain/hosted_vllm", CALL, "lost", "{}", "(missing)"),
    ("tools.named/plain/hosted_vllm", CALL, "retyped", "{}", {}),
    ("tools.named/plain/hosted_vllm", CALL, "changed", '{"city": "Rome"}', '{"city": '),
    ("tools.named/plain/hosted_vllm", "client.tool_calls", "lost", {"0.0": "get_weather {}"}, "(missing)"),
    ("tools.named/plain/hosted_vllm", "body.usage.prompt_tokens", "changed", 7, 8),
    ("errors.bad-type/plain/openai", "body.error.message", "lost", "no", "(missing)"),
    ("errors.any/plain/hosted_vllm", "body.error.message", "changed", "no", WRAPPED.replace("no", "yes")),
    ("errors.bad-type/plain/openai", "body.error.type", "lost", "BadRequestError", "(missing)"),
    ("errors.bad-type/plain/openai", "body.error.type", "changed", "BadRequestError", "null"),
    ("errors.unknown-model/plain/openai", "body.error.code", "changed", 404, 400),
    ("errors.wrong-key/plain/openai/defaults", "body.error.code", "lost", "invalid_api_key", "(missing)"),
    ("faults.die-in-stream/streamed/openai", f"{CHOICE}.message.content", "changed", "abc", ""),
    ("faults.die-in-stream/streamed/openai", f"{CHOICE}.finish_reason", "lost", "length", "(missing)"),
    ("chat.n/streamed/openai", f"{CHOICE}.finish_reason", "lost", "length", "(missing)"),
    ("chat.n/streamed/openai", f"{CHOICE}.message.role", "lost", "assistant", "(missing)"),
    ("chat.n/streamed/openai", "client.finish.0", "retyped", "length", None),
    ("chat.plain/streamed/hosted_vllm", "chunks[].model", "changed", "a", f"{story.MODEL}, hosted_vllm/{story.MODEL}"),
]


@pytest.mark.parametrize(("run", "path", "kind", "direct", "proxied"), NO_EXCUSE)
def test_what_is_known_excuses_no_more_than_it_says(
    run: str, path: str, kind: str, direct: object, proxied: object
) -> None:
    known = KnownIssues.read()
    entries = [each for each in (*known.allowances, *known.defects) if each.covers(run, "1.80.16")]
    assert [each.id for each in entries if each.fits(path, kind, direct, proxied, model=story.MODEL)] == []


KNOWN_FILE = """
versions: ">=1.80"
defects:
  - {id: a, paths: [body.usage], reason: lost}
  - {id: b, paths: [body.usage], reason: lost, versions: ">=1.80,<1.84"}
"""


def told_of(more: str) -> str:
    """The file with more said in its first entry."""
    return KNOWN_FILE.replace("reason: lost}", f"reason: lost, {more}}}", 1)


def test_an_entry_without_versions_is_of_those_that_its_file_names(tmp_path: Path) -> None:
    (tmp_path / "known.yaml").write_text(KNOWN_FILE)
    first, second = KnownIssues.read(tmp_path / "known.yaml").defects
    assert [entry.covers("any/run", "1.84.0") for entry in (first, second)] == [True, False]
    assert [entry.covers("any/run", "1.79.0") for entry in (first, second)] == [False, False]
    assert [entry.covers("any/run", "unknown") for entry in (first, second)] == [False, False]
    assert LOST_USAGE.covers("any/run", "unknown") is False
    assert replace(LOST_USAGE, versions=SpecifierSet()).covers("any/run", "unknown")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("ghcr.io/berriai/litellm:main-v1.80.16-stable", "1.80.16"),
        ("localhost:5000/litellm:1.108.7", "1.108.7"),
        ("litellm:v1.80.5.rc.2", "1.80.5.rc.2"),
        ("litellm:main-v1.80.16@sha256:0123", "1.80.16"),
        ("litellm:main-stable", "unknown"),
        ("litellm", "unknown"),
    ],
)
def test_a_version_that_litellm_does_not_tell_is_its_images(bench: Bench, image: str, version: str) -> None:
    (result,) = bench.ask(PLAIN)
    assert version_of([result.observation], image) == version
    told = replace(result.observation.proxied, headers={"x-litellm-version": "1.2.3"})
    assert version_of([replace(result.observation, proxied=told)], image) == "1.2.3"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (KNOWN_FILE.replace('versions: ">=1.80"', ""), "a: names no versions of LiteLLM"),
        (KNOWN_FILE.replace("[body.usage]", '["*"]'), "a: excuses everything"),
        (KNOWN_FILE.replace("[body.usage]", '["**"]'), "a: excuses everything"),
        (KNOWN_FILE.replace("[body.usage]", '["*[]*"]'), "a: excuses everything"),
        (KNOWN_FILE.replace("[body.usage]", "[]"), "a: excuses everything"),
        (KNOWN_FILE.replace("<1.84", "someday"), "someday"),
        (KNOWN_FILE.replace("reason: lost}", "reason: lost, kinds: [odd]}"), "a: kinds may be"),
        (KNOWN_FILE.replace("reason: lost}", "colour: red}"), "colour"),
        (told_of("values: {body.usage: '*'}"), "a: a value is anything"),
        (told_of("values: {body.usage: 1 -> *}"), "a: a value is anything"),
        (told_of("values: {body.usage: '** -> **'}"), "a: a value is anything"),
        (told_of("values: {status: 1 -> 2}"), "a: values of a path it has not"),
        (told_of("values: [1]"), "values"),
        (told_of("varies: {body.usage: ''}"), "a: `varies` says why"),
        (told_of("varies: {body.usage: why}"), "a: what varies needs `kinds`"),
        (told_of("shows: rarely"), "a: shows always or sometimes"),
    ],
)
def test_an_entry_that_is_wrong_says_where(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "known.yaml").write_text(text)
    with pytest.raises(SignoffError, match=match) as raised:
        KnownIssues.read(tmp_path / "known.yaml")
    assert "known.yaml" in str(raised.value)


def test_an_allowance_makes_a_difference_harmless(bench: Bench) -> None:
    allowed = KnownIssues((replace(LOST_USAGE, id="allowed"), follows(LOST_USAGE, "schema.*")), (), ())
    (result,) = bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=allowed)
    assert result.verdict is Class.NORMALISED


def test_a_call_that_did_not_come_proves_nothing(bench: Bench) -> None:
    (result,) = bench.ask("chat.tool/*")
    assert result.verdict is Class.VACUOUS
    assert "tool_calls" in result.reason


def test_a_text_that_two_prompts_share_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.backend, "_reply", lambda messages, limit: (["same"], "stop"))
    results = bench.ask(PLAIN, "chat.other/*")
    assert {result.verdict for result in results} == {Class.VACUOUS}


def test_a_backend_that_does_not_repeat_itself_is_inconclusive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one", "two", "three"])
    monkeypatch.setattr(bench.backend, "_reply", lambda messages, limit: ([next(answers)], "stop"))
    (result,) = bench.ask(PLAIN)
    assert result.verdict is Class.INCONCLUSIVE
    assert "does not repeat itself" in result.reason


def ends_well(events: Events) -> Events:
    """A broken stream, repaired so that it looks whole."""
    return [*events[:2], events[2].replace('"finish_reason": null', '"finish_reason": "stop"'), DONE]


@pytest.mark.parametrize("as_allowance", [True, False])
def test_the_gate_never_lets_a_truncated_answer_look_complete(bench: Bench, *, as_allowance: bool) -> None:
    everything = (KnownIssue("all", ("*",), "an excuse for everything", varies={"*": "it does"}),)
    known = KnownIssues(everything, (), KnownIssues.read().gate) if as_allowance else knowing(*everything)
    known = replace(known, gate=KnownIssues.read().gate)
    honest = bench.ask("chat.dies/*", known_issues=known)
    tampered = bench.ask("chat.dies/*", known_issues=known, tampering=Tampering(events=ends_well))
    rule = replace(known.gate[0], runs=("chat.dies/*",))
    assert gate(honest, replace(known, gate=(rule,))) == []
    (failure,) = gate(tampered, replace(known, gate=(rule,)))
    assert failure.path == "complete"
    assert failure.known == "all"


@pytest.mark.parametrize(("known", "passes"), [("tolerated", True), ("refused", False)])
def test_a_rule_says_whether_it_takes_excuses(bench: Bench, known: str, passes: bool) -> None:
    rules = (Rule("usage is there", ("body.usage",), known=known),)
    known_issues = knowing(LOST_USAGE, rules=rules)
    assert (gate(bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=known_issues), known_issues) == []) is passes


def test_the_model_by_the_name_that_was_asked_for_is_no_difference(bench: Bench) -> None:
    (result,) = bench.ask(PLAIN, tampering=Tampering(body=put("model", "hosted_vllm-0")))
    assert result.verdict is Class.EQUAL


def test_a_difference_that_nobody_knows_fails_the_gate(bench: Bench) -> None:
    known_issues = knowing(rules=(Rule("usage is there", ("body.usage",)),))
    assert gate(bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=known_issues), known_issues)


def test_runs_with_unknown_defects_are_told_apart(bench: Bench) -> None:
    for known, expected in ((knowing(LOST_USAGE), []), (knowing(), ["chat.plain/plain/hosted_vllm"])):
        schema = (follows(LOST_USAGE, "schema.*", "client.*"),)
        known = replace(known, allowances=schema)
        results = bench.ask(PLAIN, tampering=LOSES_USAGE, known_issues=known)
        found = matrix(results, known, version="1.80.16", image="i", seconds=1)
        assert with_unknown_defects(found) == expected


def test_two_matrices_are_compared(bench: Bench, tmp_path: Path) -> None:
    def made(tampering: Tampering) -> dict[str, object]:
        results = bench.ask(PLAIN, STREAMED, tampering=tampering, known_issues=knowing())
        return matrix(results, knowing(), version="1", image="i", seconds=1)

    honest, tampered = made(Tampering()), made(LOSES_USAGE)
    other = made(Tampering(body=put("gateway", "me")))
    assert [(c.word, c.run.split("/")[1]) for c in changes(honest, tampered)] == [("newly broken", "plain")]
    assert [c.word for c in changes(tampered, honest)] == ["fixed"]
    assert [c.word for c in changes(honest, other)] == ["changed"]
    assert changes(honest, honest) == []
    (tmp_path / "parity.json").write_text('{"schema": "another"}')
    with pytest.raises(SignoffError, match="another version"):
        read(tmp_path)
    with pytest.raises(SignoffError, match="no parity matrix"):
        read(tmp_path / "nothing.json")


def test_a_defect_beside_another_and_another_wrong_value_are_changes(bench: Bench) -> None:
    def made(tampering: Tampering, *, allowed: bool = False) -> dict[str, object]:
        allowances = (KnownIssue("id", ("body.id",), "harmless"),) if allowed else ()
        known_issues = KnownIssues(allowances, (), ())
        results = bench.ask(PLAIN, tampering=tampering, known_issues=known_issues)
        return matrix(results, known_issues, version="1", image="i", seconds=1)

    def loses_both(body: dict[str, Any]) -> None:
        del body["usage"], body["id"]

    tampering = Tampering(body=loses_both)
    (change,) = changes(made(tampering, allowed=True), made(tampering))
    assert (change.word, change.came) == ("newly broken", ("lost body.id: defect",))
    (change,) = changes(made(Tampering(status=404)), made(Tampering(status=500)))
    assert change.word == "changed"
    assert "changed status: defect (500)" in change.came
    assert "changed status: defect (404)" in change.went


def test_rates_tell_a_changed_model_from_chance() -> None:
    same = ["a"] * 40
    assert rates.compare(same, same, same).verdict is Value.PASSED
    assert rates.compare(same, same, ["b"] * 20 + same[:20]).verdict is Value.FAILED
    restless = [str(number) for number in range(40)]
    found = rates.compare(restless, restless[::-1], restless[1:] + restless[:1])
    assert found.verdict is Value.INCONCLUSIVE
    assert "nothing could have been seen" in found.sentence


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("cases: [{id: a, colour: red}]", "no case has colour"),
        ("cases: [{id: a, modes: [sideways]}]", "not sideways"),
        ("cases: [{id: a}, {id: a}]", "two cases are called a"),
        ("cases: [{about: nothing}]", "has no id"),
        ("cases: [{id: a, fault: {explode: 1}}]", "no such fault"),
        ("[", "not a family"),
        ("nothing: 1", "not a family"),
    ],
)
def test_a_family_that_is_wrong_says_where(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(SignoffError, match=match) as raised:
        cases.load(tmp_path)
    assert "wrong.yaml" in str(raised.value)


def test_the_suites_own_data_is_well_formed() -> None:
    chosen = cases.runs(cases.load())
    assert len(chosen) >= 120
    assert len({run.id for run in chosen}) == len(chosen)
    known = KnownIssues.read()
    for entry in (*known.allowances, *known.defects):
        spoken_of = [run for run in chosen for version in ("1.80.16", "1.108.7") if entry.covers(run.id, version)]
        assert spoken_of, f"{entry.id} speaks of no run"
    with pytest.raises(SignoffError, match="no case run is called"):
        cases.runs(cases.load(), ["nothing.*"])


@pytest.mark.parametrize("path", ["body", "body.data[0].embedding[1]", "body.error.param", "backend.stopped", "new"])
def test_no_unknown_defect_passes_the_gate_wherever_it_is(bench: Bench, path: str) -> None:
    (honest,) = bench.ask(PLAIN)
    judged = Judged(Difference(path, "changed", 1, 2), Class.DEFECT, None)
    assert gate([replace(honest, verdict=Class.DEFECT, differences=(judged,))], KnownIssues.read())


def test_the_silence_of_vllm_is_not_charged_to_litellm(bench: Bench) -> None:
    known_issues = KnownIssues.read()
    (honest,) = bench.ask(PLAIN, known_issues=known_issues)
    silent = Exchange({}, 0, broken="connection refused")
    seen = replace(honest.observation, direct=silent, again=silent)
    (result,) = judge([seen], known_issues, "1.80.16")
    assert result.verdict is Class.INCONCLUSIVE
    assert result.differences
    assert gate([result], known_issues) == []
    (result,) = judge([replace(honest.observation, proxied=silent)], known_issues, "1.80.16")
    assert gate([result], known_issues)


def test_a_truth_is_no_number_under_another_name(bench: Bench) -> None:
    (honest,) = bench.ask(PLAIN)
    seen = honest.observation
    (received,) = seen.received or ()
    for value, kinds in ((1, ["renamed"]), (True, ["added", "dropped"])):
        sent, got = {**seen.sent, "n": 1}, {**received.body, "best_of": value}
        arrived = replace(seen, sent=sent, received=[replace(received, body=got)])
        (result,) = judge([arrived], KnownIssues((), (), ()), "1")
        assert sorted(each.difference.kind for each in result.differences) == kinds


@pytest.mark.parametrize(
    ("end", "heard"), [("\n\n", {"0": "a"}), ("\r\n\r\n", {"0": "a"}), ("", {})], ids=["whole", "crlf", "cut"]
)
def test_the_official_client_reads_the_bytes_that_came(bench: Bench, end: str, heard: dict[str, str]) -> None:
    """An event without its blank line is evidence to us, and nothing to a client."""
    chunk = {"choices": [{"index": 0, "text": "a", "finish_reason": None}]}
    came = f": a comment\n\ndata: {json.dumps(chunk)}{end}"
    (result,) = bench.ask(STREAMED, tampering=Tampering(raw=lambda _text: came))
    exchange = result.observation.proxied
    assert exchange.raw == came.encode()
    assert len(exchange.events) == 1
    assert Consumer().consume(exchange, "completion", stream=True)["text"] == heard


def test_a_violation_is_not_hidden_by_another_of_vllms_at_the_same_path(bench: Bench) -> None:
    (seen,) = [each.observation for each in bench.ask(PLAIN)]
    body = seen.direct.parsed
    del body["created"]
    direct = replace(seen.direct, body=json.dumps(body))
    del body["object"]
    tampered = replace(seen, direct=direct, again=direct, proxied=replace(seen.proxied, body=json.dumps(body)))
    (result,) = judge([tampered], KnownIssues((), (), ()), "1")
    violations = [each.difference.proxied for each in result.differences if each.difference.kind == "violation"]
    assert violations == ["'object' is a required property"]
    assert result.vllm["$"] == "'created' is a required property"
