"""What LiteLLM's configuration says, setting by setting, and on which of its lines."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from signoff.core.yaml_lines import Path, lines_of, nearest_line

_OF_A_MODEL: dict[str, Path] = {
    "model_name": ("model_name",),
    "model": ("litellm_params", "model"),
    "api_base": ("litellm_params", "api_base"),
}
_OF_THE_ROUTER: dict[str, tuple[Path, ...]] = {
    "routing_strategy": (("router_settings", "routing_strategy"),),
    "num_retries": (("router_settings", "num_retries"), ("litellm_settings", "num_retries")),
    "timeout": (("router_settings", "timeout"), ("litellm_settings", "request_timeout")),
}
"""Where LiteLLM's router takes its settings from, the first before the second. What a model has of its own in its
`litellm_params` goes before these for that model, and is not the router's (litellm 1.80.16: router.py)."""
_DEFAULTS: dict[str, Any] = {"routing_strategy": "simple-shuffle", "num_retries": 2, "timeout": 6000}
"""What it does where nothing is said (constants.py)."""


@dataclass
class Configuration:
    """The values of each setting, one for each model that has it, and the line of the first, counted from 1."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def read(text: str, asked: str = "") -> Configuration:
    """Read a config.yaml; what is not there has no value, or that which LiteLLM's router then has.

    A model's prefix ("openai/") is not part of its name.

    Of its `model_list` those entries count that clients get who ask for `asked`; all of them, if there is none.
    """
    found = Configuration()
    try:
        parsed, lines = yaml.safe_load(text), lines_of(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return found
    config = parsed if isinstance(parsed, dict) else {}
    models = config.get("model_list")
    entries = list(enumerate(models if isinstance(models, list) else []))
    for at, entry in [each for each in entries if _below(each[1], ("model_name",)) == asked] or entries:
        for name, path in _OF_A_MODEL.items():
            value = _below(entry, path)
            value = value.partition("/")[2] if name == "model" and isinstance(value, str) else value
            _add(found, name, value, nearest_line(lines, ("model_list", at, *path)))
    for name, places in _OF_THE_ROUTER.items() if found.values else ():
        place = next((each for each in places if _is_said(name, _below(config, each))), None)
        value = _below(config, place) if place else _DEFAULTS[name]
        _add(found, name, value, nearest_line(lines, place or places[0]))
    return found


def _is_said(name: str, value: Any) -> bool:
    """No timeout of 0 seconds is one to LiteLLM."""
    return value is not None and (name != "timeout" or bool(value))


def _below(value: Any, path: Path) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _add(found: Configuration, name: str, value: Any, line: int) -> None:
    found.lines.setdefault(name, line)
    if value is not None:
        found.values.setdefault(name, []).append(value)
