"""Step modules are found in their folders, and listed nowhere.

The suite's folder `steps` and a person's own make up one package `steps`, so that a module of either imports
`steps.chat` in the same way, from a checkout as from a wheel. It is put together here rather than on Python's path: an
installed package of this name would get into the way of every other program.
"""

import pkgutil
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

import pytest

from signoff.core.errors import UsageError
from signoff.core.paths import STEPS, SUITE
from signoff.story.declaration import file_above

_PACKAGE = "steps"


def step_modules() -> list[str]:
    """The names of all step modules, for pytest to load as plugins."""
    names = [f"{_PACKAGE}.{name}" for folder in _package().__path__ for name in sorted(_modules(folder))]
    pytest.register_assert_rewrite(*names)  # before one of them imports another
    return names


def add_steps(folder: Path) -> None:
    """Let the modules of a person's own folder be step modules, beside the suite's.

    Raises:
        UsageError: one has the name of another.
    """
    path = _package().__path__
    if any(folder.samefile(each) for each in path):
        return
    for other in path:
        if both := _modules(str(folder)) & _modules(other):
            raise UsageError(
                f"two step modules are called {min(both)}", where=f"{other} and {folder}", hint="rename your own"
            )
    path.append(str(folder))


def own_steps(features: Iterable[Path], here: Path) -> list[Path]:
    """The folders `steps` beside these features and above: as far up as this folder or, beyond it, as their story's.

    For a story that has none so, the one beside its folder.
    """
    found: dict[Path, None] = {}
    for feature in features:
        story = (file_above(feature) or feature).parent
        top = here if story.is_relative_to(here) else story
        within = _steps_in(folder for folder in feature.parents if folder.is_relative_to(top))
        found.update(dict.fromkeys(within or _steps_in([story.parent])))
    return list(found)


def _steps_in(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders if (path := folder / _PACKAGE).is_dir()]


def _package() -> ModuleType:
    if _PACKAGE not in sys.modules:
        spec = PathFinder.find_spec(_PACKAGE, [str(SUITE)])
        assert spec and spec.loader, f"{STEPS} is a package"
        sys.modules[_PACKAGE] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_PACKAGE])
    return sys.modules[_PACKAGE]


def _modules(folder: str) -> set[str]:
    return {module.name for module in pkgutil.iter_modules([folder])}
