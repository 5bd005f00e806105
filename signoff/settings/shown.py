"""Values of settings as a person reads them, and as evidence holds them; secrets as neither."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from signoff.core.redact import HIDDEN
from signoff.core.words import listed
from signoff.settings.model import Settings, default_of, if_empty, is_of_the_story, is_secret, names
from signoff.settings.reading import Read

_STORY, _DEFAULT = "the story", "the default"
_OTHERS = "other settings"
_SHOWN_WITH_VALUES = 3
"""So many settings that are not the story's does a headline tell with their values; of more it tells the names."""


def text(name: str, value: Any) -> str:
    """A setting's value in a line, or what it means that it is empty.

    >>> text("labels", {"a": "b", "c": "d"}), text("overhead_limit_ms", 100.0), text("litellm_image", "")
    ('a=b, c=d', '100', "the manifests' own")
    """
    if isinstance(value, SecretStr):
        value = HIDDEN if value.get_secret_value() else ""
    return in_words(value) or if_empty(name)


def in_words(value: Any) -> str:
    """A value in a line, empty if it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={' '.join(map(in_words, _several(each)))}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value))
    if isinstance(value, Path):
        here = Path.cwd()
        return str(value.relative_to(here) if value.is_relative_to(here) else value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def origin(read: Read, name: str) -> str:
    """Where a setting's value comes from, in words; one that nobody gave may follow others."""
    if where := read.where(name):
        return where
    if getattr(read.settings, name) != default_of(name):
        return _OTHERS
    return _STORY if is_of_the_story(name) else _DEFAULT


def record(read: Read) -> dict[str, dict[str, Any]]:
    """Each setting's value and origin as JSON; of one that is not the story's, the story's value too."""
    values = read.settings.model_dump(mode="json")
    stories = Settings().model_dump(mode="json")
    for name in filter(is_secret, names()):
        values[name] = HIDDEN if getattr(read.settings, name).get_secret_value() else ""
    return {
        name: {
            "value": values[name],
            "origin": origin(read, name),
            **({"story": stories[name]} if name in read.differing else {}),
        }
        for name in names()
    }


@dataclass(frozen=True)
class Setting:
    """A setting as evidence holds it, in words; `story` is the story's value where this is another."""

    name: str
    value: str
    origin: str
    story: str | None
    is_short: bool
    """Whether its value is one word, not a list or a table of them."""

    @property
    def is_chosen(self) -> bool:
        """Whether somebody gave it."""
        return self.origin not in (_STORY, _DEFAULT, _OTHERS)

    @property
    def as_line(self) -> str:
        """One that is not the story's, in a line of a terminal."""
        return f"not the story's: {self.name} = {self.value}, by {self.origin}; the story's is {self.story}"


def recorded(settings: Mapping[str, Any]) -> Iterator[Setting]:
    """The settings in a run's record; what is none, as in the evidence of former versions, is left out."""
    for name, held in settings.items():
        if isinstance(held, Mapping) and {"value", "origin"} <= held.keys():
            story = in_words(held["story"]) or "none" if "story" in held else None
            is_short = not isinstance(held["value"], list | Mapping)
            yield Setting(name, in_words(held["value"]), str(held["origin"]), story, is_short)


def differing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run's record that are not the story's, as it holds them."""
    return {name: held for name, held in settings.items() if isinstance(held, Mapping) and "story" in held}


def not_the_storys(settings: Mapping[str, Any]) -> list[Setting]:
    """The settings in a run's record with which it is no longer quite the story that was judged."""
    return list(recorded(differing(settings)))


def headline(outcome: str, differing: Sequence[Setting]) -> str:
    """A run in one sentence: what came of it, and each setting that is not the story's."""
    if not differing:
        return outcome
    several = len(differing) > _SHOWN_WITH_VALUES
    named = [f"{each.name} = {each.value}" if each.is_short and not several else each.name for each in differing]
    return f"{outcome}; {listed(named)} {'is' if len(named) == 1 else 'are'} not the story's"


def value_in(settings: Mapping[str, Any], name: str) -> Any:
    """A setting's value in a run's record; the story's where nothing is recorded, since there was no other once."""
    held = settings.get(name)
    return held["value"] if isinstance(held, Mapping) and "value" in held else Settings.model_fields[name].default
