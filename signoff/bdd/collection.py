"""Features as pytest collects them, and what is wrong with them, by file and line, before anything starts."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_bdd import scenario
from pytest_bdd.parser import Step
from pytest_bdd.scenario import (
    find_fixturedefs_for_step,
    get_python_name_generator,
    scenario_wrapper_template_registry,
)
from pytest_bdd.steps import step_function_context_registry

from signoff.bdd.features import read_feature
from signoff.bdd.observing import observed_by
from signoff.core.errors import SignoffError
from signoff.evidence.models import PlannedScenario
from signoff.story.declaration import Declaration, nearest


class FeatureFile(pytest.Module):
    """A `.feature` file as the module that its scenarios would be in."""

    def _getobj(self) -> ModuleType:
        module = ModuleType(self.path.stem)
        try:
            scenarios = read_feature(self.path).scenarios
        except SignoffError as error:
            raise pytest.UsageError(str(error)) from error
        for name in scenarios:
            wrapped = scenario(self.path.name, name, features_base_dir=str(self.path.parent))(_nothing_more)
            names = map(_encodable, get_python_name_generator(name))
            python_name = next(each for each in names if not hasattr(module, each))
            setattr(module, python_name, wrapped)
        return module


def _encodable(name: str) -> str:
    """A name that PYTEST_CURRENT_TEST can hold in this locale: what it can't is escaped, as in parameters' ids."""
    encoding = sys.getfilesystemencoding()
    return name.encode(encoding, "backslashreplace").decode(encoding)


def _nothing_more() -> None:
    """A scenario's steps are all there is to it."""


@dataclass(frozen=True)
class Definition:
    """A step of a scenario, and the functions that define it: exactly one, unless something is wrong."""

    step: Step
    functions: tuple[Callable[..., Any], ...]


def every_scenario(session: pytest.Session, declaration: Declaration, joining: list[Path]) -> list[pytest.Item]:
    """Every scenario of the story's folder and of what joins it, selected or not; pytest does not count these."""
    paths = sorted({*declaration.features(), *joining})
    modules = (FeatureFile.from_parent(session, path=path) for path in paths)
    return [each for module in modules for each in module.collect() if isinstance(each, pytest.Item)]


def planned(item: pytest.Item, session: pytest.Session) -> PlannedScenario:
    """A scenario as the evidence names it."""
    template = scenario_wrapper_template_registry[item.obj]  # type: ignore[attr-defined]
    checks = [name for each in _definitions(session, item) for name in _checks(each)]
    return PlannedScenario(
        id=item.nodeid,
        name=template.name,
        feature=_file(item),
        line=template.line_number,
        checks=list(dict.fromkeys(checks)),
    )


def checks_from(item: pytest.Item, session: pytest.Session, step: str) -> list[str]:
    """The checks of the step of this name and of those behind it; of all steps, if none has it."""
    definitions = list(_definitions(session, item))
    at = next((at for at, each in enumerate(definitions) if each.step.name == step), 0)
    return list(dict.fromkeys(name for each in definitions[at:] for name in _checks(each)))


def problems(session: pytest.Session, items: list[pytest.Item], declaration: Declaration) -> Iterator[str]:
    """What is wrong with these scenarios, each in a sentence with its place."""
    observed: set[str] = set()
    for item in items:
        for each in _definitions(session, item):
            yield from _problems_of(each, item, declaration)
            observed.update(_checks(each))
    for name, check in declaration.story.checks.items():
        where = declaration.where("checks", name)
        if not check.pending and name not in observed:
            yield (
                f"{where}: no scenario observes the check {name!r}, so nobody would judge it\n"
                "  next:  give it a scenario back, or say under `pending` why it has none"
            )
        elif check.pending and name in observed:
            yield f"{where}: a scenario observes the check {name!r}, which is `pending`\n  next:  take `pending` out"


def _problems_of(each: Definition, item: pytest.Item, declaration: Declaration) -> Iterator[str]:
    step = each.step
    where = f"{_file(item)}:{step.line_number}: {step.keyword} {step.name}"
    if not each.functions:
        yield f"{where}\n  no step definition matches; write one in steps/"
    elif len(each.functions) > 1:
        places = sorted(_place(function) for function in each.functions)
        yield f"{where}\n  {len(places)} step definitions match: {', '.join(places)}"
    elif step.type == "then" and not _checks(each):
        place = _place(each.functions[0])
        yield f"{where}\n  observes no check, so nobody would judge it: @observes(...) names one ({place})"
    for name in _checks(each):
        if name not in declaration.story.checks:
            hint = nearest(name, declaration.story.checks)
            yield f"{where}\n  observes {name!r}, which {declaration.file.name} does not declare{hint}"


def _checks(each: Definition) -> tuple[str, ...]:
    if len(each.functions) != 1 or each.step.type != "then":
        return ()
    return observed_by(step_function_context_registry[each.functions[0]].step_func)


def _definitions(session: pytest.Session, item: pytest.Item) -> Iterator[Definition]:
    for step in _steps(item):
        functions = {each.func for each in find_fixturedefs_for_step(step, session._fixturemanager, item)}
        yield Definition(step, tuple(functions))


def _steps(item: pytest.Item) -> list[Step]:
    function = item.obj  # type: ignore[attr-defined]
    callspec = getattr(item, "callspec", None)
    example = callspec.params["_pytest_bdd_example"] if callspec else {}
    steps: list[Step] = scenario_wrapper_template_registry[function].render(example).steps
    return steps


def _file(item: pytest.Item) -> str:
    root = item.config.rootpath
    return str(item.path.relative_to(root) if item.path.is_relative_to(root) else item.path)


def _place(definition: Callable[..., Any]) -> str:
    """Where a step function is; the definition wraps it in a closure."""
    code = step_function_context_registry[definition].step_func.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
