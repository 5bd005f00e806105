"""Which of the manifests are the gateway and its backend, and what belongs to whom: found in what they say.

Names and labels are a person's own. What tells is which image runs, which configuration is mounted, and what refers to
what.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.kube import gateway_config
from signoff.kube.gateway_config import OF_A_MODEL, Configuration, Model
from signoff.kube.mounts import ConfigFile
from signoff.kube.objects import Key, Manifest, container_that_runs, image_name, kind_of, main_containers, pod_spec
from signoff.settings import Settings
from signoff.story.declaration import nearest

NAME_LABEL = "app.kubernetes.io/name"
_WORKLOADS = ("Deployment", "StatefulSet")
_GATEWAY, _BACKEND = "litellm", "vllm"
"""What images of both are called, and what a person calls them who has several: the story's own names."""
_BY_NAME = ("ConfigMap", "Secret")
"""Kinds that pods refer to by name, within their namespace."""
_NEARLY = 0.8
"""How like a workload's kind a slip of the pen is: `Deploymnet` is, and `Job` is not."""
_SERVICES = (_GATEWAY, "vllm-api")
"""The story's names of both Services, which decide where several lead to the same pods."""

_REFERENCES = {
    "configMap": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""Where a pod's spec names another object: the field, that object's kind, and the field in it with the name
(https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
"""


@dataclass(frozen=True)
class Source:
    """What manifests were read from, and how an error speaks of it: files, or a cluster, which has no `folder`."""

    where: str
    folder: Path | None = None
    """The one that all files are below."""
    nothing: str = "no manifest"
    have: str = "the manifests have"
    remedy: str = "add the file that holds it"

    @property
    def whole(self) -> str:
        """All of it, where an error is about that."""
        return str(self.folder or self.where)

    def shown(self, where: str) -> str:
        """A place for a person: of a file below the folder, its name from there."""
        if self.folder is None:
            return where
        file, colon, line = where.rpartition(":")
        return f"{self._below(Path(file))}{colon}{line}"

    def file(self, manifest: Manifest) -> str:
        """The file of an object, for a person."""
        return self._below(manifest.file) if manifest.file else ""

    def _below(self, file: Path) -> str:
        return str(file.relative_to(self.folder) if self.folder and file.is_relative_to(self.folder) else file)


@dataclass(frozen=True)
class Workload:
    """What runs the pods of a gateway or a backend, and the Service that leads to them."""

    kind: str
    name: str
    namespace: str
    selector: Mapping[str, str]
    """The labels by which it knows its pods."""
    service: str
    port: int
    """Of the Service."""
    container: str = field(default="", compare=False)
    """Its own, among those that run beside it in the pods; empty: the first."""

    @property
    def object(self) -> str:
        """Kind and name, as `Manifest.name` has them."""
        return f"{self.kind}/{self.name}"

    @property
    def key(self) -> Key:
        """What tells it from all other objects."""
        return Key(self.object, self.namespace)

    @property
    def service_key(self) -> Key:
        """What tells its Service from all other objects."""
        return Key(f"Service/{self.service}", self.namespace)

    @property
    def url(self) -> str:
        """The base URL inside the cluster."""
        return f"http://{self.service}.{self.namespace}.svc.cluster.local:{self.port}"

    def beside(self, name: str) -> "Workload":
        """Another one of its kind in the same namespace, all of whose names are this one."""
        return replace(self, name=name, service=name, selector={NAME_LABEL: name})


@dataclass(frozen=True)
class Served:
    """A model that clients may ask for, and the backend that has to answer."""

    model: Model
    backend: Workload


@dataclass(frozen=True)
class Unproven:
    """A model that clients may ask for and that no run can judge: why, and the file and line of its entry."""

    asked: str
    reason: str
    where: str


@dataclass(frozen=True)
class Roles:
    """Who is who among the manifests: the gateway with its configuration and the model under judgement, the backend."""

    gateway: Workload
    configuration: Configuration
    model: Model
    backend: Workload
    others: tuple[Served, ...] = ()
    """The other models of the configuration that a vLLM among the manifests serves."""
    unproven: tuple[Unproven, ...] = ()
    """Those of which no vLLM among the manifests can tell that it has answered."""

    @property
    def config(self) -> ConfigFile:
        """Where LiteLLM's configuration stands."""
        return self.configuration.file


@dataclass(frozen=True)
class Judged:
    """What is known before the backend is: the gateway, its configuration, and the model that is judged.

    `backend` is the workload behind the model, if the manifests have one.
    """

    gateway: Manifest
    configuration: Configuration
    model: Model
    backend: Manifest | None

    @property
    def where(self) -> str:
        """File and line of the model's `api_base`."""
        return self.configuration.where(*self.model.place, *OF_A_MODEL["api_base"])

    def check_known(self) -> None:
        """See that the manifests say what the model is and where it is asked for.

        Raises:
            SignoffError: that hangs on a variable which they do not tell.
        """
        self.configuration.check_known(self.model)


def judged_in(found: Sequence[Manifest], source: Source, settings: Settings) -> Judged:
    """Find the gateway, its configuration, and the model that is judged.

    What a person names (`gateway`, `backend`, `asked_model`) is not looked for. The model that is judged is the entry
    of `model_list` that asks its backend for the `model` of the settings, else the first one.

    Raises:
        SignoffError: one is not there, or cannot be told among several.
    """
    gateway = gateway_in(found, source, settings)
    _check_namespace(gateway, settings.namespace)
    found = seen_by(gateway, found, settings)
    configuration = gateway_config.find(gateway, found)
    configuration.check()
    model = _judged(configuration.models, settings, found)
    backend = (
        _called(settings.backend, found, source, "backend", settings)
        if settings.backend
        else _backend_in(found, model, settings)
    )
    return Judged(gateway, configuration, model, backend)


def find(found: Sequence[Manifest], source: Source, settings: Settings) -> Roles:
    """Find all of them, as `judged_in` does.

    Raises:
        SignoffError: one is not there, or cannot be told among several.
    """
    judged = judged_in(found, source, settings)
    judged.check_known()
    if judged.backend is judged.gateway:
        raise SignoffError(
            f"{judged.gateway.name} cannot be both the gateway and the backend",
            where=judged.gateway.place(),
            hint="set `gateway` and `backend` to two; with `stand_in = true` the suite's own vLLM is the backend",
        )
    if judged.backend is None:
        _check_kinds(found, _BACKEND)
        raise SignoffError(
            f"{source.nothing} is a Deployment or StatefulSet that runs vLLM",
            where=source.where,
            hint=f"{source.remedy}, or set `backend` to its name; with `stand_in = true` the suite's own "
            "small vLLM takes its place",
        )
    others = list(_others(judged, found, settings))
    return Roles(
        gateway_of(judged.gateway, found, settings),
        judged.configuration,
        judged.model,
        backend_of(judged.backend, found, settings, judged.model),
        tuple(each for each in others if isinstance(each, Served)),
        tuple(each for each in others if isinstance(each, Unproven)),
    )


def _others(judged: Judged, found: Sequence[Manifest], settings: Settings) -> Iterator[Served | Unproven]:
    """The models beside the one that is judged, each with its backend or with the reason for which none is known."""
    every = judged.configuration.models
    groups = {
        name: [each for each in every if each.asked == name] for name in dict.fromkeys(each.asked for each in every)
    }
    for asked, group in groups.items():
        if asked == judged.model.asked:
            continue
        behind = _behind(group[0], found, settings)
        if reason := _unproven(group, behind):
            yield Unproven(asked, reason, judged.configuration.where(*group[0].place))
        else:
            yield Served(group[0], backend_of(behind[0], found, settings, group[0]))
    for alias, target, where in judged.configuration.aliases:
        if alias != judged.model.asked and alias not in groups:
            known = any(fnmatchcase(target, name) for name in groups)
            yield Unproven(
                alias,
                f"it is an alias of {target}, and is not asked for"
                if known
                else f"it is an alias of {target}, and no model of LiteLLM's is called so",
                where,
            )


def _unproven(group: Sequence[Model], behind: Sequence[Manifest]) -> str:
    """Why nobody can tell which backend has answered for a model; empty where the counter of one vLLM can."""
    model = group[0]
    if len(group) > 1:
        return f"{len(group)} entries of model_list are called so, and no counter tells which of them answers"
    if model.unknown:
        return f"the manifests do not say what its {listed(model.unknown)} is"
    if "*" in model.asked:
        return "its name is a pattern, which stands for any model"
    if model.mode not in ("", "chat"):
        return f"its mode is {model.mode}, and chat completions alone are asked for"
    if not model.api_base:
        return f"it has no api_base: {model.prefix or 'its provider'} answers, outside the manifests"
    if not behind:
        return f"its backend is not among the manifests: {model.origin or 'its api_base is no URL'}"
    if len(behind) > 1:
        return f"several workloads are behind its Service: {listed([each.name for each in behind])}"
    if not _runs(behind[0], _BACKEND):
        return f"{behind[0].name} answers, which is no vLLM and counts no requests as one does"
    return ""


def seen_by(workload: Manifest, found: Sequence[Manifest], settings: Settings) -> list[Manifest]:
    """All but what its pods cannot refer to by name, since that is in another namespace."""
    return [each for each in found if each.kind not in _BY_NAME or _is_beside(each, workload, settings)]


def _is_beside(manifest: Manifest, other: Manifest, settings: Settings) -> bool:
    """Whether both are in one namespace."""
    one, two = (each.key(settings.namespace).namespace for each in (manifest, other))
    return one == two


def _check_namespace(gateway: Manifest, namespace: str) -> None:
    own = gateway.key(namespace).namespace
    if own != namespace:
        raise SignoffError(
            f"{gateway.name} is in the namespace {own}, and {namespace} is the one to be judged",
            where=gateway.place("metadata", "namespace"),
            hint=f"set `namespace` to {own}",
        )


def gateway_in(found: Sequence[Manifest], source: Source, settings: Settings) -> Manifest:
    """The gateway: the one that the settings name, else the only one that may be it.

    Raises:
        SignoffError: none is there, or it cannot be told among several.
    """
    if settings.gateway:
        return _called(settings.gateway, found, source, "gateway", settings)
    several = gateways_in(found, settings)
    if not several:
        _check_kinds(found, _GATEWAY)
        others = [each for each in found if each.kind not in _WORKLOADS and _runs(each, _GATEWAY)]
        raise SignoffError(
            f"{source.nothing} is a Deployment or StatefulSet that runs LiteLLM"
            + (f": {listed([each.name for each in others])} is neither" if others else ""),
            where=", ".join(each.place("kind") for each in others) or source.where,
            hint=f"{source.remedy}, or set `gateway` to its name",
        )
    return _the_one(several, "LiteLLM", "gateway", settings)


def _check_kinds(found: Sequence[Manifest], what: str) -> None:
    """See that no object which runs LiteLLM or vLLM is of a kind that is only nearly a workload's.

    Raises:
        SignoffError: one is, so that nothing would run.
    """
    for each in found:
        meant = get_close_matches(each.kind.lower(), [kind.lower() for kind in _WORKLOADS], n=1, cutoff=_NEARLY)
        if each.kind in _WORKLOADS or not meant:
            continue
        as_meant = {**each.body, "kind": next(kind for kind in _WORKLOADS if kind.lower() == meant[0])}
        if any(what in image for image in _images(as_meant)):
            raise SignoffError(
                f"{each.name} is no {as_meant['kind']}: there is no kind {each.kind}",
                where=each.place("kind"),
                hint=f"write `kind: {as_meant['kind']}`",
            )


def _images(body: dict[str, Any]) -> Iterator[str]:
    """The images of a workload that nobody has looked at yet: it may be of any form."""
    found: Any = body
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict) and isinstance(image := each.get("image"), str):
            yield image.rpartition("/")[2]


def _backend_in(found: Sequence[Manifest], model: Model, settings: Settings) -> Manifest | None:
    several = backends_in(found, model, settings)
    return _the_one(several, "vLLM", "backend", settings) if several else None


def gateways_in(found: Sequence[Manifest], settings: Settings) -> list[Manifest]:
    """What may be the gateway: the workloads that run LiteLLM, else those that mount a configuration of it.

    Of several, the one that is called as usual is it; of several called so, the one in the settings' namespace.
    """
    several = [each for each in _workloads(found) if _runs(each, _GATEWAY)]
    return _the_usual(
        several
        or [each for each in _workloads(found) if gateway_config.with_models(each, seen_by(each, found, settings))],
        _GATEWAY,
        settings,
    )


def backends_in(found: Sequence[Manifest], model: Model, settings: Settings) -> list[Manifest]:
    """What may be the model's backend: the workload behind the Service of its `api_base`, else those that run vLLM.

    Of several, the one that is called as usual is it; of several called so, the one in the settings' namespace.
    """
    behind = _behind(model, found, settings)
    if len(behind) == 1:
        return behind
    return _the_usual([each for each in _workloads(found) if _runs(each, _BACKEND)], _BACKEND, settings)


def service_key(model: Model, settings: Settings) -> Key:
    """The Service that a model's `api_base` names; where it names no namespace, that is LiteLLM's own."""
    return Key(f"Service/{model.service}", model.service_namespace or settings.namespace)


def _behind(model: Model, found: Sequence[Manifest], settings: Settings) -> list[Manifest]:
    """The workloads that the Service of a model's `api_base` leads to."""
    asked = service_key(model, settings)
    services = [each for each in found if each.key(settings.namespace) == asked]
    return [
        each
        for each in _workloads(found)
        if any(selects(one.body, each.body) and _is_beside(one, each, settings) for one in services)
    ]


def _called(name: str, found: Sequence[Manifest], source: Source, role: str, settings: Settings) -> Manifest:
    named = [each for each in _workloads(found) if each.body["metadata"]["name"] == name]
    if named:
        return _the_one(_in_its_namespace(named, settings), name, role, settings)
    names = [each.body["metadata"]["name"] for each in _workloads(found)]
    raise SignoffError(
        f"{source.nothing} is a Deployment or StatefulSet called {name}{nearest(name, names)}",
        where=source.where,
        hint=f"{source.have} {listed(names)}: set `{role}` to one of them" if names else "",
    )


def _the_usual(several: list[Manifest], name: str, settings: Settings) -> list[Manifest]:
    usual = [each for each in several if each.body["metadata"]["name"] == name] or several
    return _in_its_namespace(usual, settings) if len({each.name for each in usual}) == 1 else usual


def _in_its_namespace(several: list[Manifest], settings: Settings) -> list[Manifest]:
    """Those in the settings' namespace; all where none is there."""
    own = settings.namespace
    return [each for each in several if each.key(own).namespace == own] or several


def _the_one(several: Sequence[Manifest], what: str, role: str, settings: Settings) -> Manifest:
    if len(several) == 1:
        return several[0]
    homes = [each.key(settings.namespace).namespace for each in several]
    alike = len({each.name for each in several}) == 1
    told = [f"{each.name} of {home}" if alike else each.name for each, home in zip(several, homes, strict=True)]
    raise SignoffError(
        f"several workloads run {what}: {listed(told)}",
        where=", ".join(each.place() for each in several),
        hint=f"set `namespace` to that of the one that is to be judged: {' or '.join(homes)}"
        if alike
        else f"set `{role}` to the name of the one that is to be judged",
    )


def runs_litellm(workload: Manifest) -> bool:
    """Whether a workload's image is called so that it is LiteLLM."""
    return workload.kind in _WORKLOADS and _runs(workload, _GATEWAY)


def _workloads(found: Sequence[Manifest]) -> list[Manifest]:
    return [each for each in found if each.kind in _WORKLOADS and main_containers(each.body)]


def _runs(workload: Manifest, what: str) -> bool:
    """Whether a container's image is called so: `ghcr.io/berriai/litellm:v1`, `vllm/vllm-openai-cpu`."""
    return any(what in image_name(each) for each in main_containers(workload.body))


def gateway_of(manifest: Manifest, found: Sequence[Manifest], settings: Settings) -> Workload:
    """A gateway, by the Service that leads to its pods, or the one that the settings name.

    Raises:
        SignoffError: there is no Service of that name.
    """
    return _workload_of(manifest, found, settings, _GATEWAY, _SERVICES[0], settings.service)


def _workload_of(
    manifest: Manifest, found: Sequence[Manifest], settings: Settings, what: str, preferred: str, named: str = ""
) -> Workload:
    """A workload that runs `what`, and the Service that leads there: of several the preferred, else that of its name.

    One that is `named` is taken wherever it leads, so that what looks at its endpoints says what is wrong.

    Where none leads there, it is the preferred one or that of its name, so that what asks there says what is wrong.
    """
    body, own = manifest.body, manifest.body["metadata"]["name"]
    services = {
        each.body["metadata"]["name"]: each.body
        for each in found
        if each.kind == "Service" and _is_beside(each, manifest, settings)
    }
    if named and named not in services:
        raise SignoffError(
            f"no Service beside {manifest.name} is called {named}{nearest(named, services)}",
            where=manifest.place(),
            hint=f"its namespace has {listed(services) or 'none'}: set `service` to one of them",
        )
    selecting = [named] if named else [name for name, service in services.items() if selects(service, body)]
    known = selecting or [name for name in (preferred, own) if name in services]
    name = next((name for name in (preferred, own, *known) if name in known), own)
    container = container_that_runs(what, body)
    return Workload(
        body["kind"],
        own,
        manifest.key(settings.namespace).namespace,
        _pods_labels(body),
        name,
        _port(services.get(name, {}), container),
        container.get("name", ""),
    )


def backend_of(manifest: Manifest, found: Sequence[Manifest], settings: Settings, model: Model) -> Workload:
    """A backend: by the Service and port that the model's `api_base` names, be it that something stands before it."""
    workload = _workload_of(manifest, found, settings, _BACKEND, _SERVICES[1])
    named = service_key(model, settings)
    asked = next((each for each in found if each.key(settings.namespace) == named), None)
    if asked is None or named.namespace != workload.namespace:
        return workload
    ports = [each["port"] for each in asked.body.get("spec", {}).get("ports") or []]
    port = model.port if model.port in ports else _port(asked.body, container_that_runs(_BACKEND, manifest.body))
    return replace(workload, service=model.service, port=port)


def _pods_labels(body: dict[str, Any]) -> Mapping[str, str]:
    selector = body.get("spec", {}).get("selector")
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    found: Mapping[str, str] = labels or body["spec"].get("template", {}).get("metadata", {}).get("labels", {})
    return found


def _port(service: Mapping[str, Any], container: dict[str, Any]) -> int:
    """The Service's port: the one called http, else the one that leads to the container's first, else its first.

    Of a Service that is not there it is the container's.
    """
    ports = service.get("spec", {}).get("ports") or []
    own: dict[str, Any] = next(iter(container.get("ports", [])), {})
    wanted = [each["port"] for each in ports if each.get("name") == "http"]
    leading = [each["port"] for each in ports if each.get("targetPort", each["port"]) in _names_of(own)]
    return int(next(iter([*wanted, *leading, *(each["port"] for each in ports)]), own.get("containerPort") or 80))


def _names_of(port: Mapping[str, Any]) -> list[Any]:
    """How a Service may name a container's port."""
    return [each for each in (port.get("containerPort"), port.get("name")) if each]


def _judged(every: Sequence[Model], settings: Settings, found: Sequence[Manifest]) -> Model:
    """The entry that is judged: of those that ask for the model, the first whose backend is among the manifests.

    A name that clients are said to ask for, and that there is not, is what LiteLLM will be asked for all the same.
    """
    named = [each for each in every if each.asked == settings.asked_model]
    serving = [each for each in every if each.model == settings.model]
    here = [each for each in serving if _behind(each, found, settings)]
    chosen = next(iter(named if settings.asked_model else [*here, *serving, *every]), None)
    chosen = chosen or Model(0, settings.model, "", settings.model, "")
    return replace(chosen, asked=settings.asked_model or chosen.asked)


# --- What belongs to whom


def belonging_to(workload: Workload, found: Sequence[Manifest], namespace: str) -> list[Manifest]:
    """This workload, what it alone refers to, and what selects only its pods: all of that is in its namespace.

    `namespace` is that of objects which name none.
    """
    here = [each for each in found if each.key(namespace).namespace == workload.namespace]
    own = [each for each in here if each.key(namespace) == workload.key]
    others = [each for each in here if pod_spec(each.body) and each not in own]
    named = {name for each in own for name in references(each.body)}
    shared = {name for each in others for name in references(each.body)}

    def belongs(manifest: Manifest) -> bool:
        if manifest in own or manifest.name in named - shared:
            return True
        return any(selects(manifest.body, each.body) for each in own) and not any(
            selects(manifest.body, each.body) for each in others
        )

    return [each for each in here if belongs(each)]


def references(body: dict[str, Any]) -> Iterator[str]:
    """The objects that a workload's pods name, as `Manifest.name` writes them: `ConfigMap/litellm-config`."""
    spec = pod_spec(body)
    for each in (f"ServiceAccount/{spec.get('serviceAccountName')}", *_named(spec)):
        if not each.endswith("/None"):
            yield each


def _named(value: Any) -> Iterator[str]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in children:
        if key in _REFERENCES and isinstance(each, dict):
            kind, name = _REFERENCES[key]
            yield f"{kind}/{each.get(name, each.get('name'))}"
        yield from _named(each)


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A copy of a pod's spec in which references name other objects, by kind and name; hosts of URLs as well."""
    if isinstance(value, list):
        return [renamed(each, names) for each in value]
    if isinstance(value, str):
        for old, new in names.items():
            kind, _, name = old.partition("/")
            value = re.sub(rf"(?<=//){re.escape(name)}(?=[.:/]|$)", new, value) if kind == "Service" else value
        return value
    if not isinstance(value, dict):
        return value
    copy = {key: renamed(each, names) for key, each in value.items()}
    for key, each in copy.items():
        if key in _REFERENCES and isinstance(each, dict):
            kind, field = _REFERENCES[key]
            field = field if field in each else "name"
            if field in each:
                each[field] = names.get(f"{kind}/{each[field]}", each[field])
    return copy


def selects(body: dict[str, Any], workload: dict[str, Any]) -> bool:
    """Whether a Service, a disruption budget or the like is about the pods of this workload."""
    spec = body.get("spec", {})
    selector = spec.get("selector") if kind_of(body) == "Service" else _match_labels(spec)
    target = spec.get("scaleTargetRef")
    if isinstance(target, dict):
        return (target.get("kind"), target.get("name")) == (workload["kind"], workload["metadata"]["name"])
    labels = workload.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
    return bool(isinstance(selector, dict) and selector and selector.items() <= labels.items())


def _match_labels(spec: dict[str, Any]) -> Any:
    if "template" in spec:
        return None
    selector = spec.get("selector", spec.get("podSelector"))
    return selector.get("matchLabels") if isinstance(selector, dict) else None
