"""LiteLLM's configuration, read once for whoever asks: what it says, and on which line of which file.

A text `os.environ/NAME`, wherever it is a value of a mapping, is what that variable of LiteLLM's container holds
when it starts; `environment_variables` of the configuration itself are set only later (litellm 1.80.16:
proxy/proxy_server.py, get_config and load_config).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.core.yaml_lines import Path as Place
from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube import documents, kustomizations, mounts
from signoff.kube.mounts import ConfigFile
from signoff.kube.objects import Manifest, container_that_runs, containers, place_of_pod_spec, text_in
from signoff.kube.secrets import OPTION
from signoff.kube.variables import Environment, of_container

OF_A_MODEL: dict[str, Place] = {
    "model_name": ("model_name",),
    "model": ("litellm_params", "model"),
    "api_base": ("litellm_params", "api_base"),
}
"""Where an entry of `model_list` says what it is."""
_FORM = "`model_list:` with `- model_name: NAME` and its `litellm_params:`, as docs.litellm.ai shows"
_PROGRAM = "litellm"
_REFERENCE = "os.environ/"
_TRUTHS = {"true": True, "false": False}
"""What LiteLLM makes of a variable that says so (litellm: secret_managers/main.py, get_secret)."""
_ROUTER, _LITELLM = "router_settings", "litellm_settings"
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks")
_ALIASES = "model_group_alias"
_GENERATORS = "configMapGenerator"
_OF_THE_CLUSTER = re.compile(
    r"https?://(?P<service>[a-z0-9-]+)(?:\.(?P<namespace>[a-z0-9-]+)(?:\.svc(?:\.[a-z0-9.-]+)?)?)?(?::(?P<port>\d+))?(?:/|$)"
)
"""The URL of a Service, by any of the names that it has in a cluster."""


@dataclass(frozen=True)
class Value:
    """What a place of the configuration says, as LiteLLM takes it, and its file and line.

    `said` is what stands there. `value` is None where that is a variable which is not set, or of which nobody can read
    off the manifests what it holds: `unknown` then says so in half a sentence, and `hint` what to do. `comes_from` is
    what holds the variable: an object, or file and line.
    """

    value: Any = field(repr=False)
    where: str
    said: Any = field(default=None, repr=False)
    comes_from: str = ""
    unknown: str = ""
    hint: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may be anything: the variable is set, or may be, and nobody can read off to what."""
        return self.value is None and bool(self.comes_from)


@dataclass(frozen=True)
class Model:
    """An entry of LiteLLM's `model_list`: what clients ask for, and what it asks its backend for.

    `at` is its place in the list, `prefix` says how LiteLLM speaks to the backend ("hosted_vllm"). `unknown` are those
    of its parameters that hang on a variable which nobody can read off the manifests; they are empty here.
    """

    at: int
    asked: str
    prefix: str
    model: str
    api_base: str
    mode: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Scheme, host and port of its `api_base`, for a sentence: what follows them may hold a key."""
        return of_url(self.api_base, path=False)

    @property
    def service(self) -> str:
        """The Service that its `api_base` names, if it names one of the cluster."""
        return self._part("service")

    @property
    def service_namespace(self) -> str:
        """That Service's namespace, if it is named too."""
        return self._part("namespace")

    @property
    def is_of_the_cluster(self) -> bool:
        """Whether its `api_base` cannot be another network's: one label, or `.svc` in it."""
        host = self.api_base.partition("://")[2].partition("/")[0].partition(":")[0]
        return "." not in host or ".svc" in host

    @property
    def port(self) -> int:
        """The port of its `api_base`."""
        return int(self._part("port") or (443 if self.api_base.startswith("https") else 80))

    @property
    def place(self) -> Place:
        """Where in the configuration it stands."""
        return ("model_list", self.at)

    def _part(self, name: str) -> str:
        """A part of its `api_base`, if that names a Service of the cluster."""
        found = _OF_THE_CLUSTER.match(self.api_base)
        return (found[name] or "") if found else ""


@dataclass(frozen=True)
class Configuration:
    """LiteLLM's configuration: a key of a ConfigMap, and the environment in which LiteLLM reads it."""

    manifest: Manifest
    key: str
    environment: Environment = field(default_factory=Environment)
    program: str = "LiteLLM"
    """What runs LiteLLM, for a sentence: "Deployment/litellm"."""

    @property
    def file(self) -> ConfigFile:
        """Which key of which ConfigMap it is."""
        return ConfigFile(self.manifest.body["metadata"]["name"], self.key)

    @cached_property
    def text(self) -> str:
        """What it holds."""
        return text_in(self.manifest.body, self.key)

    def get(self, *place: str | int) -> Value | None:
        """What it says at a place; None where nothing stands there, or null."""
        said = self._below(place)
        if said is None:
            return None
        if not (isinstance(said, str) and said.startswith(_REFERENCE)):
            return Value(said, self.where(*place), said)
        return self.of_variable(said.replace(_REFERENCE, ""), self.where(*place))

    def table(self, name: str) -> dict[str, Any]:
        """One of its tables as it stands there; empty if that is none."""
        found = self._below((name,))
        return found if isinstance(found, dict) else {}

    def _below(self, place: Place) -> Any:
        value: Any = self._parsed
        for key in place:
            if isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                value = value.get(key) if isinstance(value, dict) else None
        return value

    def of_variable(self, name: str, where: str) -> Value:
        """What a variable of LiteLLM's container holds, for a place of the configuration that hangs on it."""
        said, variable = f"{_REFERENCE}{name}", self.environment.get(name)
        if variable and variable.value is not None:
            value = _TRUTHS.get(variable.value.strip().lower(), variable.value)
            return Value(value, where, said, variable.comes_from or variable.where)
        holder = variable.comes_from if variable else next(iter(self.environment.lacking), "")
        if not name:
            unknown, hint = "which names no variable", f"write {_REFERENCE}NAME, or the value itself"
        elif variable and not holder:
            unknown, hint = "whose value the manifests do not say", "write the value itself"
        elif holder:
            may = "is to hold" if variable else "may hold"
            kind, _, own = holder.partition("/")
            hint = f"give it with {OPTION} {own}=FILE.env" if kind == "Secret" else "add the file that holds it"
            lacks = "is not among the manifests" if self.manifest.file else "could not be read"
            unknown = f"which {holder} {may}, and that {lacks}"
        else:
            unknown, hint = f"and {self.program} sets no variable {name}", f"add {name} to its env, or write the value"
        return Value(None, where, said, (holder or (variable.where if variable else "")) if name else "", unknown, hint)

    @cached_property
    def models(self) -> list[Model]:
        """The entries of `model_list` that have parameters."""
        entries = self._below(("model_list",))
        return [
            self._model(at) for at, entry in enumerate(entries if isinstance(entries, list) else ()) if _is_model(entry)
        ]

    def _model(self, at: int) -> Model:
        told = {name: self.get("model_list", at, *place) for name, place in OF_A_MODEL.items()}
        prefix, _, model = _text(told["model"]).partition("/")
        mode = self.get("model_list", at, "model_info", "mode")
        unknown = tuple(name for name, value in told.items() if value and value.unknown)
        unknown += ("mode",) if mode and mode.is_open else ()
        return Model(at, _text(told["model_name"]), prefix, model, _text(told["api_base"]), _text(mode), unknown)

    @property
    def aliases(self) -> Iterator[tuple[str, str, str]]:
        """The other names by which clients may ask for models: each with the name that it stands for, and its line.

        A `hidden` one is only kept from the list of models (litellm 1.80.16: router.py, _get_model_from_alias).
        """
        told = self._below((_ROUTER, _ALIASES))
        for alias, item in told.items() if isinstance(told, dict) else ():
            target = item.get("model") if isinstance(item, dict) else item
            if isinstance(target, str):
                yield str(alias), target, self.where(_ROUTER, _ALIASES, alias)

    @property
    def dead_fallbacks(self) -> Iterator[tuple[str, str]]:
        """The models that a fallback leads to and that nothing is called, each with file and line.

        A pattern (`openai/*`) and an alias of `model_group_alias` are names too.
        """
        names = [*(each.asked for each in self.models), *(alias for alias, _, _ in self.aliases)]
        for table in (_ROUTER, _LITELLM):
            for name in _FALLBACKS:
                for target, place in _targets(self._below((table, name)), (table, name)):
                    if not any(fnmatchcase(target, each) for each in names):
                        yield target, self.where(*place)

    def where(self, *place: str | int) -> str:
        """File and line of a place of the configuration, or of what is nearest above it."""
        return self._line(nearest_line(self._lines, place) if place else 0)

    @cached_property
    def _lines(self) -> dict[Place, int]:
        try:
            return lines_of(yaml.compose(self.text, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError):
            return {}

    def _line(self, line: int) -> str:
        """File and line of a line of the text; of 0, where the text as a whole stands."""
        if generated := _generated_from(self.manifest, self.key):
            return f"{generated}:{line or 1}"
        table = "data" if self.key in self.manifest.body.get("data", {}) else "binaryData"
        manifest = self.manifest
        return manifest.place_in_text(line, table, self.key) if line else manifest.place(table, self.key)

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        try:
            return self._mapping()
        except SignoffError:
            return {}

    def _mapping(self) -> dict[str, Any]:
        try:
            found = yaml.safe_load(self.text)
            documents.check_size(found)
        except yaml.YAMLError as error:
            mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
            raise _none(f"is not valid YAML: {problem}", self._line(mark.line + 1 if mark else 0), "fix it") from None
        except (ValueError, RecursionError, documents.Unreadable) as error:
            raise _none(f"is not valid YAML: {error}", self.where(), "fix it") from None
        if not isinstance(found, dict):
            raise _none("is no mapping", self.where(), f"write {_FORM}")
        return found

    def check(self) -> None:
        """See that it is a configuration with models.

        Raises:
            SignoffError: it is none, with the line.
        """
        models = self._mapping().get("model_list")
        if not isinstance(models, list) or not any(_is_model(each) for each in models):
            lacking = "no model_list" if models is None else "a model_list without a model"
            raise _none(f"has {lacking}", self.where("model_list"), f"write {_FORM}")

    def check_known(self, model: Model) -> None:
        """See that the manifests say what the model's parameters are.

        Raises:
            SignoffError: one hangs on a variable that they do not tell.
        """
        for name in (each for each in model.unknown if each in OF_A_MODEL):
            if value := self.get(*model.place, *OF_A_MODEL[name]):
                raise SignoffError(
                    f"{name} of the model that is judged is {value.said}, {value.unknown}",
                    where=", ".join([value.where, *([value.comes_from] if ":" in value.comes_from else [])]),
                    hint=value.hint,
                )


def of_url(url: str, *, path: bool = True) -> str:
    """A URL as far as it holds no credentials: without user, query and fragment; empty for what is none.

    >>> of_url("https://me:hush@llm.example.com:8443/v1?code=hush"), of_url("llm:8000")
    ('https://llm.example.com:8443/v1', '')
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets of an IPv6 address that do not close
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path if path else ''}" if parts.scheme and host else ""


def _generated_from(manifest: Manifest, key: str) -> Path | None:
    """The file that kustomize makes a key of, if the ConfigMap is one that a kustomization generates of files."""
    if manifest.file is None or manifest.file.name not in kustomizations.NAMES:
        return None
    for generator in _generators(manifest.file):
        for entry in generator.get("files") or ():
            name, equals, path = str(entry).partition("=")
            named = name if equals else Path(name).name
            if named == key and str(generator.get("name", "")) in manifest.body["metadata"]["name"]:
                return manifest.file.parent / (path if equals else name)
    return None


def _generators(kustomization: Path) -> Iterator[dict[str, Any]]:
    try:
        content = documents.read(kustomization)
    except SignoffError:  # it was read before: it has gone since
        return
    for document in content:
        found = document.get(_GENERATORS)
        yield from (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))


def _targets(told: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """The models that fallbacks lead to: those in a list, or in the list of each model that has them."""
    for at, each in enumerate(told if isinstance(told, list) else ()):
        yield from _target(each, (*place, at))
        for name, targets in each.items() if isinstance(each, dict) else ():
            for number, target in enumerate(targets if isinstance(targets, list) else ()):
                yield from _target(target, (*place, at, name, number))


def _target(told: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """A model's name, or the `model` among parameters of its own."""
    name = told.get("model") if isinstance(told, dict) else told
    if isinstance(name, str):
        yield name, (*place, "model") if isinstance(told, dict) else place


def _is_model(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("litellm_params"), dict)


def _text(value: Value | None) -> str:
    return "" if value is None or value.value is None else str(value.value)


def _none(what: str, where: str, hint: str) -> SignoffError:
    return SignoffError(f"LiteLLM's configuration {what}", where=where, hint=hint)


# --- Which one it is


def find(gateway: Manifest, found: Sequence[Manifest]) -> Configuration:
    """The configuration that a workload's LiteLLM reads: what is mounted at the path that it is told.

    Where nothing is, it is the only file with a `model_list`: another container may copy it there.

    Raises:
        SignoffError: it is not there, or cannot be told among several.
    """
    container = container_that_runs(_PROGRAM, gateway.body)
    environment = of_container(gateway, container.get("name", ""), found)
    wanted = mounts.config_path(container, environment)
    here = mounts.files(gateway, container, found, environment)
    if wanted and wanted in here:
        return _configuration(here[wanted], gateway, found, environment)
    if wanted and (secret := mounts.secret_at(gateway, container, wanted)):
        raise SignoffError(
            f"LiteLLM's configuration is in the Secret {secret}, and can be judged in a ConfigMap alone",
            where=gateway.place(*place_of_pod_spec(gateway.body), "volumes"),
            hint=f"mount {wanted} from a ConfigMap, in which {_REFERENCE}NAME stands for each secret value, and give "
            f"LiteLLM these variables from {secret}",
        )
    lists = with_models(gateway, found)
    if len(lists) == 1:
        return _configuration(lists[0], gateway, found, environment)
    raise SignoffError(
        "LiteLLM's configuration is in no ConfigMap among the manifests"
        if not lists
        else f"several files of the gateway have a model_list: "
        f"{listed([f'{each.key} of {each.object}' for each in lists])}",
        where=gateway.place(*place_of_pod_spec(gateway.body), "containers"),
        hint=f"mount one at the path that --config names ({wanted or 'none is named'})",
    )


def with_models(workload: Manifest, found: Sequence[Manifest]) -> list[ConfigFile]:
    """The files with a `model_list` that are mounted in a workload's containers, each once."""
    lists = dict.fromkeys(
        file for each in containers(workload.body) for file in mounts.files(workload, each, found).values()
    )
    return [each for each in lists if (holder := _holder(each, found)) and Configuration(holder, each.key).models]


def _holder(file: ConfigFile, found: Sequence[Manifest]) -> Manifest | None:
    return next((each for each in found if each.name == file.object), None)


def _configuration(
    file: ConfigFile, gateway: Manifest, found: Sequence[Manifest], environment: Environment
) -> Configuration:
    holder = _holder(file, found)
    held = [key for table in ("data", "binaryData") for key in (holder.body.get(table, {}) if holder else ())]
    if holder and file.key in held:
        return Configuration(holder, file.key, environment, gateway.name)
    place = "among the manifests" if gateway.file else "there"
    raise SignoffError(
        f"{file.object} has no key {file.key}, which is to be LiteLLM's configuration"
        if holder
        else f"{file.object} is to hold LiteLLM's configuration, and is not {place}",
        where=gateway.place(*place_of_pod_spec(gateway.body), "volumes"),
        hint=f"name one that it has: {listed(held) or 'it has none'}"
        if holder
        else "add the file that holds it"
        if gateway.file
        else "make it",
    )
