"""LiteLLM's configuration as a ConfigMap holds it: whether it can be judged at all, and where in it something is."""

from dataclasses import dataclass
from typing import Any

import yaml

from signoff.core.errors import SignoffError
from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube.objects import Manifest

_FORM = "`model_list:` with `- model_name: NAME` and its `litellm_params:`, as docs.litellm.ai shows"


@dataclass(frozen=True)
class Text:
    """A key of a ConfigMap."""

    manifest: Manifest
    key: str

    @property
    def text(self) -> str:
        """What it holds."""
        return str(self.manifest.body.get("data", {}).get(self.key, ""))

    def where(self, *place: str | int) -> str:
        """File and line of a place of the configuration."""
        first = self.manifest.line("data", self.key)
        try:
            lines = lines_of(yaml.compose(self.text, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError):
            lines = {}
        return f"{self.manifest.file}:{first + (nearest_line(lines, place) if place else 0)}"


def check(config: Text) -> None:
    """See that it is a configuration with models.

    Raises:
        SignoffError: it is none, with the line.
    """
    models = _parsed(config).get("model_list")
    if not isinstance(models, list) or not any(_is_model(each) for each in models):
        lacking = "no model_list" if models is None else "a model_list without a model"
        raise _none(f"has {lacking}", config.where("model_list"), f"write {_FORM}")


def _parsed(config: Text) -> dict[str, Any]:
    try:
        found = yaml.safe_load(config.text)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        line = config.manifest.line("data", config.key) + (mark.line + 1 if mark else 0)
        raise _none(f"is not valid YAML: {problem}", f"{config.manifest.file}:{line}", "fix it") from None
    except (ValueError, RecursionError) as error:
        raise _none(f"is not valid YAML: {error}", config.where(), "fix it") from None
    if not isinstance(found, dict):
        raise _none("is no mapping", config.where(), f"write {_FORM}")
    return found


def _is_model(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("litellm_params"), dict)


def _none(what: str, where: str, hint: str) -> SignoffError:
    return SignoffError(f"LiteLLM's configuration {what}", where=where, hint=hint)
