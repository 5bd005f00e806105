"""The judges by the names that a story's declaration uses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from signoff.evidence import Recorded
from signoff.evidence.models import Observation, Subject
from signoff.story.declaration import Check, Declaration, nearest
from signoff.verdicts.verdict import Verdict

T = TypeVar("T", bound=Observation)

Judgement = tuple[str, Verdict]
"""A case of the check ("" where it has none) and what is to be said of it."""
Rule = Callable[[Sequence[Any], Check, Recorded], Iterable[Judgement]]


@dataclass(frozen=True)
class Judge:
    """How checks of one kind are judged: `rule` reads observations of the kind `reads`, and the files they name.

    `wants` and `minima` are what it reads of the declaration, so that a misspelt or missing one is refused.
    """

    name: str
    reads: type[Observation]
    rule: Rule
    wants: Any
    keys: tuple[str, ...]
    """Of `wants`, where that is a mapping."""
    minima: tuple[str, ...]
    cases: bool
    """Whether it has to be told its cases."""
    rests_on: frozenset[Subject]
    """Whose disturbance can be why something was not as wanted."""

    def problems(self, check: Check) -> Iterator[tuple[str, str]]:
        """What the declaration gets wrong about a check of this kind, with the setting's name."""
        if self.wants is None and check.wants is not None:
            yield "wants", f"the judge {self.name!r} reads no wants"
        if self.wants is not None and (check.wants is None or not isinstance(check.wants, self.wants)):
            yield "wants", f"the judge {self.name!r} needs wants as {getattr(self.wants, '__name__', self.wants)}"
        elif missing := [key for key in self.keys if key not in check.wants]:
            yield "wants", f"the judge {self.name!r} needs wants.{missing[0]}"
        if self.cases and not check.cases:
            yield "cases", f"the judge {self.name!r} needs cases"
        for name in self.minima:
            if name not in check.min:
                yield "min", f"the judge {self.name!r} needs min.{name}"
        for name in check.min:
            if name not in self.minima:
                yield "min", f"the judge {self.name!r} reads no min.{name}{nearest(name, self.minima)}"


JUDGES: dict[str, Judge] = {}


DISTURBED = frozenset({Subject.BACKEND, Subject.CLUSTER, Subject.MACHINE})


def judge(
    name: str,
    reads: type[T],
    *,
    wants: Any = None,
    keys: Sequence[str] = (),
    minima: Sequence[str] = (),
    cases: bool = False,
    rests_on: frozenset[Subject] = DISTURBED,
) -> Callable[[Any], Any]:
    """Register the rule that judges checks whose declaration says `judge: name`; the rest as in `Judge`."""

    def register(rule: Callable[[Sequence[T], Check, Recorded], Iterable[Judgement]]) -> Any:
        JUDGES[name] = Judge(name, reads, rule, wants, tuple(keys), tuple(minima), cases, rests_on)
        return rule

    return register


def validate(declaration: Declaration) -> None:
    """See that each check has a judge, and says what that needs to know.

    Raises:
        UsageError: one has not, with file and line.
    """
    for name, check in declaration.story.checks.items():
        if check.pending:
            continue
        found = JUDGES.get(check.judge)
        if found is None:
            hint = nearest(check.judge, JUDGES)
            raise declaration.error(f"no judge is called {check.judge!r}{hint}", ("checks", name, "judge"))
        for setting, problem in found.problems(check):
            raise declaration.error(problem, ("checks", name, setting))
