"""Values of settings as a person reads them, and as evidence holds them; secrets as neither."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from signoff.core.redact import HIDDEN
from signoff.settings.model import Settings, if_empty, is_of_the_story, is_secret, names
from signoff.settings.reading import Read


def text(name: str, value: Any) -> str:
    """A setting's value in a line, or what it means that it is empty.

    >>> text("labels", {"a": "b", "c": "d"}), text("overhead_limit_ms", 100.0), text("litellm_image", "")
    ('a=b, c=d', '100', "the manifests' own")
    """
    if isinstance(value, SecretStr):
        value = HIDDEN if value.get_secret_value() else ""
    return _text(value) or if_empty(name)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, Path):
        here = Path.cwd()
        return str(value.relative_to(here) if value.is_relative_to(here) else value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def origin(read: Read, name: str) -> str:
    """Where a setting's value comes from, in words."""
    return read.where(name) or ("the story" if is_of_the_story(name) else "the default")


def record(read: Read) -> dict[str, dict[str, Any]]:
    """Each setting's value and origin as JSON; of one that is not the story's, the story's value too."""
    values = read.settings.model_dump(mode="json")
    stories = Settings.model_construct().model_dump(mode="json")
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
