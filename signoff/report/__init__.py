"""The report: pages and terminal lines as pure functions of a run's evidence."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from signoff.evidence import Record, read
from signoff.verdicts import Judgement, Verdict, judge, signed_off

PAGES = ("signoff.html", "signoff.md")

FIGURES = {
    "median": "median of the paired differences, mean of both kinds",
    "median_plain": "... of plain answers",
    "median_streamed": "... of streams",
    "p95_shift": "p95 proxied minus p95 direct",
    "p99_shift": "p99 proxied minus p99 direct (not judged)",
    "ttft": "time to the first token (not judged)",
    "itl": "time between two tokens (not judged)",
    "control": "control: direct against direct",
}
"""What each of an overhead's figures is, in the order in which they are shown."""

_TEMPLATES = Path(__file__).parent
_COLOURS = {"passed": {"green": True}, "failed": {"red": True}}


@dataclass(frozen=True)
class Summary:
    """What both pages and the terminal show."""

    records: Sequence[Record]
    cut_off: bool
    judgements: Sequence[Judgement]

    def of(self, kind: str) -> list[Record]:
        """The records of one kind, in their order."""
        return [record for record in self.records if record["kind"] == kind]

    def first(self, kind: str) -> Record:
        """The first record of a kind, or an empty one."""
        return next(iter(self.of(kind)), {})

    @property
    def headline(self) -> str:
        """The run in one sentence."""
        if signed_off(self.judgements):
            return "Signed off: every criterion passed"
        words = Counter(judgement.word for judgement in self.judgements)
        return "Not signed off: " + ", ".join(
            f"{words[word]} {word}" for word in ("failed", "inconclusive", "not judged", "passed") if words[word]
        )

    @property
    def overhead(self) -> Record | None:
        """The summary of the last timed overhead; None without figures: nothing was timed, or a request failed."""
        timed = [record["summary"] for record in self.of("overhead")]
        return timed[-1] if timed and timed[-1].get("figures") else None

    @property
    def figures(self) -> list[tuple[str, Record]]:
        """The timed overhead's figures, each with what it is, in the order of `FIGURES`."""
        found = self.overhead["figures"] if self.overhead else {}
        return [(text, found[name]) for name, text in FIGURES.items() if name in found]

    @property
    def attribution(self) -> Record | None:
        """Where a proxied request's time goes; None if it was not measured."""
        found = self.of("attribution")
        return found[-1] if found else None

    @property
    def bar(self) -> list[tuple[str, float, float]]:
        """The parts of a proxied request: what, milliseconds, and its share of the drawn length in percent.

        A part below nothing (the error of a difference) is shown as none.
        """
        parts = self.attribution["parts"] if self.attribution else []
        length = sum(max(ms, 0.0) for _, ms in parts) or 1.0
        return [(name, ms, 100 * max(ms, 0.0) / length) for name, ms in parts]

    @property
    def parity(self) -> Record | None:
        """The parity matrix in short; the last one, which holds the calls of those before it."""
        return next(reversed(self.of("parity-matrix")), None)

    @property
    def timing_place(self) -> str:
        """Where the clock was that timed the overhead."""
        return str(self.first("timing-place").get("place", "from this machine"))

    @property
    def placements(self) -> list[tuple[str, str]]:
        """Each pod that was looked at and where it ran, without repetition."""
        seen = {(record["pod"], record["node"] or "no node (Pending)"): None for record in self.of("placement")}
        return list(seen)

    @property
    def phases(self) -> list[tuple[str, float]]:
        """Where the time went, in seconds: the cluster's start, then the phases in their order."""
        start = self.first("cluster").get("start_seconds", {}).get("total")
        phases = [(record["name"], record["seconds"]) for record in self.of("phase")]
        return ([("start the cluster", start)] if start is not None else []) + phases

    @property
    def software(self) -> dict[str, str]:
        """What was judged, in the versions that it names itself."""
        headers = (record["headers"] for record in self.of("exchange"))
        gateway = next((found["x-litellm-version"] for found in headers if "x-litellm-version" in found), "")
        named = {"LiteLLM": gateway, "vLLM": self.first("backend").get("version", "")}
        return {name: version for name, version in named.items() if version}

    @property
    def images(self) -> list[str]:
        """The images of the objects that were applied."""
        return sorted({image for record in self.of("manifest") for image in record["images"]})

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """What was left out and why: objects by name, and scenarios."""
        objects = [(r["object"], r["reason"]) for r in self.of("manifest") if r["outcome"] == "skipped"]
        scenarios = [(r["name"], r["reason"]) for r in self.of("scenario") if r["outcome"] == "skipped"]
        return list(dict.fromkeys(objects + scenarios))


def summarise(folder: Path) -> Summary:
    """Read and judge a run.

    Raises:
        SignoffError: the folder holds no evidence.
    """
    records, cut_off = read(folder)
    return Summary(records, cut_off, judge(records))


def write(folder: Path) -> Sequence[Record]:
    """Write the pages into the run's folder, from its evidence alone; gives that evidence.

    Raises:
        SignoffError: the folder holds no evidence.
    """
    summary = summarise(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["parity_sentence"] = parity_sentence
    environment.filters |= {
        "cell": _markdown_cell,
        "interval": _interval,
        "ms": _milliseconds,
        "seconds": "{:.1f}".format,
        "split": attribution_sentence,
    }
    for page in PAGES:
        text = environment.get_template(f"{page}.j2").render(run=summary, name=folder.name)
        (folder / page).write_text(text, encoding="utf-8")
    return summary.records


def _milliseconds(value: float) -> str:
    """One decimal, below 1 ms two, and no minus before a zero."""
    digits = 2 if abs(value) < 1 else 1
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _markdown_cell(text: Any) -> str:
    """A text as one cell of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())


def terminal_lines(folder: Path) -> Iterator[tuple[str, dict[str, bool]]]:
    """The summary's lines with their markup (pytest's terminal writer's)."""
    summary = summarise(folder)
    for judgement in summary.judgements:
        key = judgement.criterion.key
        yield f"{key:6} {judgement.word:13} {judgement.criterion.text}", _COLOURS.get(judgement.word, {"yellow": True})
        if judgement.verdict is not Verdict.PASSED:
            yield f"       {judgement.reason}", {}
    if overhead := summary.overhead:
        yield "", {}
        yield f"overhead {overhead_sentence(overhead)}", {"bold": True}
    if attribution := summary.attribution:
        yield attribution_sentence(attribution), {}
    if parity := summary.parity:
        yield "", {}
        yield f"parity {parity_sentence(parity)}", {"bold": True}
    if summary.phases:
        yield "", {}
        yield "where the time went", {}
        for name, seconds in summary.phases:
            yield f"  {seconds:6.1f} s  {name}", {}
    for name, reason in summary.skipped:
        yield f"skipped {name}: {reason}", {"yellow": True}
    yield "", {}
    yield summary.headline, {"bold": True, **_COLOURS.get("passed" if signed_off(summary.judgements) else "failed", {})}
    yield f"report: {folder / PAGES[0]}", {}


def parity_sentence(parity: Record) -> str:
    """How the calls compared, in a sentence; a call with any defect that is not known is not one with known defects."""
    failed = len({failure["run"] for failure in parity["gate"]["failures"]})
    unknown = parity.get("unknown", 0)
    told = {"with unknown defects": unknown, "with known defects": parity["summary"].get("defect", 0) - unknown}
    parts = (told if name == "defect" else {name: count} for name, count in parity["summary"].items())
    counted = ", ".join(f"{count} {name}" for part in parts for name, count in part.items() if count)
    gate = f"failed at {failed} call{'s' if failed > 1 else ''}" if failed else "passed"
    return f"{len(parity['runs'])} calls, of which {counted}; gate {gate}"


def overhead_sentence(overhead: Record) -> str:
    """The overhead in a sentence with its interval."""
    figures = overhead["figures"]
    median = figures["median"]
    text = f"{_milliseconds(median['value'])} ms at the median (95 % interval {_interval(median)})"
    for name, title in (("p95_shift", "p95 shift"), ("ttft", "TTFT"), ("itl", "between tokens")):
        if name in figures:
            text += f", {title} {_milliseconds(figures[name]['value'])} ms ({_interval(figures[name])})"
    return f"{text}, limit {overhead['limit_ms']:g} ms, {overhead['pairs']} pairs"


def attribution_sentence(attribution: Record) -> str:
    """Where a proxied request's time goes, in a sentence."""
    parts = " + ".join(f"{name} {_milliseconds(ms)}" for name, ms in attribution["parts"])
    note = f" ({attribution['note']})" if attribution["note"] else ""
    return f"{attribution['proxied_ms']:.1f} ms of a proxied request on average = {parts}{note}"


def _interval(figure: Record) -> str:
    """The ends of a figure's interval; it has none where too little was timed."""
    if figure["low"] is None:
        return "not known"
    return f"{_milliseconds(figure['low'])} to {_milliseconds(figure['high'])}"
