"""The verdicts in the terminal: one line for each requirement, and below it what keeps it from passing."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from signoff.judges.run import Judged
from signoff.report.signoff.view import View
from signoff.report.wording import attribution_sentence, ingress_sentence, overhead_sentence, parity_sentence
from signoff.verdicts import Value

Line = tuple[str, dict[str, bool]]
"""A line, and its markup for pytest's terminal writer."""

_COLOURS = {Value.PASSED: {"green": True}, Value.FAILED: {"red": True}}
_YELLOW = {"yellow": True}
_NAMES_TOLD = 3
_WORD = max(map(len, Value)) + 1


def lines(view: View) -> Iterator[Line]:
    """The whole summary but the report's place."""
    yield from _broken_off(view)
    yield from _requirements(view)
    yield from _waivers(view)
    yield from _settings(view)
    yield from _measured(view)
    yield from _time(view)
    for note in view.notes:
        yield note, _YELLOW
    yield from _left_out(view)
    yield "", {}
    yield view.result.headline, {"bold": True, **_COLOURS[Value.PASSED if view.result.signed_off else Value.FAILED]}


def _left_out(view: View) -> Iterator[Line]:
    """What was left out and why; of many for one reason the first, the page has all."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in view.left_out:
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        told = names if len(names) <= _NAMES_TOLD else [f"{names[0]} and {len(names) - 1} more"]
        for name in told:
            yield f"skipped {name}: {reason}", _YELLOW


def _broken_off(view: View) -> Iterator[Line]:
    if view.broken_off:
        yield view.broken_off, {"red": True}
    for failure in view.set_up_failures:
        yield f"the set-up failed: {failure.cause.what}", {"red": True}
    for what, scenarios in view.disturbed_scenarios.items():
        more = f" and {len(scenarios) - 1} after it" if len(scenarios) > 1 else ""
        yield f"disturbed in {scenarios[0]!r}{more}: {what}", _YELLOW


def _requirements(view: View) -> Iterator[Line]:
    width = max(len(each.key) for each in view.result.requirements) + 2
    for requirement in view.result.requirements:
        text = f"{requirement.key:{width}}{requirement.word:{_WORD}} {requirement.needs.text}"
        yield text, _COLOURS.get(requirement.value, _YELLOW) if requirement.word == requirement.value else {}
        first = view.told_first(requirement)
        for reason in _reasons(first):
            yield _indented(reason, width), {}
        if again := [each.name for each in view.hindering(requirement) if each not in first]:
            yield f"{'':{width}}{', '.join(again)}: as above", {}


def _reasons(checks: Sequence[Judged]) -> Iterator[str]:
    """What is to be said of each check, of neighbours at once where it is the same."""
    for (value, reason), group in groupby(checks, lambda each: (each.value, each.verdict.reason)):
        yield f"{', '.join(each.name for each in group)} {value}{f': {reason}' if reason else ''}"


def _indented(text: str, width: int) -> str:
    return "\n".join(f"{'':{width}}{line}" for line in text.splitlines())


def _waivers(view: View) -> Iterator[Line]:
    for each in view.result.waived:
        yield f"waived by the person who ran it: {each.name}: {each.waiver}", _YELLOW


def _settings(view: View) -> Iterator[Line]:
    for each in view.result.not_the_storys:
        yield each.as_line, _YELLOW


def _measured(view: View) -> Iterator[Line]:
    if timed := view.timed:
        yield "", {}
        yield f"overhead {overhead_sentence(timed.overhead)}", {"bold": True}
        if timed.attribution:
            yield attribution_sentence(timed.attribution), {}
    if view.result.ingress:
        yield ingress_sentence(view.result.ingress), {} if view.result.ingress.figures else _YELLOW
    if view.parity:
        yield "", {}
        yield f"parity {parity_sentence(view.parity, view.unknown_defects)}", {"bold": True}
    for name, reason in view.judged_by_rates:
        yield f"{name}: {reason}", _YELLOW


def _time(view: View) -> Iterator[Line]:
    if view.phases:
        yield "", {}
        yield "where the time went", {}
    for title, phases in view.phases:
        yield f"  {title}", {}
        for name, seconds in phases:
            yield f"  {seconds:6.1f} s  {name}", {}
