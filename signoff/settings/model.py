"""The settings, their types and the story's values.

A setting comes as what TOML has for it, or as text; one that holds several comes as several texts from an option that
was given several times.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from signoff import story
from signoff.core.node import Node
from signoff.core.paths import MANIFESTS, REPORTS
from signoff.core.words import listed
from signoff.settings.declared_nodes import LABEL, MAX_NAME, NAME, Declared, each_once
from signoff.stats.estimate import MIN_OBSERVATIONS

PREFIX = "SIGNOFF_"
"""Of the variable of a setting, which is called like it in capitals."""
MAX_NODES = 100
"""Each is a process or a container of this machine."""


def _named(what: str, pattern: str, longest: int) -> AfterValidator:
    """Refuses what Kubernetes would not take as a name; empty is left to others."""

    def checked(name: str) -> str:
        if name and (len(name) > longest or not re.fullmatch(pattern, name)):
            raise ValueError(f"{name!r} is not {what}")
        return name

    return AfterValidator(checked)


def _split(separator: str) -> Callable[[Any], Any]:
    """Splits text into its parts; parts of parts, where there are several."""

    def split(told: Any) -> Any:
        texts = [told] if isinstance(told, str) else told
        if not isinstance(texts, list | tuple):
            return told
        parts = (each.split(separator) if isinstance(each, str) else [each] for each in texts)
        return [part.strip() if isinstance(part, str) else part for each in parts for part in each]

    return split


def _paths(told: Any) -> Any:
    """A variable names several as PATH does; an option is given again."""
    return told.split(os.pathsep) if isinstance(told, str) else told


def _pairs(told: Any, given: str = "given") -> Any:
    """A mapping of texts such as `name=litellm`; what has no `=` has an empty value."""
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list | tuple):
        return told
    pairs: dict[str, str] = {}
    for text in texts:
        name, _, value = (part.strip() for part in str(text).partition("="))
        if name in pairs:
            raise ValueError(f"{name!r} is {given} twice")
        pairs[name] = value
    return pairs


def _waived(told: Any) -> Any:
    """A reason may hold commas; a variable has a waiver on each line."""
    if isinstance(told, str):
        told = list(filter(str.strip, told.splitlines()))
    return _pairs(told, "waived")


def _filled(told: Any) -> Any:
    """Pairs of which each needs its value."""
    pairs = _pairs(_split(",")(told))
    if isinstance(pairs, dict) and (bare := next((name for name, value in pairs.items() if value == ""), None)):
        raise ValueError(f"{bare!r} is given no value")
    return pairs


def _words(told: Any) -> Any:
    """Several in a text, as an option has them within a pair."""
    return told.split() if isinstance(told, str) else told


def _kind(told: str) -> str:
    if not re.fullmatch("[A-Z][A-Za-z0-9]*", told):
        raise ValueError(f"{told!r} is not a kind as objects have it, Deployment say")
    return told


def _uid(told: str) -> str:
    try:
        return str(UUID(told)) if told else ""
    except ValueError:
        raise ValueError(f"{told!r} is no UID, which `kubectl get namespace kube-system -o yaml` shows") from None


def _file_beside(told: str) -> str:
    if posixpath.isabs(told):
        raise ValueError(f"{told!r} is to be named from the folder of LiteLLM's Deployment")
    return posixpath.normpath(told)


def _no_truth(told: Any) -> Any:
    if isinstance(told, bool):
        raise ValueError("must be a number")
    return told


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} is named twice")
    return names


def _possible_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError(f"{path.name!r} must be the name of a file")
    return path


def _possible_paths(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(map(_possible_path, paths))


def _secret_name(name: str) -> str:
    if len(name.rpartition("/")[2]) > MAX_NAME or not re.fullmatch(rf"({LABEL}/)?{NAME}", name):
        raise ValueError("must be the name of a Secret, or NAMESPACE/NAME")
    return name


Number = BeforeValidator(_no_truth)
Text = Annotated[str, Field(min_length=1)]
NodeName = Annotated[Text, _named("the name of a node", NAME, MAX_NAME)]
NodeNames = Annotated[
    tuple[NodeName, ...], NoDecode, Field(min_length=1), AfterValidator(_each_once), BeforeValidator(_split(","))
]
Nodes = Annotated[tuple[Declared, ...], NoDecode, AfterValidator(each_once), BeforeValidator(_split(","))]
Kind = Annotated[Text, AfterValidator(_kind)]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_words), Field(min_length=1)]
FileName = Annotated[Text, AfterValidator(_file_beside)]
SecretName = Annotated[Text, AfterValidator(_secret_name)]
PossiblePath = Annotated[Path, AfterValidator(_possible_path)]
Object = Annotated[str, _named("the name of an object", NAME, MAX_NAME)]


def _story(default: Any, description: str, *, empty: str = "", form: str = "", **constraints: Any) -> Any:
    """A setting whose value is the story's: with another, it is no longer that story which is judged."""
    return _field(default, description, story=True, empty=empty, form=form, **constraints)


def _own(default: Any, description: str, *, empty: str = "none", form: str = "", **constraints: Any) -> Any:
    """A setting that everybody may choose; `empty` is what it means that it is."""
    return _field(default, description, story=False, empty=empty, form=form, **constraints)


def _field(default: Any, description: str, *, story: bool, form: str, empty: str, **constraints: Any) -> Any:
    extra: JsonDict = {"story": story, "empty": empty, "form": form}
    return Field(default=default, description=description, json_schema_extra=extra, **constraints)


def _nodes_named(others: dict[str, Any]) -> tuple[Node, ...]:
    """The nodes that other settings name."""
    allowed = others["allowed_nodes"]
    named = dict.fromkeys((*allowed, *others["forbidden_nodes"], *others["backend_nodes"]))
    return tuple(Node(name) if name in allowed else story.gpu_node(name) for name in named)


class Settings(BaseSettings):
    """Every setting, with the story's value as its default."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX)

    manifests: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths), AfterValidator(_possible_paths)] = _own(
        (MANIFESTS,), "the manifests of vLLM and LiteLLM: files, or folders of any layout", min_length=1
    )
    secrets: Annotated[dict[SecretName, PossiblePath], NoDecode, BeforeValidator(_filled)] = _own(
        {},
        "the file with the values of a Secret that the manifests name and do not hold",
        form="NAME=FILE.env, or NAMESPACE/NAME=FILE.env",
    )
    cluster: str = _own("", "where to run", empty="the suite's own")
    kube_context: str = _own("", "the context of your kubeconfig in which the cluster that exists is looked at")
    cluster_uid: Annotated[str, AfterValidator(_uid)] = _own(
        "", "the UID of that cluster's namespace kube-system, without which no other cluster is taken for it"
    )
    litellm_image: str = _own("", "LiteLLM's image", empty="the manifests' own")
    vllm_image: str = _own("", "vLLM's image", empty="the manifests' own")
    namespace: Annotated[Text, _named("the name of a namespace", LABEL, 63)] = _story(
        story.NAMESPACE, "the namespace of what the manifests give none"
    )
    gateway: Object = _own("", "LiteLLM's Deployment or StatefulSet, by its name", empty="the one in the manifests")
    service: Object = _own("", "LiteLLM's Service, by its name", empty="the one that selects its pods")
    backend: Object = _own("", "vLLM's Deployment or StatefulSet, by its name", empty="the one that LiteLLM sends to")
    stand_in: bool = _story(False, "deploy the suite's own small vLLM in the place of the manifests' one")
    model: Text = _story(story.MODEL, "the model that vLLM serves")
    asked_model: str = _own(
        "", "the name under which clients ask LiteLLM for it", empty="as LiteLLM's configuration has it"
    )
    api_key: SecretStr = _own(
        SecretStr(""), "LiteLLM's API key", empty="its master key, as the manifests and Secrets have it"
    )
    host: Annotated[Text, _named("the name of a host", NAME, MAX_NAME)] = _story(
        story.GATEWAY_HOST, "the host name under which LiteLLM is reached from outside"
    )
    ingress: Annotated[str, _named("the name of a Service with its namespace", rf"{LABEL}/{NAME}", MAX_NAME + 64)] = (
        _own(
            "",
            "the Service of your own cluster's ingress controller, as in kube-system/traefik",
            empty="the one that serves the route",
        )
    )
    labels: Annotated[dict[Text, str], NoDecode, BeforeValidator(_filled)] = _story(
        dict(story.GATEWAY_LABELS), "the labels that LiteLLM's objects have to carry", form="KEY=VALUE", min_length=1
    )
    layout: Annotated[dict[FileName, Kinds], NoDecode, BeforeValidator(_filled)] = _story(
        dict(story.GATEWAY_LAYOUT),
        "the files in which LiteLLM's objects lie, as seen from its Deployment's, each with their kinds",
        form="FILE=KIND KIND",
        min_length=1,
    )
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = _story(
        "ClusterIP", "the type of LiteLLM's Service"
    )
    port: Annotated[int, Number] = _story(story.GATEWAY_PORT, "the port of LiteLLM's Service", ge=1, le=65535)
    allowed_nodes: NodeNames = _story(story.ALLOWED_NODES, "the nodes on which LiteLLM may run")
    forbidden_nodes: NodeNames = _story((story.GPU_NODE,), "the nodes on which LiteLLM must never run")
    forbidden_by: Literal["allowed-names", "forbidden-names", "labels", "taints", "resources"] = _story(
        "allowed-names",
        "what makes a node forbidden: that allowed_nodes does not name it, that forbidden_nodes does, or that it has "
        "the labels, taints or extended resources of these",
    )
    backend_nodes: NodeNames = _story((story.GPU_NODE,), "the nodes on which vLLM has to run")
    nodes: Nodes = Field(
        default_factory=_nodes_named,
        description="the nodes of a cluster of the suite's own; if none is declared, those that are named above, and "
        "each on which LiteLLM may not run like a GPU's",
        min_length=1,
        max_length=MAX_NODES,
        json_schema_extra={"story": True, "empty": "", "form": "NODE KEY=VALUE KEY=VALUE:EFFECT KEY:NUMBER"},
    )
    routing_strategy: Text = _story("simple-shuffle", "LiteLLM's routing strategy")
    num_retries: Annotated[int, Number] = _story(2, "how often LiteLLM tries again", ge=0, le=1_000)
    timeout: Annotated[int, Number] = _story(30, "after how many seconds LiteLLM gives a request up", gt=0, le=86_400)
    overhead_limit_ms: Annotated[float, Number] = _story(
        story.OVERHEAD_LIMIT_MS,
        "LiteLLM adds less than this to a request (NFR66)",
        gt=0,
        le=100_000,
        allow_inf_nan=False,
    )
    overhead_pairs: Annotated[int, Number] = _own(
        400,
        "time at most this many pairs of direct and proxied requests; above 400, it ends when the intervals are narrow "
        f"enough (at least {MIN_OBSERVATIONS}; below 400 the story's overhead is not judged)",
        ge=MIN_OBSERVATIONS,
        le=100_000,
    )
    waive: Annotated[dict[str, str], NoDecode, BeforeValidator(_waived)] = _own(
        {}, "leave a check of the story out of the sign-off, which every page then says", form="CHECK=REASON"
    )
    reports: PossiblePath = _own(REPORTS, "where to write the run's folder")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """None but what it is given: `signoff.settings.reading` asks the sources, and knows which said what."""
        return (init_settings,)

    @model_validator(mode="after")
    def _no_node_both_ways(self) -> Self:
        if both := [node for node in self.allowed_nodes if node in self.forbidden_nodes]:
            what = f"{listed(both)} cannot be both among allowed_nodes and among forbidden_nodes"
            raise _contrary(what, "take it out of one or the other", "allowed_nodes", "forbidden_nodes")
        return self

    @model_validator(mode="after")
    def _every_node_declared(self) -> Self:
        declared = [node.name for node in self.nodes]
        for setting in OF_NODES:
            if lacking := [name for name in getattr(self, setting) if name not in declared]:
                what = f"nodes does not declare {listed(lacking)}, which {setting} names"
                raise _contrary(what, "declare all nodes of the cluster, or none", setting, "nodes")
        return self


OF_NODES = ("allowed_nodes", "forbidden_nodes", "backend_nodes")
"""The settings that name nodes."""


def _contrary(what: str, hint: str, *settings: str) -> PydanticCustomError:
    return PydanticCustomError("contrary", "{what}", {"what": what, "hint": hint, "settings": settings})


def default_of(name: str) -> Any:
    """The value of a setting where nobody gives one to any."""
    return getattr(_DEFAULTS, name)


_DEFAULTS = Settings()


def is_of_the_story(name: str) -> bool:
    """Whether the story fixes this setting's value."""
    return bool(_extra(name)["story"])


def if_empty(name: str) -> str:
    """What it means that this setting is empty."""
    return str(_extra(name)["empty"])


def form(name: str) -> str:
    """How one of its values is written, where it is a table."""
    return str(_extra(name)["form"])


def _extra(name: str) -> JsonDict:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict), f"{name} was not made by _story or _own"
    return extra


def is_secret(name: str) -> bool:
    """Whether this setting's value is never shown."""
    return Settings.model_fields[name].annotation is SecretStr


def holds_several(name: str) -> bool:
    """Whether this setting is a list or a table, so that its option may be given again for more."""
    return get_origin(Settings.model_fields[name].annotation) in (tuple, dict)


def described(name: str) -> str:
    """What this setting is, in one line."""
    return str(Settings.model_fields[name].description)


def names() -> Iterable[str]:
    """The settings in their order."""
    return Settings.model_fields
