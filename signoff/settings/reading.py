"""Which value each setting has, and where it comes from: an option, a variable, a file, or the story.

An option counts before a variable, a variable before the file, and that before the story. Each replaces the whole of
what it overrules, lists and mappings too. All that is wrong is refused by the name that it was given under.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from signoff.core.errors import UsageError
from signoff.settings.model import (
    PREFIX,
    Settings,
    default_of,
    described,
    form,
    holds_several,
    is_of_the_story,
    is_secret,
    names,
)
from signoff.settings.toml import File
from signoff.story.declaration import nearest

FILE = "signoff.toml"
OPTION, VARIABLE = "--settings", f"{PREFIX}SETTINGS"
"""What names the file, where it is not the one beside the manifests or in this folder."""
_OPTIONS = {
    "secrets": "--secret",
    "timeout": "--router-timeout",  # pytest-timeout, which many have, takes --timeout
}
_MISSPELT = 0.8
"""So alike are a variable that there is not and the one that was meant; the suite has others, such as SIGNOFF_CACHE."""

Given = Mapping[str, Sequence[str] | None]
"""The texts that were given for the option of a setting, one each time; none or None if it was not given."""


def option_of(name: str) -> str:
    """The option of a setting."""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return f"{PREFIX}{name.upper()}"


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: `called` is what the setting is called there, `where` shows a person the place."""

    source: Literal["story", "file", "variable", "option"]
    called: str
    where: str


@dataclass(frozen=True)
class Read:
    """The settings, and where each comes from."""

    settings: Settings
    origins: Mapping[str, Origin]
    _told: Mapping[str, Any] = field(repr=False)
    _file: File | None

    def where(self, name: str, key: str = "") -> str:
        """What to change for another value; for a key of a mapping, its own place."""
        return _where(self.origins[name], self._told.get(name), self._file, name, key)

    @property
    def file(self) -> Path | None:
        """The file of settings that was read, if one was."""
        return self._file.path if self._file else None

    @property
    def differing(self) -> tuple[str, ...]:
        """The settings that are not the story's: with them it is no longer quite that story which is judged.

        One that nobody gave only follows others.
        """
        own = (name for name in names() if is_of_the_story(name) and self.origins[name].source != "story")
        return tuple(name for name in own if getattr(self.settings, name) != default_of(name))


def read(options: Given, file: str | None = None) -> Read:
    """The settings, from the options that were given, the environment and a file.

    `file` is what was given for --settings.

    Raises:
        UsageError: a value or a name is wrong, or the file cannot be read.
    """
    given = {name: texts for name, texts in options.items() if texts}
    for name, texts in given.items():
        _check_not_blank(option_of(name), texts)
    variables = _variables()
    found = _file(file, given, variables)
    if found:
        _check_known(found)
    told: dict[str, Any] = (found.told if found else {}) | variables
    told |= {name: texts if holds_several(name) else texts[-1] for name, texts in given.items()}
    origins = {name: _origin(name, given, variables, found) for name in names()}
    try:
        settings = Settings(**told)
    except ValidationError as error:
        raise _refused(error, origins, told, found) from None
    return Read(settings, origins, told, found)


def _check_not_blank(option: str, texts: Sequence[str]) -> None:
    """An unset variable of a script makes such an option."""
    if blank := [each for each in texts if not each.strip()]:
        raise UsageError(f"{option} names nothing", where=f"{option} {blank[0]!r}", hint=f"leave {option} out")


def _variables() -> dict[str, str]:
    """The text of each setting's variable that is set and not blank.

    Raises:
        UsageError: there is a variable that seems to be meant for a setting, and is none's.
    """
    known = [variable.removeprefix(PREFIX) for variable in (*map(variable_of, names()), VARIABLE)]
    others = (each.removeprefix(PREFIX) for each in os.environ if each.startswith(PREFIX))
    for other in (each for each in others if each not in known):
        if meant := get_close_matches(other, known, n=1, cutoff=_MISSPELT):
            what = f"no setting has the variable {PREFIX}{other}; did you mean {PREFIX}{meant[0]}?"
            raise UsageError(what, where=f"{PREFIX}{other}", hint="rename it, or unset it")
    return {name: value for name, value in EnvSettingsSource(Settings)().items() if value.strip()}


def _file(asked: str | None, given: Given, variables: Mapping[str, str]) -> File | None:
    """The file that is named; else the one beside the manifests that are named, or in this folder, if there is one."""
    if asked is not None:
        _check_not_blank(OPTION, [asked])
        return File(Path(asked), f"{OPTION} {asked}")
    if named := os.environ.get(VARIABLE, "").strip():
        return File(Path(named), f"{VARIABLE}={named}")
    manifests = given.get("manifests") or variables.get("manifests", "").split(os.pathsep)
    beside = Path(manifests[0])
    for folder in (beside if os.path.isdir(beside) else beside.parent, Path()):  # noqa: PTH112
        file = folder / FILE
        if os.path.isfile(file):  # noqa: PTH113  Path's own fail where the folder may not be read
            return File(file, str(file))
        if os.path.lexists(file):
            what = "the settings cannot be read: it is no file, nor a link to one"
            raise UsageError(what, where=str(file), hint="put a file in its place, or remove it")
    return None


def _check_known(file: File) -> None:
    for name in file.told:
        if name not in Settings.model_fields:
            what = f"there is no setting {name!r}{nearest(name, names())}"
            raise UsageError(what, where=file.where(name), hint="`signoff settings` lists all")


def _origin(name: str, given: Given, variables: Mapping[str, str], file: File | None) -> Origin:
    if texts := given.get(name):
        return Origin("option", option_of(name), " ".join(_as_options(name, texts)))
    if name in variables:
        variable = variable_of(name)
        return Origin("variable", variable, variable if is_secret(name) else f"{variable}={variables[name]}")
    if file and name in file.told:
        return Origin("file", name, file.where(name))
    return Origin("story", name, "")


def _as_options(name: str, texts: Sequence[str]) -> Iterator[str]:
    return (f"{option_of(name)} {text}" for text in texts)


def _where(origin: Origin, told: Any, file: File | None, name: str, key: str) -> str:
    if origin.source == "file" and file:
        return file.where(name, key)
    if key and origin.source == "option" and isinstance(told, list):
        own = [text for text in told if text.partition("=")[0].strip() == key]
        return " ".join(_as_options(name, own)) or origin.where
    return origin.where


# What pydantic complains of, as a person would say it

_SENTENCES = {
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a number that is finite",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must name at least {min_length}",
    "too_long": "must name at most {max_length}",
    "missing": "must be given",
    "mapping_type": "must be a table of names and values",
    "dataclass_type": "must be a table or a text",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "dict_type": "must be a table of names and values",
    "path_type": "must be the name of a file",
}


def _refused(
    error: ValidationError, origins: Mapping[str, Origin], told: Mapping[str, Any], file: File | None
) -> UsageError:
    first: Mapping[str, Any] = error.errors(include_url=False, include_input=False)[0]
    context = first.get("ctx", {})
    if first["type"] == "contrary":
        said = [origins[name].where for name in context["settings"] if origins[name].where]
        return UsageError(str(first["msg"]), where=" and ".join(said), hint=context["hint"])
    name, *below = (str(part) for part in first["loc"])
    key, part = _below(told[name], below)
    message = _SENTENCES.get(first["type"], "").format(**context) or str(first["msg"]).removeprefix("Value error, ")
    subject = f"{origins[name].called}: {part!r}" if part else origins[name].called
    return UsageError(
        f"{subject}{' ' if message.startswith('must ') else ': '}{message}",
        where=_where(origins[name], told.get(name), file, name, key),
        hint=f"{name}: {described(name)}{f' ({form(name)})' if form(name) else ''}",
    )


def _below(told: Any, path: Sequence[str]) -> tuple[str, str]:
    """What of a setting is wrong: the key of its line in a file, and what a person calls it."""
    if isinstance(told, dict) and path and path[0] in told:
        return path[0], path[0]
    if isinstance(told, list) and path and path[0].isdecimal():
        return path[0], ".".join(path[1:])
    return "", ""
