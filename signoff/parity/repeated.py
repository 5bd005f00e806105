"""Whether two sides answer alike where the first of them need not repeat itself: asked in rounds, judged by rates.

A model on a GPU may answer the same question otherwise from one time to the next, since batches of other sizes add up
in another order. Where all answers of the first round are alike, nothing more is asked, and equality is what is judged.
Else every question is asked further times of each side, in turn and in changing order, and judged is:

- what holds whatever the text is: status, form, tokens of the prompt, and that an answer ends for a reason for which
  the first side ends answers too. One answer that differs in it is enough.
- the first answer to a question to which the first side then always gave one and the same. That a model which differs
  at times does so there alone has a chance of at most 1 in `e` times the rounds: 1 in 160.
- how often the sides differ: over all questions, and for each question alone, so that one that is always answered
  wrongly does not drown in what others vary. These tests share `ALPHA`. That the second side must never differ where
  the first never did would be no test: of a model that differs once in so many rounds, a quarter would fail.

Nothing passes that could not have failed: over all questions, and for each alone, a rate must have shown that lies so
far above the first side's own (`MARGIN`, `MARGIN_OF_ONE`).
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Generic, TypeVar

from signoff.core.console import progress
from signoff.core.timeouts import ASKED_AGAIN
from signoff.parity import rates
from signoff.parity.differ import Difference
from signoff.parity.rates import ALPHA, Rates
from signoff.verdicts.verdict import Value

Q = TypeVar("Q")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Said = Mapping[str, Any]
"""What of an answer is compared, by its path."""

VARYING = {"text", "finish_reason", "completion_tokens", "total_tokens"}
"""The last parts of paths whose values differ with what the model says."""
ROUNDS = 60
PAIRS = 180
"""So many rounds at least, and so many pairs over all questions: what `MARGIN` and `MARGIN_OF_ONE` need."""
MARGIN = 0.2
"""Of all answers. What a gateway changes of a model's answers it changes of all that are of a kind: a question, a
parameter, a mode. One in five more is less than that, and half of it would need four times the pairs."""
MARGIN_OF_ONE = 0.4
"""Of the answers to one question."""
EARLY = 10
"""After so many rounds no more are needed where one side always says one thing and the other always another: by chance
that happens once in a million times."""


@dataclass(frozen=True)
class Three(Generic[Q, T_co]):
    """A question and its answers of one round: the first side's, the first side's again, and the other's."""

    question: Q
    first: T_co
    again: T_co
    other: T_co


def varies(path: str) -> bool:
    """Whether what is at the path differs with what the model says."""
    return _name(path) in VARYING


@cache
def _name(path: str) -> str:
    return path.rpartition(".")[2]


def in_rounds(
    questions: Sequence[Q],
    ask: Callable[[Q, int], T],
    said: Callable[[T], Said],
    subject: str,
    begun: Sequence[Three[Q, T]] = (),
) -> list[Three[Q, T]]:
    """Ask all questions once, and where that is not enough to tell, in further rounds, bounded in number and time.

    `ask` asks the first side (0), the first side again (1), or the other (2). The order changes from round to round,
    so that no side always has a warmer cache. `subject` is what a person is told is being asked, `begun` the first
    round, where there has been one.
    """
    orders = list(itertools.permutations(range(3)))
    found = list(begun) or [_round(question, orders[0], ask) for question in questions]
    if not _untold(_said(each, said) for each in found):
        return found
    rounds = rounds_for(len(questions))
    progress(subject, f"answers to the same question differ: at most {rounds - 1} more rounds, to tell by how often")
    until, told = time.monotonic() + ASKED_AGAIN.seconds, time.monotonic()
    for number in range(1, rounds):
        if time.monotonic() >= until or _decided([_said(each, said) for each in found]):
            break
        found += [_round(question, orders[number % len(orders)], ask) for question in questions]
        if time.monotonic() >= told + ASKED_AGAIN.every:
            told = time.monotonic()
            progress(subject, f"{number + 1} of {rounds} rounds")
    return found


def rounds_for(questions: int) -> int:
    """How often each of so many questions is asked."""
    return ROUNDS if questions == 1 else max(ROUNDS, ceil(PAIRS / questions))


def _round(question: Q, order: Iterable[int], ask: Callable[[Q, int], T]) -> Three[Q, T]:
    answers = {side: ask(question, side) for side in order}
    return Three(question, answers[0], answers[1], answers[2])


def _said(three: Three[Q, T], said: Callable[[T], Said]) -> Three[str, Said]:
    return Three(str(three.question), said(three.first), said(three.again), said(three.other))


def _untold(first_round: Iterable[Three[str, Said]]) -> bool:
    """Whether answers differ, and in nothing but what varies with a model: all else is told by the first round."""
    restless = False
    for three in first_round:
        sides = (three.again, three.other)
        if any(side.get(path) != value for path, value in three.first.items() if not varies(path) for side in sides):
            return False
        restless = restless or not alike(three)
    return restless


def alike(three: Three[str, Said]) -> bool:
    """Whether all three say the same."""
    return three.first == three.again == three.other


def _differ(one: Said, other: Said) -> bool:
    return one != other and any(other.get(path) != value for path, value in one.items() if varies(path))


def _decided(rounds: Sequence[Three[str, Said]]) -> bool:
    return any(
        len(asked) >= EARLY
        and not any(_differ(each.first, each.again) for each in asked)
        and all(_differ(each.first, each.other) for each in asked)
        for asked in _by_question(rounds).values()
    )


def _by_question(rounds: Iterable[Three[str, Said]]) -> dict[str, list[Three[str, Said]]]:
    found: dict[str, list[Three[str, Said]]] = {}
    for each in rounds:
        found.setdefault(each.question, []).append(each)
    return found


@dataclass(frozen=True)
class Equality:
    """What rounds say. `whole` are the rates over all questions, `alone` those of each.

    `broken` are differences that no model's moods explain, with their questions; `spoilt` says why nothing can be told,
    if so.
    """

    whole: Rates
    alone: Mapping[str, Rates]
    broken: tuple[tuple[str, Difference], ...]
    spoilt: str

    @property
    def more_often(self) -> dict[str, Rates]:
        """The rates by which the other side differs more often, by question; "" is all of them."""
        return {name: each for name, each in self._tests.items() if each.verdict is Value.FAILED}

    @property
    def blind(self) -> dict[str, Rates]:
        """The rates that could not have shown a difference that matters, likewise."""
        return {name: each for name, each in self._tests.items() if each.verdict is Value.INCONCLUSIVE}

    @property
    def value(self) -> Value:
        """What is to be said of the other side."""
        if self.broken or self.more_often:
            return Value.FAILED
        return Value.INCONCLUSIVE if self.spoilt or self.blind else Value.PASSED

    def sentence(self, own: str, other: str) -> str:
        """The rates that decide, in words; `own` is the first side, `other` the second."""
        worst = self.more_often or self.blind or {"": self.whole}
        name, decides = next(iter(worst.items()))
        of_one = f"{name!r} alone: " if name else ""
        told = f"by rates of mismatch: {of_one}{decides.told(own, other)}"
        if self.more_often:
            return f"{other} differs from {own} more often than {own} from itself, {told}"
        if self.blind:
            return f"{own} does not repeat itself, and {decides.n} pairs show too little {told}"
        least = max((each.detectable or 0.0 for each in self.alone.values()), default=0.0)
        each = f"; of each question alone one of {least:.0%}" if len(self.alone) > 1 else ""
        return f"{own} does not repeat itself, so it was judged {told}{each}"

    @property
    def _tests(self) -> dict[str, Rates]:
        """Of a single question there is one test."""
        return {**({"": self.whole} if len(self.alone) > 1 else {}), **self.alone}


def equality(rounds: Sequence[Three[str, Said]]) -> Equality:
    """Judge the rounds, in the order in which they were asked."""
    questions = _by_question(rounds)
    alpha = ALPHA / (len(questions) + 1) if len(questions) > 1 else ALPHA
    return Equality(
        whole=_rates(rounds, alpha, MARGIN),
        alone={question: _rates(asked, alpha, MARGIN_OF_ONE) for question, asked in questions.items()},
        broken=(*_broken(rounds), *_changed(questions)),
        spoilt=next(filter(None, map(_spoilt, rounds)), ""),
    )


def _rates(rounds: Sequence[Three[str, Said]], alpha: float, margin: float) -> Rates:
    control = sum(_differ(each.first, each.again) for each in rounds)
    other = sum(_differ(each.first, each.other) for each in rounds)
    return rates.of(len(rounds), control, other, alpha=alpha, margin=margin)


def _spoilt(three: Three[str, Said]) -> str:
    """Why a question was not answered twice by the first side in what holds whatever the text is."""
    for path, value in three.first.items():
        if value is None or three.again[path] is None:
            return f"{three.question!r}: {path} is left out"
        if not varies(path) and three.again[path] != value:
            return f"{three.question!r}: {path} is {value!r} once, and {three.again[path]!r} again"
    return ""


def _broken(rounds: Sequence[Three[str, Said]]) -> list[tuple[str, Difference]]:
    """What holds whatever the text is, and does not in an answer of the other side; each path of a question once."""
    own = [said for each in rounds for said in (each.first, each.again)]
    reasons = {path: {said[path] for said in own} for path in own[0] if path.endswith("finish_reason")}
    sums = all(_adds_up(said) for said in own)
    found: dict[tuple[str, str], Difference] = {}
    for three in rounds:
        for path, value in three.other.items():
            wanted = three.first[path]
            steady = not varies(path) and three.again[path] == wanted and value != wanted
            ended = path in reasons and value not in reasons[path]
            added = sums and path.endswith("total_tokens") and not _adds_up(three.other)
            if steady or ended or added:
                found.setdefault((three.question, path), Difference(path, "changed", wanted, value))
    return [(question, difference) for (question, _), difference in found.items()]


def _adds_up(said: Said) -> bool:
    """Whether the tokens of the prompt and of the answer are all that there are."""
    counts = {_name(path): value for path, value in said.items() if isinstance(value, int)}
    parts = [counts[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in counts]
    return len(parts) == 3 and parts[0] + parts[1] == parts[2]


def _changed(questions: Mapping[str, Sequence[Three[str, Said]]]) -> list[tuple[str, Difference]]:
    """Of questions that the first side always answered alike: what the other's first answer has otherwise."""
    return [
        (question, Difference(path, "changed", value, asked[0].other[path]))
        for question, asked in questions.items()
        if not any(_differ(each.first, each.again) for each in asked)
        for path, value in asked[0].first.items()
        if varies(path) and asked[0].other[path] != value
    ]
