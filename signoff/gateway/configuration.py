"""What LiteLLM does with a model, setting by setting: which of the places in its configuration counts.

What a model has of its own in its `litellm_params` goes before what is set for all. In LiteLLM 1.80.16:

- timeout: router.py, _get_timeout. A stream has its own, `stream_timeout`, before that of every request; 0 is none.
- num_retries: router.py, async_function_with_retries takes what the error says, to which utils.py gives the model's
  own, else that of `litellm_settings` (_get_wrapper_num_retries); the router's counts only where neither says one.
  `max_retries` changes nothing: the router asks with 0 (_update_kwargs_with_deployment), whatever a model says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.redact import HIDDEN
from signoff.core.yaml_lines import Path
from signoff.evidence.models import ConfigurationSeen
from signoff.kube.client import Kube
from signoff.kube.gateway_config import OF_A_MODEL, Configuration, Model, Value, of_url
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.roles import references
from signoff.kube.secrets import learned
from signoff.kube.variables import of_container

_OWN, _ROUTER, _LITELLM = "litellm_params", "router_settings", "litellm_settings"
_STRATEGY: tuple[Path, ...] = ((_ROUTER, "routing_strategy"),)
_RETRIES: tuple[Path, ...] = ((_OWN, "num_retries"), (_LITELLM, "num_retries"), (_ROUTER, "num_retries"))
_TIMEOUT: tuple[Path, ...] = (
    (_OWN, "timeout"),
    (_OWN, "request_timeout"),
    (_ROUTER, "timeout"),
    (_LITELLM, "request_timeout"),
)
_STREAM_TIMEOUT: tuple[Path, ...] = ((_OWN, "stream_timeout"), (_ROUTER, "stream_timeout"))
"""Where each is looked for, the first before the second."""
_TIMEOUT_VARIABLE = "REQUEST_TIMEOUT"
_DEFAULTS: dict[str, Any] = {"routing_strategy": "simple-shuffle", "num_retries": 2, "timeout": 6000}
"""What it does where nothing is said (constants.py, which takes the variable before the last of them)."""


_READ_AT_START = ("ConfigMap", "Secret")
_HOLDING = {"f:data", "f:binaryData"}
"""How an object's managed fields call what it holds."""


@dataclass
class Effective:
    """The values of each setting that have an effect, and where one would stand that has none.

    `unknown` are the values that hang on a variable which nobody can read: each may be anything, a default included.
    """

    values: dict[str, list[Value]] = field(default_factory=dict)
    unknown: dict[str, list[Value]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def effective(configuration: Configuration, asked: str = "") -> Effective:
    """What LiteLLM does for those who ask for `asked`, whatever entries of `model_list` serve them.

    If none does, all count. Each entry's names are there, without a prefix ("openai/"); of settings each value is once.
    """
    models = [each for each in configuration.models if each.asked == asked] or configuration.models
    found = Effective()
    for model in models:
        for name, path in OF_A_MODEL.items():
            value = configuration.get(*model.place, *path)
            if value is not None and value.is_open:
                found.unknown.setdefault(name, []).append(value)
            elif value is None or value.value is None:
                found.missing.setdefault(name, configuration.where(*model.place, *path))
            else:
                own = replace(value, value=model.model) if name == "model" else value
                found.values.setdefault(name, []).append(own)
        for name, value in _settings(configuration, model):
            if value.is_open:
                unknown = found.unknown.setdefault(name, [])
                unknown += [] if value in unknown else [value]
            elif value.value not in [each.value for each in found.values.get(name, [])]:
                found.values.setdefault(name, []).append(value)
    return found


def deployed(kube: Kube, manifests: StoryManifests) -> Configuration:
    """The configuration as the cluster has it: the mounted ConfigMap, and the environment of LiteLLM's container there.

    Secrets are read for the sake of variables alone, and nothing shows what they hold. Where the cluster lets one not
    be read, what it may hold is unknown.
    """
    own, config = manifests.roles.gateway, manifests.roles.configuration
    in_file = manifests.object(own.object)
    template = kube.pod_template(own.namespace, own.name, own.kind)
    workload = replace(in_file, body={**in_file.body, "spec": {**in_file.body["spec"], "template": template}})
    mounted = kube.core.read_namespaced_config_map(config.file.config_map, own.namespace)
    there = {**config.manifest.body, "data": mounted.data or {}, "binaryData": mounted.binary_data or {}}
    held, refused = _referred(kube, workload, own.namespace)
    environment = of_container(workload, own.container, learned(held))
    return replace(
        config,
        manifest=replace(config.manifest, body=there),
        environment=replace(environment, lacking=tuple(dict.fromkeys((*environment.lacking, *refused)))),
    )


def _referred(kube: Kube, workload: Manifest, namespace: str) -> tuple[list[Manifest], list[str]]:
    """The ConfigMaps and Secrets of the cluster that a workload's pods name; and those that nobody may read."""
    read = {"ConfigMap": kube.core.read_namespaced_config_map, "Secret": kube.core.read_namespaced_secret}
    held, refused = [], []
    for name in dict.fromkeys(references(workload.body)):
        kind, _, own = name.partition("/")
        if kind not in read:
            continue
        try:
            found = read[kind](own, namespace)
        except ApiException as error:
            if error.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                raise
            refused += [name] if error.status == HTTPStatus.FORBIDDEN else []
        else:
            metadata = {"name": own, "namespace": namespace}
            body = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": found.data or {}}
            held.append(Manifest(workload.file, "", body))
    return held, refused


def seen(check: str, configuration: Configuration, manifests: StoryManifests) -> ConfigurationSeen:
    """What a configuration says of the model that is judged, for a check; places are those of the manifests."""
    found = effective(configuration, manifests.roles.model.asked)
    return ConfigurationSeen(
        check=check,
        object=configuration.file.object,
        file=manifests.shown(configuration.where()).rpartition(":")[0],
        values={name: [_recorded(name, each.value) for each in values] for name, values in found.values.items()},
        places={name: [_place(each, manifests) for each in values] for name, values in found.values.items()},
        missing={name: manifests.shown(where) for name, where in found.missing.items()},
        unknown={
            name: [f"{each.said}, {each.unknown}; {each.hint} ({_place(each, manifests)})" for each in values]
            for name, values in found.unknown.items()
        },
    )


def outdated(kube: Kube, configuration: Configuration, manifests: StoryManifests) -> list[str]:
    """The pods that run since before the configuration, or what holds a value of it, was changed, a sentence each.

    LiteLLM reads both when it starts. What may not be read is not known to be newer.
    """
    own = manifests.roles.gateway
    found = effective(configuration, manifests.roles.model.asked)
    held = [each.comes_from for values in found.values.values() for each in values]
    told = []
    for name in dict.fromkeys([configuration.file.object, *held]):
        kind, _, named = name.partition("/")
        try:
            body = kube.object("v1", kind, named, own.namespace) if kind in _READ_AT_START else None
        except ForbiddenError:
            continue
        if body:
            when, who = max(_changes(body["metadata"]))
            told += [
                f"LiteLLM runs in {pod} since {_moment(began)}, and {name} was changed at {_moment(when)}"
                f"{f' by {who}' if who else ''}: what it has loaded cannot be read off; restart it"
                for pod, began in _began(kube.pods(own.namespace, own.selector), own.container)
                if began < when
            ]
    return told


def _began(pods: Sequence[Any], container: str) -> Iterator[tuple[str, datetime]]:
    """When LiteLLM's container of each pod was started, where it runs."""
    for pod in pods:
        for status in pod.status.container_statuses or []:
            if status.name == container and status.state and status.state.running and status.state.running.started_at:
                yield pod.metadata.name, status.state.running.started_at


def _changes(metadata: Mapping[str, Any]) -> Iterator[tuple[datetime, str]]:
    """When what an object holds was written, and by whom."""
    yield datetime.fromisoformat(metadata["creationTimestamp"]), ""
    for each in metadata.get("managedFields") or []:
        if _HOLDING & set(each.get("fieldsV1") or ()) and each.get("time"):
            yield datetime.fromisoformat(each["time"]), str(each.get("manager") or "")


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _recorded(name: str, value: Any) -> Any:
    """A value as evidence has it: of a URL nothing in which a key may be."""
    if name != "api_base" or not isinstance(value, str) or (shown := of_url(value)) in ("", value):
        return value
    return f"{shown}?{HIDDEN}"


def _place(value: Value, manifests: StoryManifests) -> str:
    """Where a value of the configuration stands, and what that takes it from."""
    place = manifests.shown(value.where)
    if not value.comes_from:
        return place
    is_line = ":" in value.comes_from
    return f"{place}, from {manifests.shown(value.comes_from) if is_line else value.comes_from}"


def _settings(configuration: Configuration, model: Model) -> Iterator[tuple[str, Value]]:
    """What counts for a model; of the timeout that of a stream as well."""

    def first(name: str, places: Sequence[Path]) -> Value:
        return next(_said(configuration, model, places), _default(configuration, name))

    yield "routing_strategy", first("routing_strategy", _STRATEGY)
    yield "num_retries", first("num_retries", _RETRIES)
    for places in (_TIMEOUT, (*_STREAM_TIMEOUT, *_TIMEOUT)):
        given = (each for each in _said(configuration, model, places) if each.value or each.is_open)
        yield "timeout", _in_seconds(next(given, _default(configuration, "timeout")))


def _said(configuration: Configuration, model: Model, places: Sequence[Path]) -> Iterator[Value]:
    """What stands at these places, in their order; a variable that is not set is nothing."""
    for place in places:
        value = configuration.get(*(model.place if place[0] == _OWN else ()), *place)
        if value is not None and (value.value is not None or value.is_open):
            yield value


def _default(configuration: Configuration, name: str) -> Value:
    where = configuration.where(_ROUTER, name)
    of_variable = configuration.of_variable(_TIMEOUT_VARIABLE, where) if name == "timeout" else None
    if of_variable and (of_variable.value or of_variable.is_open):
        return of_variable
    return Value(_DEFAULTS[name], where)


def _in_seconds(value: Value) -> Value:
    """LiteLLM takes a timeout that is a text, as a variable is, for the number that it says (main.py, completion)."""
    try:
        seconds = float(value.value)
    except (TypeError, ValueError):
        return value
    return replace(value, value=int(seconds) if seconds.is_integer() else seconds)
