"""The pytest plugin: collects features, keeps the evidence of a run, and ends it with one verdict per criterion."""

import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_bdd import scenario
from pytest_bdd.feature import get_feature
from pytest_bdd.parser import Step
from pytest_bdd.scenario import (
    find_fixturedefs_for_step,
    get_python_name_generator,
    scenario_wrapper_template_registry,
)
from pytest_bdd.steps import step_function_context_registry

from signoff import console, report, story
from signoff.cluster.provider import NAMES
from signoff.errors import SignoffError
from signoff.evidence import Evidence
from signoff.paths import MANIFESTS, ROOT
from signoff.stats.bootstrap import FEWEST
from signoff.verdicts import Inconclusive, judge, signed_off
from signoff.waiting import WaitFailed

_NEEDS = "needs-"
_SHORT = (SignoffError, WaitFailed, Inconclusive)
"""Their text says what, where and what to do next; a Python traceback would only hide it."""
_CRITERIA = {criterion.key for criterion in (*story.CRITERIA, story.NOTES)}


@dataclass
class Run:
    """One acceptance run: its evidence, and how each scenario went so far."""

    evidence: Evidence
    bundle: Callable[[BaseException], str] | None = None
    outcomes: dict[str, "Outcome"] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a scenario goes; the first phase that does not pass decides."""

    started: float = field(default_factory=time.monotonic)
    word: str = "passed"
    reason: str = ""
    step: str = ""
    """The step that did not pass."""


RUN = pytest.StashKey[Run]()


def set_failure_bundle(config: pytest.Config, collect: Callable[[BaseException], str]) -> None:
    """Have `collect` called with each scenario's error; its text, likely cause first, is kept beside the evidence."""
    config.stash[RUN].bundle = collect


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("signoff", "sign-off of an LLM gateway")
    env = os.environ.get
    group.addoption(
        "--cluster",
        choices=NAMES,
        default=env("SIGNOFF_CLUSTER", "embedded"),
        help="where to run: embedded (needs no preparation), kind, or existing (default: SIGNOFF_CLUSTER or embedded)",
    )
    group.addoption(
        "--attach", metavar="DIR", help="use the running cluster, embedded (or its name) or kind, whose folder this is"
    )
    group.addoption(
        "--keep-cluster",
        action="store_true",
        help="leave the cluster running at the end and say how to use and remove it",
    )
    group.addoption(
        "--fresh-cluster", action="store_true", help="start a new cluster even where a kept one could be used"
    )
    group.addoption(
        "--manifests", metavar="DIR", default=str(MANIFESTS), help="folder with litellm/ and vllm/ (default: manifests)"
    )
    group.addoption("--litellm-image", metavar="IMAGE", default=env("SIGNOFF_LITELLM_IMAGE"), help="LiteLLM's image")
    group.addoption("--vllm-image", metavar="IMAGE", default=env("SIGNOFF_VLLM_IMAGE"), help="vLLM's image")
    group.addoption(
        "--reports", metavar="DIR", default=str(ROOT / "reports"), help="where the run's folder goes (default: reports)"
    )
    group.addoption(
        "--overhead-pairs",
        metavar="N",
        type=int,
        default=400,
        help="time at most this many pairs of direct and proxied requests; above 400, it ends when the intervals are "
        f"narrow enough (default: 400, at least {FEWEST}; p95 is judged from 400, p99 reported from 2000)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the run's folder before anything is started, so that an unwritable one costs nobody a cluster."""
    config.addinivalue_line("markers", "needs(capability): the scenario needs this of the cluster, else it is skipped")
    if not _asks_for_features(config) or config.option.collectonly or config.option.help:
        return
    if getattr(config.option, "dist", "no") != "no":
        raise pytest.UsageError("features share one deployment: run them in one process, without -n")
    if config.option.overhead_pairs < FEWEST:
        raise pytest.UsageError(f"--overhead-pairs must be at least {FEWEST}")
    commit = _git("rev-parse", "--short", "HEAD") or "nogit"
    name = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{commit}-{os.getpid()}"
    try:
        evidence = Evidence(Path(config.option.reports).absolute() / name)
    except SignoffError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RUN] = Run(evidence)
    config.option.xmlpath = config.option.xmlpath or str(evidence.dir / "junit.xml")
    evidence.record("run", argv=sys.argv[1:], **_circumstances(config, commit))
    _write_progress_past_capture(config)


def _asks_for_features(config: pytest.Config) -> bool:
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        if path.suffix == ".feature" or (path.is_dir() and next(path.rglob("*.feature"), None)):
            return True
    return False


def _git(*arguments: str) -> str:
    """What git says of this checkout; nothing where there is no git, or no checkout."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _circumstances(config: pytest.Config, commit: str) -> dict[str, Any]:
    names = ("cluster", "attach", "manifests", "litellm_image", "vllm_image", "overhead_pairs")
    packages = ("signoff", "pytest", "pytest-bdd", "httpx", "kubernetes", "numpy")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain")),
        "settings": {name: getattr(config.option, name) for name in names},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "memory_gib": round(memory / 2**30, 1),
        },
    }


def _write_progress_past_capture(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            if terminal := config.pluginmanager.getplugin("terminalreporter"):
                terminal.ensure_newline()
            print(line, file=sys.__stderr__, flush=True)

    console.write_with(write)


# Collection


class FeatureFile(pytest.Module):
    """A `.feature` file as the module that its scenarios would be in."""

    def _getobj(self) -> ModuleType:
        module = ModuleType(self.path.stem)
        try:
            scenarios = get_feature(str(self.path.parent), self.path.name).scenarios
        except Exception as error:
            raise self.CollectError(f"{self.path} is not a feature: {error}") from error
        for name in scenarios:
            wrapped = scenario(self.path.name, name, features_base_dir=str(self.path.parent))(_nothing_more)
            python_name = next(each for each in get_python_name_generator(name) if not hasattr(module, each))
            setattr(module, python_name, wrapped)
        return module


def _nothing_more() -> None:
    """A scenario's steps are all there is to it."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect `.feature` files directly."""
    return FeatureFile.from_parent(parent, path=file_path) if file_path.suffix == ".feature" else None


def pytest_bdd_apply_tag(tag: str, function: Callable[..., Any]) -> bool | None:
    """A tag `needs-x` asks for a capability of the cluster; any other is a marker, and has to be a known one."""
    if not tag.startswith(_NEEDS):
        return None
    pytest.mark.needs(tag.removeprefix(_NEEDS))(function)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """See that each scenario counts and each step has exactly one definition, and record what the story plans."""
    features = [item for item in items if isinstance(item.parent, FeatureFile)]
    problems = {problem: None for item in features for problem in _problems(session, item)}
    if problems:
        raise pytest.UsageError("\n".join(problems))
    if run := config.stash.get(RUN, None):
        run.evidence.record("plan", scenarios=_planned(session, features))


def _problems(session: pytest.Session, item: pytest.Item) -> Iterator[str]:
    feature = item.parent
    assert feature is not None
    if not _describe(item)["criteria"]:
        tags = ", ".join(f"@{key}" for key in sorted(_CRITERIA))
        yield f"{item.nodeid}\n  belongs to no criterion, so nobody would judge it: tag it with one of {tags}"
    for step in _steps(item):
        definitions = {d.func for d in find_fixturedefs_for_step(step, session._fixturemanager, item)}
        where = f"{feature.nodeid}:{step.line_number}: {step.keyword} {step.name}"
        if not definitions:
            yield f"{where}\n  no step definition matches; write one in steps/"
        elif len(definitions) > 1:
            places = sorted(_place(definition) for definition in definitions)
            yield f"{where}\n  {len(definitions)} step definitions match: {', '.join(places)}"


def _steps(item: pytest.Item) -> list[Step]:
    function = item.obj  # type: ignore[attr-defined]
    callspec = getattr(item, "callspec", None)
    example = callspec.params["_pytest_bdd_example"] if callspec else {}
    steps: list[Step] = scenario_wrapper_template_registry[function].render(example).steps
    return steps


def _place(definition: Callable[..., Any]) -> str:
    """Where a step function is; the definition wraps it in a closure."""
    code = step_function_context_registry[definition].step_func.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _planned(session: pytest.Session, collected: list[pytest.Item]) -> list[dict[str, Any]]:
    """Every scenario of the folders that the run's features lie in, collected or not."""
    files = {item.path for item in collected}
    items = list(collected)
    for path in sorted({other for file in files for other in file.parent.glob("*.feature")} - files):
        module = FeatureFile.from_parent(session, path=path)
        items += [each for each in session.genitems(module) if isinstance(each, pytest.Item)]
    return [_describe(item) for item in items]


def _describe(item: pytest.Item) -> dict[str, Any]:
    function = item.obj  # type: ignore[attr-defined]
    template = scenario_wrapper_template_registry[function]
    return {
        "id": item.nodeid,
        "name": template.name,
        "feature": str(item.path.relative_to(item.config.rootpath)),
        "criteria": sorted({mark.name for mark in item.iter_markers()} & _CRITERIA),
    }


# Running


@pytest.fixture(scope="session")
def evidence(pytestconfig: pytest.Config) -> Evidence:
    """The evidence of this run."""
    return pytestconfig.stash[RUN].evidence


@pytest.fixture(autouse=True)
def _has_what_it_needs(request: pytest.FixtureRequest) -> None:
    """Skip the scenario if the cluster lacks a capability that its tags name."""
    needed = {mark.args[0] for mark in request.node.iter_markers("needs")}
    if needed and (lacking := needed - request.getfixturevalue("capabilities")):
        pytest.skip(f"the cluster lacks {', '.join(sorted(lacking))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how the scenario goes, and show an error made for people without Python's traceback."""
    result = yield
    run = item.config.stash.get(RUN, None)
    if run is None or not isinstance(item.parent, FeatureFile):
        return result
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, _SHORT):
        prefix = "inconclusive: " if isinstance(error, Inconclusive) else ""
        result.longrepr = f"{prefix}{error}"
    outcome = run.outcomes.setdefault(item.nodeid, Outcome())
    if outcome.word == "passed" and not result.passed:
        outcome.word = "inconclusive" if isinstance(error, Inconclusive) else result.outcome
        outcome.reason = _reason(result, error)
    if call.when == "call" and error is not None and outcome.word in ("failed", "inconclusive"):
        result.sections += _bundle(run, item, error)
    if call.when == "teardown":
        _record_scenario(run, item, outcome)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Record what keeps a fixture of the whole run from being set up; each scenario then meets the same error."""
    try:
        return (yield)
    except Exception as error:
        run = request.config.stash.get(RUN, None)
        if run and fixturedef.scope == "session" and not isinstance(error, WaitFailed):
            text = "".join(traceback.format_exception(error))
            where = error.where if isinstance(error, SignoffError) else ""
            run.evidence.record("setup-failure", what=str(error), where=where, traceback=text)
        raise


def pytest_bdd_step_error(request: pytest.FixtureRequest, step: Step) -> None:
    """Note which step it was."""
    if run := request.config.stash.get(RUN, None):
        run.outcomes[request.node.nodeid].step = step.name


def _reason(result: pytest.TestReport, error: BaseException | None) -> str:
    if result.skipped and isinstance(result.longrepr, tuple):
        return str(result.longrepr[2]).removeprefix("Skipped: ")
    text = str(error) if error is not None else str(result.longrepr)
    return text[:2000]


def _bundle(run: Run, item: pytest.Item, error: BaseException) -> list[tuple[str, str]]:
    """Write the state of the cluster beside the evidence; its first line goes to the terminal."""
    if run.bundle is None:
        return []
    path = _bundle_path(run, item)
    try:
        text = run.bundle(error)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    except Exception as failed:
        # A bundle must not hide the failure that it explains.
        return [("cluster", f"its state could not be collected: {failed}")]
    return [("cluster", f"{text.splitlines()[0]}\nmore: {path}")]


def _bundle_path(run: Run, item: pytest.Item) -> Path:
    name = "".join(letter if letter.isalnum() else "_" for letter in item.nodeid.partition("::")[2])
    return run.evidence.dir / "bundles" / f"{item.path.stem}-{name}.txt"


def _record_scenario(run: Run, item: pytest.Item, outcome: Outcome) -> None:
    bundle = _bundle_path(run, item)
    run.evidence.record(
        "scenario",
        **_describe(item),
        outcome=outcome.word,
        reason=outcome.reason,
        step=outcome.step,
        seconds=round(time.monotonic() - outcome.started, 3),
        bundle=str(bundle.relative_to(run.evidence.dir)) if bundle.exists() else "",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Start a scenario's clock before its set-up."""
    if run := item.config.stash.get(RUN, None):
        run.outcomes[item.nodeid] = Outcome()
    return (yield)


# The end


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Write the report, whatever happened, and let the run pass only if every criterion has."""
    if run := session.config.stash.get(RUN, None):
        run.evidence.record("end", exitstatus=int(exitstatus))
        records = report.write(run.evidence.dir)
        if session.exitstatus == pytest.ExitCode.OK and not signed_off(judge(records)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per criterion, the overhead, where the time went, and where the report lies."""
    if not (run := config.stash.get(RUN, None)):
        return
    terminalreporter.section("sign-off")
    for line, markup in report.terminal_lines(run.evidence.dir):
        terminalreporter.write_line(line, **markup)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the evidence."""
    if run := config.stash.get(RUN, None):
        console.write_with(None)
        run.evidence.close()
