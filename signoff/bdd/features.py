"""Reading a `.feature` file: what is wrong with it is said with its line, before anything is started."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gherkin.dialect import Dialect
from gherkin.errors import CompositeParserException, ParserError, ParserException
from gherkin.parser import Parser
from pytest_bdd import feature as read_features
from pytest_bdd.exceptions import GherkinParseError
from pytest_bdd.gherkin_parser import Child, ExamplesTable, GherkinDocument, Scenario
from pytest_bdd.parser import Feature, FeatureParser

from signoff.core.errors import SignoffError

_OUTCOME = "Outcome"
"""How Gherkin calls Then in all languages."""
_CONTINUES = ("Conjunction", "Unknown")
"""And, But and *: steps of the same kind as the one before."""
_WORDS = {
    "Language": "# language",
    "TagLine": "tags",
    "FeatureLine": "Feature",
    "RuleLine": "Rule",
    "BackgroundLine": "Background",
    "ScenarioLine": "Scenario",
    "ExamplesLine": "Examples",
    "StepLine": "a step",
    "TableRow": "a row of a table",
    "DocStringSeparator": 'a text in """',
    "EOF": "the end",
}
"""What Gherkin expects, in words; comments and empty lines are so everywhere."""


@dataclass(frozen=True)
class _Fault:
    line: int
    what: str


class _Document(FeatureParser):
    """pytest-bdd's reader of a document that is parsed already."""

    def __init__(self, path: Path, document: GherkinDocument) -> None:
        super().__init__(str(path.parent), path.name)
        self._document = document

    def _parse_feature_file(self) -> GherkinDocument:
        return self._document


def read_feature(path: Path) -> Feature:
    """The feature in this file, which pytest-bdd's `scenario` then finds without reading it again.

    Line ends may be those of Windows, and a byte order mark may come first.

    Raises:
        SignoffError: it cannot be read or is no Gherkin, or a scenario could not fail: it has no steps or no Then, an
            outline has no examples, or another scenario takes its place by having its name. Each with file and line.
    """
    path = path.absolute()
    document = _parse(path)
    if faults := list(_faults(document)):
        raise _error(path, faults)
    try:
        found = _Document(path, document).parse()
    except GherkinParseError as error:
        raise _error(path, [_Fault(error.line, error.message)]) from error
    read_features.features[str(path)] = found
    return found


def _parse(path: Path) -> GherkinDocument:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SignoffError(f"the feature cannot be read: {error.strerror}", where=str(path), hint="fix it") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _error(path, [_Fault(line, "it is not UTF-8")]) from None
    try:
        parsed = Parser().parse(text)
    except CompositeParserException as error:
        raise _error(path, [_fault_of(each) for each in error.errors]) from error
    except ParserException as error:
        raise _error(path, [_fault_of(error)]) from error
    except ParserError as error:
        raise _error(path, [_Fault(1, str(error))]) from error
    if not parsed.get("feature"):
        written = "only comments" if text.strip() else "nothing"
        raise _error(path, [_Fault(1, f"it holds {written}, and no Feature")])
    return GherkinDocument.from_dict(parsed)


def _fault_of(error: ParserException) -> _Fault:
    """Gherkin's reason, without the position in front and in words instead of its token types."""
    said = str(error).partition("): ")[2] or str(error)
    if found := re.fullmatch(r"(unexpected end of file)?(?:, )?expected: ([#\w, ]+?)(?:, got '(.*)')?", said):
        end, expected, got = found.groups()
        tokens = expected.replace("#", "").split(", ")
        words = [word for token, word in _WORDS.items() if token in tokens]
        said = f"{end or f'{got!r} cannot stand here'}: expected {', '.join(words)}"
    return _Fault(error.location["line"], said)


def _error(path: Path, faults: list[_Fault]) -> SignoffError:
    places = dict.fromkeys(f"{path}:{fault.line}: {fault.what}" for fault in sorted(faults, key=lambda each: each.line))
    return SignoffError(
        f"{path.name} is not a feature that can be judged", where="\n         ".join(places), hint="fix the file"
    )


def _faults(document: GherkinDocument) -> Iterator[_Fault]:
    """Whatever in a well-formed document would be left out, or pass without having shown anything."""
    feature = document.feature
    dialect = Dialect.for_name(feature.language)
    assert dialect is not None  # else the parser would not have come this far
    outlines = dialect.scenario_outline_keywords
    named: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in _scenarios(feature.children):
        named[scenario.name].append(scenario)
        yield from _faults_of(scenario, is_outline=scenario.keyword in outlines)
    if not named and not any(child.rule for child in feature.children):
        yield _Fault(feature.location.line, "the feature has no scenario")
    for child in feature.children:
        if child.rule and not list(_scenarios(child.rule.children)):
            yield _Fault(child.rule.location.line, f'the rule "{child.rule.name}" has no scenario')
    for name, (first, *others) in named.items():
        for other in others:
            what = f'another scenario is called "{name}", in line {first.location.line}: one would replace the other'
            yield _Fault(other.location.line, what)


def _scenarios(children: list[Child]) -> Iterator[Scenario]:
    for child in children:
        if child.scenario:
            yield child.scenario
        if child.rule:
            yield from _scenarios(child.rule.children)


def _faults_of(scenario: Scenario, *, is_outline: bool) -> Iterator[_Fault]:
    line, called = scenario.location.line, f'the scenario "{scenario.name}"'
    if not scenario.name:
        yield _Fault(line, "a scenario has no name")
    if not scenario.steps:
        yield _Fault(line, f"{called} has no steps")
    elif scenario.steps[0].keyword_type in _CONTINUES:
        first = scenario.steps[0]
        yield _Fault(first.location.line, f"{called} begins with {first.keyword}, which continues no step before it")
    elif not any(step.keyword_type == _OUTCOME for step in scenario.steps):
        yield _Fault(line, f"{called} has no Then, so that nothing in it could fail")
    if is_outline and not scenario.examples:
        yield _Fault(line, f"{called} is an outline without Examples, so that it would run with its <names> in it")
    for examples in scenario.examples:
        if not _rows(examples):
            yield _Fault(examples.location.line, f"the Examples of {called[4:]} have no rows, so that it would not run")


def _rows(examples: ExamplesTable) -> bool:
    return examples.table_header is not None and bool(examples.table_body)
