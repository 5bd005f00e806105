"""The pytest plugin: collects features, keeps the evidence of a run, and ends it with the verdict on the story.

It decides nothing. What a Then step saw is judged as soon as it was recorded, so that the scenario turns red at that
step; the run's verdict and exit status are those of `signoff.judges.run` on the evidence alone, whatever became of
pytest's own outcomes.
"""

import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from _pytest._code.code import ExceptionRepr
from _pytest.junitxml import xml_key
from pytest_bdd.parser import Step

from signoff import judges, options, report
from signoff.bdd import arguments, collection, dry_run
from signoff.bdd.collection import FeatureFile
from signoff.bdd.observing import observed_by
from signoff.core import consent, console, interrupts
from signoff.core.errors import SignoffError, UsageError, told
from signoff.core.paths import SUITE
from signoff.core.redact import redacted_log, scrubbed
from signoff.core.waiting import HoldFailed, WaitFailed
from signoff.core.whole import draft_of
from signoff.evidence import Evidence, causes, read
from signoff.evidence.circumstances import circumstances, commit
from signoff.evidence.models import (
    Cause,
    Disturbance,
    End,
    Note,
    Observation,
    Plan,
    Record,
    ScenarioEnd,
    SetUpFailure,
    Subject,
)
from signoff.evidence.models import Run as RunRecord
from signoff.gateway.under_test import under_test
from signoff.judges import beforehand, registry
from signoff.judges.run import Result, judge_observed
from signoff.kube.answering import answering
from signoff.settings import Read, story_values
from signoff.settings import arguments as of_settings
from signoff.settings.shown import record
from signoff.story import declaration, waivers
from signoff.story.declaration import Declaration, features_at
from signoff.verdicts import ExitStatus, Value, Verdict
from signoff.verdicts.verdict import gravest

assert judges, "the judges register themselves"
_NEEDS = "needs-"
_JUNIT_HINT = "free some space there, or name another file with --junitxml"
_COLLECTS_NOTHING = ("help", "markers", "cacheshow")
_RUNS_NOTHING = ("collectonly", "showfixtures", "show_fixtures_per_test")
"""Options of pytest that only tell something."""


class NotPassed(Exception):
    """What a Then step saw was judged, and is not as wanted, or cannot be told."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        prefix = "" if verdict.value is Value.FAILED else f"{verdict.value.value}: "
        super().__init__(f"{prefix}{verdict.reason}")


_SHORT = (SignoffError, WaitFailed, HoldFailed, NotPassed)
"""Their text says what, where and what to do next; a Python traceback would only hide it."""


@dataclass
class Run:
    """One acceptance run: its evidence, and how the scenario that is running goes."""

    evidence: Evidence
    declaration: Declaration
    bundle: Callable[[BaseException], str] | None = None
    disturbances: Callable[[], Iterable[Cause]] | None = None
    running: dict[str, "Running"] = field(default_factory=dict)
    failed: int = 0
    """How many of pytest's failures are of scenarios."""
    result: Result | None = None
    """The run judged, once it is over."""
    set_up_depth: int = 0
    unwritten: SignoffError | None = None
    """What could not be written first, on a full disk say."""

    def record(self, record: Record) -> None:
        """Record what pytest tells, or remember that it cannot be: an error in pytest's own hooks would be pytest's."""
        with self.writing():
            self.evidence.add(record)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write into the run's folder in this block, or remember that it cannot be."""
        try:
            yield
        except SignoffError as error:
            self.unwritten = self.unwritten or error


@dataclass
class Running:
    """A scenario until its end; the first phase that does not pass decides how that is told."""

    started: float = field(default_factory=time.monotonic)
    set_up_seconds: float = 0.0
    """Of its time, what went into what all scenarios share; `set_up_of_phase` is that of the phase that lasts."""
    set_up_of_phase: float = 0.0
    end: Literal["whole", "judged", "error", "skipped"] = "whole"
    step: str = ""
    first_line: int = 0
    """Of the evidence that the step which is running writes."""
    cause: Cause | None = None
    skipped: str = ""
    in_its_wake: bool = False
    """Whether its tear-down has failed after its end, which that does not change."""
    over: bool = False
    """Whether its steps are over, so that only its tear-down is left."""


CHOSEN = pytest.StashKey[options.Chosen]()
"""What the run was asked for."""
DECLARATION = pytest.StashKey[Declaration]()
JOINING = pytest.StashKey[list[Path]]()
"""Features that lie below no declaration; they are run together with a story's, and count for it."""
EVERY = pytest.StashKey[list[pytest.Item]]()
"""Every scenario of the story, selected or not."""
RUN = pytest.StashKey[Run]()
STATUS = pytest.StashKey[int]()


def watch_over(
    config: pytest.Config, *, bundle: Callable[[BaseException], str], disturbances: Callable[[], Iterable[Cause]]
) -> None:
    """Look at the cluster whenever something does not pass.

    `bundle` is called with the error; its text, likely cause first, is kept beside the evidence. `disturbances` tells
    what nobody ordered has happened to cluster and backend, so that LiteLLM is not blamed for it.
    """
    run = config.stash[RUN]
    run.bundle, run.disturbances = bundle, disturbances


def is_over(config: pytest.Config) -> bool:
    """Whether the run is judged already: after Ctrl-C, before the scenario that it interrupted is torn down."""
    return config.stash[RUN].result is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    arguments.declare(parser.getgroup("signoff", "sign-off of an LLM gateway").addoption)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse what was asked for wrongly, then open the run's folder, all before anything is started."""
    interrupts.heed()
    config.addinivalue_line("markers", "needs(capability): the scenario needs this of the cluster, else it is skipped")
    features = _features_asked_for(config)
    if not features or any(getattr(config.option, name, False) for name in _COLLECTS_NOTHING):
        return
    try:
        if not config.pluginmanager.hasplugin("pytest-bdd"):
            raise UsageError("features need the plug-in pytest-bdd", where="-p no:pytest-bdd", hint="leave it in")
        settings = of_settings.read_from(config.option)
        written = declaration.find(features)
        declared = written.filled(story_values(settings.settings))
        registry.validate(declared)
        for key, requirement in declared.story.requirements.items():
            config.addinivalue_line("markers", f"{key.replace(' ', '_')}: {requirement.text}")
        config.stash[DECLARATION] = declared
        config.stash[JOINING] = [each for each in features if not declaration.file_above(each)]
        if any(getattr(config.option, name, False) for name in _RUNS_NOTHING):
            return
        _open_run(config, written, settings)
    except SignoffError as error:
        raise pytest.UsageError(str(error)) from error


def _open_run(config: pytest.Config, written: Declaration, settings: Read) -> None:
    option = config.option
    if getattr(option, "dist", "no") != "no":
        raise UsageError("features share one deployment: run them in one process, without -n")
    with _telling_what_the_manifests_tell(written), consent.asked_on(lambda: _terminal(config)):
        chosen = config.stash[CHOSEN] = options.check(
            settings,
            attach=option.attach,
            keep=option.keep_cluster,
            fresh=option.fresh_cluster,
            trust=option.trust,
            allowed=options.Allowed(option.allow_context, option.allow, option.as_copy, option.dry_run),
        )
    if chosen.access.dry_run:
        with _terminal(config), answering(chosen.access.context):
            for line in dry_run.shown(chosen):
                print(scrubbed(line))
        pytest.exit("this was a dry run: nothing was changed", returncode=0)
    declared = config.stash[DECLARATION] = written.filled(chosen.values)
    waivers.check(settings.settings.waive, declared, chosen.cluster, lambda name: settings.where("waive", name))
    name = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{commit()}-{os.getpid()}"
    began = RunRecord(
        tool="features",
        argv=[redacted_log(each) for each in sys.argv[1:]],
        cluster=chosen.cluster,
        story=declared.story.model_dump(mode="json", by_alias=True),
        story_file=_relative(declared.file),
        story_sha256=declared.sha256,
        waivers=chosen.settings.waive,
        **circumstances(
            {
                "attach": str(chosen.attach or ""),
                "trust": chosen.trust,
                "allow": ", ".join(sorted(chosen.access.allow)),
                **record(settings),
                **chosen.manifests.not_the_storys,
            }
        ),
    )
    evidence = Evidence(chosen.settings.reports.absolute() / name, began)
    evidence.add(under_test(chosen.manifests))
    config.stash[RUN] = Run(evidence, declared)
    if config.pluginmanager.hasplugin("junitxml"):
        config.option.xmlpath = config.option.xmlpath or str(evidence.dir / "junit.xml")
        config.pluginmanager.register(_JUnitWhole(config.stash[RUN]))
    _write_progress_past_capture(config)


@contextmanager
def _terminal(config: pytest.Config) -> Iterator[None]:
    """The terminal as it is without pytest, which takes stdin away."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    try:
        yield
    finally:
        if capture:
            capture.resume_global_capture()


@contextmanager
def _telling_what_the_manifests_tell(written: Declaration) -> Iterator[None]:
    """Where no cluster can have this run, say what fails on any, read off the manifests."""
    try:
        yield
    except options.NoCluster as error:
        checks = written.filled(options.values_of(error.manifests)).story.checks
        if found := list(beforehand.findings(error.manifests, checks)):
            told = "\n".join(f"  - {each}" for each in found)
            raise pytest.UsageError(f"{error}\nNot signed off: the manifests alone fail in this\n{told}") from error
        raise


def _relative(path: Path) -> str:
    return str(path.relative_to(SUITE)) if path.is_relative_to(SUITE) else str(path)


def _features_asked_for(config: pytest.Config) -> list[Path]:
    """The feature files that the arguments lead to; those of testpaths where there are none."""
    paths = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return [feature for path in paths for feature in features_at(path)]


def _write_progress_past_capture(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if terminal := config.pluginmanager.getplugin("terminalreporter"):
                terminal.ensure_newline()
            print(line, file=sys.__stderr__, flush=True)

    console.write_with(write)


# Collection


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect `.feature` files directly; none that nobody would judge."""
    if file_path.suffix.lower() != ".feature":
        return None
    if file_path.suffix != ".feature" or DECLARATION not in parent.config.stash:
        raise pytest.UsageError(
            f"{file_path}\n  is a feature that would not be judged: name it or its folder on the command line, and let"
            " its name end in .feature"
        )
    return FeatureFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_bdd_apply_tag(tag: str, function: Callable[..., Any]) -> bool | None:
    """A tag `needs-x` asks for a capability of the cluster; any other is a marker, and has to be a known one."""
    if not tag.startswith(_NEEDS):
        return None
    pytest.mark.needs(tag.removeprefix(_NEEDS))(function)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config) -> None:
    """See that every scenario of the story, selected or not, can be judged."""
    declared = config.stash.get(DECLARATION, None)
    if declared is None:
        return
    every = collection.every_scenario(session, declared, config.stash[JOINING])
    if found := list(dict.fromkeys(collection.problems(session, every, declared))):
        raise pytest.UsageError("\n".join(found))
    config.stash[EVERY] = every


def pytest_collection_finish(session: pytest.Session) -> None:
    """Record which scenarios there are, and which of them are to run."""
    run, every = session.config.stash.get(RUN, None), session.config.stash.get(EVERY, None)
    if run is not None and every is not None:  # a story that was refused has no plan
        run.record(
            Plan(
                scenarios=[collection.planned(item, session) for item in every],
                selected=[item.nodeid for item in session.items if isinstance(item.parent, FeatureFile)],
            )
        )
        _stop_if_unwritten(session, run)


# Running


@pytest.fixture(scope="session")
def chosen(pytestconfig: pytest.Config) -> options.Chosen:
    """What this run was asked for."""
    return pytestconfig.stash[CHOSEN]


@pytest.fixture(scope="session")
def evidence(pytestconfig: pytest.Config) -> Evidence:
    """The evidence of this run."""
    return pytestconfig.stash[RUN].evidence


@pytest.fixture(scope="session")
def opened_by() -> Mapping[str, str]:
    """Why the run lacks a capability, and what opens it; nothing where nobody says more than that it is not there."""
    return {}


@pytest.fixture(autouse=True)
def _has_what_it_needs(request: pytest.FixtureRequest) -> None:
    """Skip the scenario if the run lacks a capability that its tags name, and say what would open it."""
    needed = sorted({mark.args[0] for mark in request.node.iter_markers("needs")})
    if needed and (lacking := [name for name in needed if name not in request.getfixturevalue("capabilities")]):
        opened_by = request.getfixturevalue("opened_by")
        reasons = [opened_by.get(name) or f"the cluster lacks {name}" for name in lacking]
        pytest.skip("; ".join(dict.fromkeys(reasons)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Start a scenario's clock before its set-up; what is recorded until its end is recorded of it."""
    run = item.config.stash.get(RUN, None)
    if run is None or not isinstance(item.parent, FeatureFile):
        return (yield)
    running = run.running[item.nodeid] = Running()
    run.evidence.scenario = item.nodeid
    try:
        return (yield)
    finally:
        _record_end(run, item, running)
        run.evidence.scenario = ""
        _stop_if_unwritten(item.session, run)


def _stop_if_unwritten(session: pytest.Session, run: Run) -> None:
    """Let no further scenario begin of which nothing could be recorded."""
    if run.unwritten:
        session.shouldstop = run.unwritten.what


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Tell the time of what all scenarios share from their own, and record what keeps it from being set up."""
    run = request.config.stash.get(RUN, None)
    if run is None or fixturedef.scope != "session":
        return (yield)
    started = time.monotonic()
    run.set_up_depth += 1
    try:
        return (yield)
    except Exception as error:
        if not isinstance(error, WaitFailed):
            text = "".join(traceback.format_exception(error))
            where = error.where if isinstance(error, SignoffError) else ""
            run.record(SetUpFailure(cause=causes.cause_of(error), where=where, traceback=text))
        raise
    finally:
        run.set_up_depth -= 1
        if run.set_up_depth == 0 and (running := run.running.get(run.evidence.scenario)):
            running.set_up_of_phase += time.monotonic() - started


def pytest_bdd_before_step(request: pytest.FixtureRequest, step: Step) -> None:
    """Note which step runs, and where in the evidence it begins."""
    if run := request.config.stash.get(RUN, None):
        running = run.running[request.node.nodeid]
        running.step, running.first_line = step.name, len(run.evidence.lines)


@pytest.hookimpl(trylast=True)
def pytest_bdd_after_step(request: pytest.FixtureRequest, step: Step, step_func: Callable[..., Any]) -> None:
    """Judge what a Then step saw, as soon as it was recorded, so that the scenario ends where it is not as wanted."""
    run = request.config.stash.get(RUN, None)
    if run is None or step.type != "then":
        return
    verdict = _judge_step(run, request.node.nodeid, observed_by(step_func))
    if verdict.value in (Value.FAILED, Value.INCONCLUSIVE) and _record_disturbances(run):
        verdict = _judge_step(run, request.node.nodeid, observed_by(step_func))
    if verdict.value is not Value.PASSED:
        raise NotPassed(verdict)


def _judge_step(run: Run, nodeid: str, checks: Iterable[str]) -> Verdict:
    """The gravest verdict on what the step that has just ended observed of its checks.

    Raises:
        SignoffError: it recorded nothing of one of them.
    """
    so_far = run.evidence.so_far()
    seen = [line.record for line in so_far.lines[run.running[nodeid].first_line :]]
    found: list[Verdict] = []
    for name in checks:
        own = [each for each in seen if isinstance(each, Observation) and each.check == name]
        if not own:
            raise SignoffError(f"the step recorded nothing of the check {name!r}, which it is to observe")
        check = run.declaration.story.checks[name]
        found += [verdict for _, verdict in judge_observed(check, so_far, [(nodeid, each) for each in own])]
    return gravest(found)


def _record_disturbances(run: Run) -> bool:
    """Record what nobody ordered has happened to cluster and backend; whether anything has."""
    try:
        found = list(run.disturbances()) if run.disturbances else []
    except Exception as error:
        found = [causes.cause_of(error)]
    for cause in found:
        run.record(Disturbance(cause=cause))
    return bool(found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how the scenario ends, and show an error made for people without Python's traceback."""
    result = yield
    run = item.config.stash.get(RUN, None)
    if run is None or not isinstance(item.parent, FeatureFile):
        return result
    running = run.running[item.nodeid]
    run.failed += result.failed
    error = call.excinfo.value if call.excinfo else None
    if error is not None and running.end == "whole":
        running.over = call.when == "teardown"
        _note_end(run, running, error, result)
    elif isinstance(error, Exception):  # in the tear-down of a scenario that had its end: that stays as it is
        running.in_its_wake = True
        run.record(Note(text=f"{item.nodeid}: {told(error)}"))
    if isinstance(error, _SHORT) or (running.cause and running.cause.subject is not Subject.SUITE):
        result.longrepr = _told(run, running, error)
    result.duration = max(0.0, result.duration - running.set_up_of_phase)
    running.set_up_seconds, running.set_up_of_phase = running.set_up_seconds + running.set_up_of_phase, 0.0
    if call.when == "call" and isinstance(error, Exception) and running.end in ("judged", "error"):
        result.sections += _bundle(run, item, error)
    _scrub(result)
    return result


def _scrub(report: pytest.TestReport) -> None:
    """Take the secrets out of what the terminal and JUnit show, such as a traceback or what a program has printed."""
    text = report.longreprtext
    if isinstance(report.longrepr, tuple):  # that it was skipped, and where
        file, line, reason = report.longrepr
        report.longrepr = (file, line, scrubbed(reason))
    elif scrubbed(text) != text:
        report.longrepr = scrubbed(text)
    report.sections = [(title, scrubbed(text)) for title, text in report.sections]


def _note_end(run: Run, running: Running, error: BaseException, report: pytest.TestReport) -> None:
    if isinstance(error, NotPassed):
        running.end = "judged"
    elif isinstance(error, pytest.skip.Exception):
        running.end, running.skipped = "skipped", str(error.msg)
    elif report.skipped:
        running.end, running.skipped = "skipped", str(error)
    elif isinstance(error, Exception):
        running.end, running.cause = "error", causes.cause_of(error)
        _record_disturbances(run)


def _told(run: Run, running: Running, error: BaseException | None) -> str:
    """The error as the terminal and JUnit show it, beginning with its verdict where it is not LiteLLM's failure."""
    if error is None or isinstance(error, NotPassed) or running.cause is None or running.in_its_wake:
        return told(error) if error else ""
    cause = run.evidence.so_far().disturbance(run.evidence.scenario) or running.cause
    if cause.subject is Subject.GATEWAY:
        return told(error)
    return f"{Value.INCONCLUSIVE.value}: {cause.what}"


def _bundle(run: Run, item: pytest.Item, error: BaseException) -> list[tuple[str, str]]:
    """Write the state of the cluster beside the evidence; its first line goes to the terminal."""
    if run.bundle is None:
        return []
    path = _bundle_path(run, item)
    try:
        text = scrubbed(run.bundle(error))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except Exception as failed:
        # A bundle must not hide the failure that it explains.
        return [("cluster", f"its state could not be collected: {failed}")]
    return [("cluster", f"{text.splitlines()[0]}\nmore: {path}")]


def _bundle_path(run: Run, item: pytest.Item) -> Path:
    name = "".join(letter if letter.isalnum() else "_" for letter in item.nodeid.partition("::")[2])
    return run.evidence.dir / "bundles" / f"{item.path.stem}-{name}.txt"


def _record_end(run: Run, item: pytest.Item, running: Running) -> None:
    bundle = _bundle_path(run, item)
    run.record(
        ScenarioEnd(
            id=item.nodeid,
            end=running.end,
            step=running.step if running.end in ("judged", "error") else "",
            unobserved=_unobserved(item, running),
            cause=running.cause,
            skipped=running.skipped,
            seconds=round(time.monotonic() - running.started - running.set_up_seconds, 3),
            bundle=str(bundle.relative_to(run.evidence.dir)) if bundle.exists() else "",
        )
    )


def _unobserved(item: pytest.Item, running: Running) -> list[str]:
    """The checks of the step at which a scenario ended, and of those behind it."""
    if running.end == "whole" or running.over:
        return []
    return collection.checks_from(item, item.session, running.step)


# The end


@pytest.hookimpl(tryfirst=True)
def pytest_internalerror(excrepr: ExceptionRepr) -> None:
    """Take the secrets out of an error of pytest itself, which everybody shows after this."""
    text = str(excrepr)
    if (clean := scrubbed(text)) != text:
        excrepr.toterminal = lambda tw: tw.line(clean)  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Judge the run from its evidence, as it lies on the disk, and write the pages, whatever happened."""
    run = session.config.stash.get(RUN, None)
    if run is None:
        return (yield)
    if exitstatus == pytest.ExitCode.USAGE_ERROR and run.evidence.so_far().first(Plan) is None:
        _discard(session.config, run)
        return (yield)
    run.record(
        End(
            interrupted=int(exitstatus) == pytest.ExitCode.INTERRUPTED or int(exitstatus) not in list(pytest.ExitCode),
            pytest_status=int(exitstatus),
            other_failures=max(0, session.testsfailed - run.failed),
        )
    )
    run.evidence.close()
    result = run.result = Result(read(run.evidence.dir))
    with run.writing():
        report.write(result)
    _tell_pytest(session.config, result)
    session.config.stash[STATUS] = session.exitstatus = int(result.status)
    try:
        return (yield)
    finally:
        try:
            report.seal(run.evidence.dir)
        except SignoffError as error:
            console.progress("report", str(error))


def _discard(config: pytest.Config, run: Run) -> None:
    """Leave nothing of a run that was refused while its features were collected."""
    del config.stash[RUN]
    run.evidence.close()
    if xml := config.stash.get(xml_key, None):
        _drop_junit(config)  # from here on; the hook that runs just now still calls it
        xml.logfile = os.devnull
    shutil.rmtree(run.evidence.dir)
    with suppress(OSError):  # it holds other runs
        run.evidence.dir.parent.rmdir()


def _drop_junit(config: pytest.Config) -> None:
    config.pluginmanager.unregister(config.stash[xml_key])
    del config.stash[xml_key]


class _JUnitWhole:
    """Has JUnit's file written elsewhere, and put where it belongs if all of it can be: half of it misleads CI."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        xml = session.config.stash.get(xml_key, None)
        if xml is None:  # the run was refused, and leaves nothing
            return (yield)
        # Here pytest writes it to nowhere: what goes wrong within this hook is other plug-ins' affair.
        place, xml.logfile = Path(xml.logfile), os.devnull
        try:
            return (yield)
        finally:
            self._write(session.config, place)

    def _write(self, config: pytest.Config, place: Path) -> None:
        xml = config.stash[xml_key]
        try:
            with draft_of(place, _JUNIT_HINT) as draft:
                xml.logfile = str(draft)
                xml.pytest_sessionfinish()  # makes the folders above it, too
        except SignoffError as error:
            self._run.unwritten = self._run.unwritten or error
            _drop_junit(config)  # which would say that it was generated
        xml.logfile = str(place)


def _tell_pytest(config: pytest.Config, result: Result) -> None:
    """Put the verdict into JUnit's file and pytest's last line."""
    if xml := config.stash.get(xml_key, None):
        xml.add_global_property("verdict", result.headline)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    missing = [each for each in result.checks.values() if each.value is Value.NOT_JUDGED and each.waiver is None]
    if terminal and missing:
        # Reports, since other plugins go through them; pytest itself counts them.
        reports = [pytest.CollectReport(each.name, "failed", None, None) for each in missing]
        terminal.stats[f"check{'s' if len(missing) > 1 else ''} not judged"] = reports


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """End with the verdict's exit status, whatever other plug-ins have made of the session's."""
    status = yield
    return config.stash.get(STATUS, int(ExitStatus.NOT_JUDGED) if RUN in config.stash else status)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdicts, the overhead, where the time went, and where the report lies."""
    run = config.stash.get(RUN, None)
    if run is None or run.result is None:
        return
    terminalreporter.section("sign-off")
    for line, markup in report.terminal_lines(run.result):
        terminalreporter.write_line(line, **markup)
    if run.unwritten:
        terminalreporter.write_line(str(run.unwritten), red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the evidence."""
    if run := config.stash.get(RUN, None):
        console.write_with(None)
        run.evidence.close()
