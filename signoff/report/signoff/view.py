"""What the pages show beyond a result's verdicts, read from its evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from signoff.core.errors import SignoffError
from signoff.evidence import Recorded
from signoff.evidence.models import (
    Applied,
    Backend,
    CallsCompared,
    ClearedAway,
    Cluster,
    Disturbance,
    End,
    Exchange,
    Note,
    OverheadTimed,
    Phase,
    PodPlace,
    Run,
    SetUpFailure,
    Standing,
)
from signoff.judges import overhead as overhead_judge
from signoff.judges import parity as parity_judge
from signoff.judges.run import Judged, Requirement, Result, State
from signoff.parity.matrix import Matrix, matrix, with_unknown_defects
from signoff.report.wording import FIGURES, INGRESS_FIGURES
from signoff.settings.shown import Setting
from signoff.stats.estimate import Estimate
from signoff.story.declaration import Point, Task
from signoff.verdicts.verdict import GRAVITY, Code, Value

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.breakdown import Attribution
    from signoff.overhead.estimate import Overhead

KILLED = "The evidence ends in mid-line: the run was killed while it wrote. What came after is unknown."
NO_END = "The evidence has no end: the run was killed. What came after is unknown."
INTERRUPTED = "The run was interrupted before it came to its end."


@dataclass(frozen=True)
class Timed:
    """A measurement of the overhead, with the check that judges it."""

    seen: OverheadTimed
    judged: Judged
    overhead: "Overhead"
    attribution: "Attribution | None"

    @property
    def figures(self) -> list[tuple[str, Estimate, bool]]:
        """Each figure in the order of `FIGURES`: what it is, its estimate, and whether the story has it judged."""
        found = self.overhead.figures
        return [(text, found[name], name in self.judged.check.cases) for name, text in FIGURES.items() if name in found]

    @property
    def bar(self) -> list[tuple[str, float, float]]:
        """The parts of a proxied request: what, milliseconds, and its share of the drawn length in percent.

        A part below nothing (the error of a difference) is shown as none.
        """
        parts = self.attribution.parts() if self.attribution else []
        length = sum(max(ms, 0.0) for _, ms in parts) or 1.0
        return [(name, ms, 100 * max(ms, 0.0) / length) for name, ms in parts]


@dataclass(frozen=True)
class Cases:
    """Cases of a check that did not pass, of one value; their `reason` where the check's own does not tell it."""

    value: Value
    names: tuple[str, ...]
    reason: str


class View:
    """A result, and what of its evidence a person wants to see beside it."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.evidence: Recorded = result.evidence

    # The run

    @property
    def run(self) -> Run:
        """How the run began."""
        return self.evidence.run

    @property
    def began(self) -> str:
        """When the run began, in UTC to the second."""
        return self.evidence.lines[0].at[:19].replace("T", " ")

    @property
    def broken_off(self) -> str:
        """Why nobody knows how the run would have ended, if so."""
        end = self.evidence.last(End)
        if self.evidence.cut_off:
            return KILLED
        if end is None:
            return NO_END
        return INTERRUPTED if end.interrupted else ""

    @property
    def chosen_settings(self) -> list[Setting]:
        """The settings that somebody gave, of which the story has no value or the same."""
        return [each for each in self.result.settings if each.is_chosen and each.story is None]

    @property
    def disturbed_scenarios(self) -> dict[str, list[str]]:
        """What nobody ordered, in a sentence each, with the names of the scenarios in which it was seen."""
        names = {each.id: each.name for each in self.result.planned}
        found: dict[str, list[str]] = {}
        for line in self.evidence.lines:
            if isinstance(line.record, Disturbance):
                found.setdefault(line.record.cause.what, []).append(names.get(line.scenario, line.scenario))
        return found

    @property
    def set_up_failures(self) -> list[SetUpFailure]:
        """What kept the set-up from being made."""
        return self.evidence.of(SetUpFailure)

    @property
    def notes(self) -> list[str]:
        """What a person should know and no judge reads."""
        return [each.text for each in self.evidence.of(Note)]

    # Requirements and checks

    def points(self, requirement: Requirement) -> list[tuple[Point, Requirement]]:
        """A task's points, each with what is to be said of it alone."""
        return [(point, self._alone(point)) for point in requirement.points]

    def _alone(self, point: Point) -> Requirement:
        checks = tuple(self.result.checks[name] for name in point.checks)
        return Requirement(point.text, Task(text=point.text, points=(point,)), checks)

    def hindering(self, requirement: Requirement) -> list[Judged]:
        """The checks that keep it from passing, gravest first."""
        found = [each for each in requirement.checks if each.hinders]
        return sorted(found, key=lambda each: GRAVITY.index(each.value))

    def told_first(self, requirement: Requirement) -> list[Judged]:
        """Those of `hindering` that keep no requirement before it from passing: each reason is told once."""
        before = self.result.requirements[: self.result.requirements.index(requirement)]
        known = {each.name for earlier in before for each in self.hindering(earlier)}
        return [each for each in self.hindering(requirement) if each.name not in known]

    def aside(self, requirement: Requirement) -> list[Judged]:
        """The checks of it that do not count: waived, or outside reach."""
        return [each for each in requirement.checks if each.waiver is not None or each.value is Value.OUTSIDE_REACH]

    def needed_by(self, name: str) -> list[str]:
        """The keys of the requirements that need a check."""
        return [each.key for each in self.result.requirements if name in each.needs.checks]

    def cases(self, judged: Judged) -> list[Cases]:
        """The cases of a check that did not pass, together where there is the same to be said of them."""
        grouped: dict[tuple[Value, str], list[str]] = {}
        for case, verdict in judged.cases.items():
            if case and verdict.value is not Value.PASSED:
                # Of the cases that have the check's own value, its reason has told already.
                reason = "" if verdict.value is judged.value else verdict.reason
                grouped.setdefault((verdict.value, reason), []).append(case)
        return [Cases(value, tuple(names), reason) for (value, reason), names in grouped.items()]

    @property
    def judged_by_rates(self) -> list[tuple[str, str]]:
        """Cases that passed by how often answers differ, since the model does not repeat itself, and the rates."""
        return [
            (f"{name}, {case}" if case else name, verdict.reason)
            for name, judged in self.result.checks.items()
            for case, verdict in judged.cases.items()
            if verdict.code is Code.BY_RATES
        ]

    # What was measured

    @cached_property
    def timed(self) -> Timed | None:
        """The last measurement of the overhead; None without figures: nothing was timed, or a request failed."""
        for seen in reversed(self.evidence.of(OverheadTimed)):
            judged = self.result.checks.get(seen.check)
            if judged is None:
                continue
            try:
                return self._timed(seen, judged)
            except SignoffError:
                return None  # its check says why
        return None

    def _timed(self, seen: OverheadTimed, judged: Judged) -> Timed | None:
        from signoff.overhead.breakdown import attribute

        limit = float(judged.check.wants["limit_ms"])
        found = overhead_judge.measured(seen, self.evidence, limit)
        split = attribute(overhead_judge.samples(seen, self.evidence).blocks)
        return Timed(seen, judged, found, split) if found.figures else None

    @property
    def ingress_figures(self) -> list[tuple[str, Estimate]]:
        """What the ingress adds: each figure in the order of the others; none where it is not known."""
        found = self.result.ingress.figures if self.result.ingress else {}
        return [(text, found[name]) for name, text in INGRESS_FIGURES.items() if name in found]

    @cached_property
    def parity(self) -> Matrix | None:
        """All calls that were compared, as one matrix; None where none were, or their file is not the one recorded."""
        compared = self._compared()
        try:
            results = [each for seen in compared.values() for each in parity_judge.results(seen, self.evidence)]
        except SignoffError:
            return None  # the check says why
        if not results:
            return None
        last = list(compared.values())[-1]
        made = matrix(
            results,
            parity_judge.known_issues(),
            version=last.version,
            image=last.image,
            seconds=sum(each.seconds for each in compared.values()),
            whole=False,
            settings=self.run.settings,
        )
        return {**made, "at": self._at(last)}

    def _compared(self) -> Mapping[tuple[str, tuple[str, ...]], CallsCompared]:
        """The comparisons by their files and what they are about in these: several checks may speak of one."""
        return {(each.calls_file.name, tuple(each.only)): each for each in self.evidence.of(CallsCompared)}

    def _at(self, record: CallsCompared) -> str:
        """When the last calls were recorded: the page tells no other time than the evidence does."""
        return next(line.at for line in self.evidence.lines if line.record is record)

    @property
    def unknown_defects(self) -> int:
        """How many calls show a defect that known.yaml does not explain."""
        return len(with_unknown_defects(self.parity)) if self.parity else 0

    # Where it ran, and how long that took

    @property
    def cluster(self) -> Cluster | None:
        """The cluster."""
        return self.evidence.first(Cluster)

    @property
    def kept_apart(self) -> str:
        """What kept containers from the machine, and who vouched for them where nothing did; empty if nobody told."""
        told = self.cluster.details.get("kept_apart", "") if self.cluster else ""
        trust = self.run.settings.get("trust", "")
        return f"containers are kept apart by {told}{f'; {trust}' if trust else ''}" if told else ""

    @property
    def placements(self) -> list[tuple[str, str]]:
        """Each pod that was looked at and where it ran, without repetition."""
        seen = {(each.pod, each.node or "no node (Pending)"): None for each in self.evidence.of(PodPlace)}
        return list(seen)

    @property
    def phases(self) -> list[tuple[str, list[tuple[str, float]]]]:
        """Where the time went, in seconds: what all scenarios share, the cluster's start first, then what they did."""
        start = self.cluster.start_seconds.get("total") if self.cluster else None
        begin = [("start the cluster", start)] if start is not None else []
        found = self.evidence.of(Phase)
        groups = [
            ("set-up", begin + [(each.name, each.seconds) for each in found if each.set_up]),
            ("scenarios", [(each.name, each.seconds) for each in found if not each.set_up]),
        ]
        return [(title, phases) for title, phases in groups if phases]

    @property
    def software(self) -> dict[str, str]:
        """What was judged, in the versions that it names itself."""
        headers = (each.headers for each in self.evidence.of(Exchange))
        gateway = next((found["x-litellm-version"] for found in headers if "x-litellm-version" in found), "")
        backend = self.evidence.first(Backend)
        named = {"LiteLLM": gateway, "vLLM": backend.version if backend else ""}
        return {name: version for name, version in named.items() if version}

    @property
    def images(self) -> list[str]:
        """The images of the objects that were applied, or that stood there."""
        several = [each.images for each in self.manifests] + [each.images for each in self.standing]
        return sorted({image for images in several for image in images})

    @property
    def manifests(self) -> list[Applied]:
        """The objects of the manifests, those that were skipped as well."""
        return self.evidence.of(Applied)

    @property
    def standing(self) -> list[Standing]:
        """The objects that stood on the cluster and were judged."""
        return self.evidence.of(Standing)

    @property
    def cleared(self) -> list[str]:
        """What earlier runs had left on the cluster."""
        return [done for each in self.evidence.of(ClearedAway) for done in each.done]

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What was left out and why: objects and models by name, and scenarios."""
        objects = [(each.object, each.reason) for each in self.manifests if each.reason]
        objects += [
            (f"model {each.model}", f"not judged: {each.reason} ({each.file})") for each in self.result.unproven
        ]
        skipped = [each for each in self.result.scenarios if each.state is State.SKIPPED]
        return list(dict.fromkeys(objects + [(each.planned.name, each.reason) for each in skipped]))

    @property
    def files(self) -> list[tuple[str, str]]:
        """What lies beside the page, each with what it is."""
        named: Sequence[tuple[str, str, Any]] = (
            ("evidence.jsonl", "every observation, written before it was judged", True),
            ("verdict.json", "the verdicts for a program", True),
            (self.timed.seen.requests.name if self.timed else "", "every timed request", self.timed),
            ("parity.html", "both answers of each call", self.parity),
            ("parity.json", "the same as data", self.parity),
            ("junit.xml", "the scenarios for a CI", True),
            ("SHA256SUMS", "the SHA-256 of each of them", True),
        )
        return [(name, what) for name, what, there in named if there]
