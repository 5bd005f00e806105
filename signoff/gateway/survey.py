"""What manifests say of a gateway, and which settings follow from it, before anything is deployed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from signoff import story
from signoff.core.words import listed
from signoff.gateway import files, key
from signoff.gateway.node_settings import proposals
from signoff.kube import gateway_config, hooks, loading, stand_in
from signoff.kube.addons import addons
from signoff.kube.gateway_config import Model
from signoff.kube.kustomizations import Absent
from signoff.kube.manifests import layout
from signoff.kube.missing import Missing, check_absent, missing
from signoff.kube.nodes import rules, tolerated
from signoff.kube.objects import Manifest, containers, main_containers
from signoff.kube.roles import (
    Judged,
    Source,
    Workload,
    backend_of,
    backends_in,
    gateway_of,
    gateways_in,
    judged_in,
    seen_by,
)
from signoff.kube.routes import is_of_a_way_in, routes_in
from signoff.settings import Settings
from signoff.settings.model import names
from signoff.settings.writing import Line

_MANAGED_BY, _HELM = "app.kubernetes.io/managed-by", "Helm"
_OF_A_RELEASE = ("helm.sh/chart", _MANAGED_BY, "app.kubernetes.io/version", "heritage", "release", "chart")
"""Labels that a chart changes with its version or that say no more than that it is one."""
_SECRET_KEY = "secretKeyRef"


@dataclass(frozen=True)
class Fact:
    """Something that was found: of what kind, what it is, and file and line."""

    of: str
    what: str
    where: str = ""


@dataclass(frozen=True)
class Question:
    """What the manifests leave open: the setting, the question, and the possible answers, of which the first counts."""

    setting: str
    text: str
    answers: tuple[str, ...]
    only_these: bool = True


Ask = Callable[[Question, Sequence[Fact]], str | None]
"""Asks a person, who may be shown what was found so far; None where nobody can be asked."""


@dataclass
class Survey:
    """What was found, the settings that follow from it in their order, and what nobody has answered."""

    facts: list[Fact] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    undecided: bool = False
    """Whether no run can tell what is to be judged before somebody has answered."""
    left_out: list[str] = field(default_factory=list)
    """What a run does not deploy, and why."""
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The Secrets that are to be given, each with the keys that the manifests ask of it."""


def survey(paths: Sequence[Path], beside: Path, ask: Ask) -> Survey:
    """Look at manifests; places are named from the folder `beside`.

    Raises:
        SignoffError: they cannot be read, or nothing in them is a gateway with its configuration.
    """
    loaded = loading.read_all(*paths)
    left_out = hooks.left_out(loaded.manifests)
    out = [each.manifest for each in left_out]
    found = [each for each in loaded.manifests if each not in out]
    source = Source(str(paths[0]), beside)
    looking = Looking(found, found, loaded.absent, source, beside, ask)
    looking.look()
    looking.look_beside(left_out)
    order = list(names())
    looking.survey.lines.sort(key=lambda line: order.index(line.name))
    return looking.survey


@dataclass
class Looking:
    """At manifests, and what was found so far."""

    every: Sequence[Manifest]
    found: list[Manifest]
    """Those that the gateway can name: of other namespaces, only what is not named within one."""
    absent: Sequence[Absent]
    source: Source
    beside: Path | None
    ask: Ask
    survey: Survey = field(default_factory=Survey)
    known: dict[str, Any] = field(default_factory=dict)
    """The settings so far."""

    def look(self) -> None:
        """At the gateway, and all that it names."""
        judged = self._judged()
        settings = Settings(**self.known)
        gateway = gateway_of(judged.gateway, self.found, settings)
        self._gateway(judged, gateway)
        self._model(judged)
        self.look_at_backend(judged)
        self._namespace(judged.gateway)
        self._key(judged)
        self.look_for_missing(judged)
        self.look_at_nodes(judged)
        self.suggest_labels(judged.gateway)
        self.look_at_way_in(gateway.service)
        self.look_at_layout(judged.gateway, gateway)

    def look_beside(self, left_out: Sequence[hooks.LeftOut]) -> None:
        """At what a run does not deploy."""
        for each in left_out:
            self.fact("not run", f"{each.manifest.name} ({each.events[0]} hook)", self.at(each.manifest))
            self.survey.left_out.append(f"{each.manifest.name} is not run: {each.reason}.")
        others = [each for each in addons(self.found) if not is_of_a_way_in(each)]
        if others:
            kinds = dict.fromkeys(each.body["kind"] for each in others)
            self.fact("add-ons", f"{listed(kinds)}: no CRD, skipped", self.at(others[0]))

    # Who is who

    def _judged(self) -> Judged:
        gateway = self._one_of(gateways_in(self.found, Settings(**self.known)), "gateway", "LiteLLM")
        if gateway is None:  # which is refused with its reason
            return judged_in(self.found, self.source, Settings())
        if (own := gateway.body["metadata"].get("namespace", story.NAMESPACE)) != story.NAMESPACE:
            self.set("namespace", own, gateway.name, self.at(gateway, "metadata", "namespace"))
        self.read_around(gateway)
        self.found = seen_by(gateway, self.found, Settings(**self.known))
        configuration = gateway_config.find(gateway, self.found)
        entries = configuration.models
        self._served(entries, self._short(configuration.where()))
        model = next((each for each in entries if each.model == self.known.get("model", story.MODEL)), None)
        if model and "backend" not in self.known:
            self._one_of(backends_in(self.found, model, Settings(**self.known)), "backend", "vLLM")
        return judged_in(self.found, self.source, Settings(**self.known))

    def read_around(self, gateway: Manifest) -> None:
        """Nothing more: files are read all at once."""

    def _one_of(self, several: Sequence[Manifest], role: str, what: str) -> Manifest | None:
        if len(several) < 2:
            return next(iter(several), None)
        by_name = {str(each.body["metadata"]["name"]): each for each in several}
        text = f"Several workloads run {what}: {listed(by_name)}. Which one is to be judged?"
        name = self._answer(Question(role, text, tuple(by_name)), ", ".join(map(self.at, several)))
        return by_name[name]

    def _served(self, entries: Sequence[Model], where: str) -> None:
        """Ask for the model where it is not the story's."""
        if any(each.model == story.MODEL for each in entries):
            return
        of_the_cluster = [each for each in entries if each.service] or entries
        models = tuple(dict.fromkeys(each.model for each in of_the_cluster if each.model))
        if models:
            one_of = f", {' or '.join(models)}" if len(models) > 1 else ""
            text = f"Which model does vLLM serve{one_of}?"
            self._answer(Question("model", text, models, only_these=False), where, is_known=True)

    def _answer(self, question: Question, where: str, *, is_known: bool = False) -> str:
        """What a person says, else the first answer; that is set only where it `is_known` well enough."""
        told = self.ask(question, self.survey.facts)
        chosen = told or question.answers[0]
        several = len(question.answers) > 1
        self.known[question.setting] = chosen
        why = f"one of {', '.join(question.answers)}" if several else "of LiteLLM's configuration"
        self.line(question.setting, chosen, why, where, is_set=told is not None or is_known)
        if told is None and several:
            self.survey.unanswered.append(f"{question.text} Set `{question.setting}`.")
            self.survey.undecided = self.survey.undecided or not is_known
        return chosen

    # What was found

    def _gateway(self, judged: Judged, gateway: Workload) -> None:
        container = next(each for each in main_containers(judged.gateway.body) if _is_called(each, gateway.container))
        self.fact("gateway", judged.gateway.name, self.at(judged.gateway))
        self.fact("", container["image"])
        service = next((each for each in self.found if _is_service_of(each, gateway)), None)
        if service is None:
            self.fact("Service", f"none leads to {judged.gateway.name}", self.at(judged.gateway))
        else:
            kind = service.body["spec"].get("type", "ClusterIP") if "spec" in service.body else "ClusterIP"
            self.fact("Service", f"{gateway.service}, port {gateway.port}, {kind}", self.at(service))
            if gateway.port != story.GATEWAY_PORT:
                self.set("port", gateway.port, service.name, self.at(service, "spec", "ports"))
            if kind != "ClusterIP":  # what opens LiteLLM to others is for a person to want
                why, where = "open beyond the cluster, in place of the story's", self.at(service, "spec", "type")
                self.line("service_type", kind, why, where, is_set=False)
        config = judged.configuration
        self.fact("configuration", f"{config.file.object}, key {config.key}", self._short(config.where()))

    def _model(self, judged: Judged) -> None:
        model, where = judged.model, self._short(judged.configuration.where(*judged.model.place))
        served = f"{model.model} ({model.prefix})" if model.prefix else model.model
        if model.asked != model.model:
            self.fact("model", f"clients ask for {model.asked}", where)
        self.fact("" if model.asked != model.model else "model", served, where)
        for target, place in judged.configuration.dead_fallbacks:
            self.fact("fallback", f"to {target}: no model is called so", self._short(place))

    def look_at_backend(self, judged: Judged) -> None:
        """At what serves the model, and whether it needs a stand-in."""
        backend = judged.backend
        if backend is None:
            self.fact("backend", "none is there: the suite's own vLLM stands in")
            self.set("stand_in", True, "no vLLM among the manifests")
            return
        service = backend_of(backend, self.found, Settings(**self.known), judged.model).service
        self.fact("backend", f"{backend.name}, Service {service}", self.at(backend))
        if needed := stand_in.needed_for(backend):
            wanted, place = needed
            where = self.at(backend, *place)
            self.fact("", f"wants {wanted}: the suite's stands in", where)
            self.set("stand_in", True, f"{backend.name} wants {wanted}", where)

    def _namespace(self, gateway: Manifest) -> None:
        own = gateway.body["metadata"].get("namespace")
        where = self.at(gateway, "metadata", "namespace") if own else "the story's; no manifest says one"
        self.fact("namespace", str(own or story.NAMESPACE), where)

    def _key(self, judged: Judged) -> None:
        asked = key.find(judged.configuration)
        if asked is None:
            given = [each.name for each in self._lacking(judged) if each.kind == "Secret"]
            perhaps = f", unless Secret/{given[0]} holds one" if given else ""
            self.fact("key", f"LiteLLM asks for none{perhaps}")
        else:
            self.fact(
                "key", f"from {asked.comes_from}" if asked.comes_from else "stands there", self._short(asked.where)
            )

    def _lacking(self, judged: Judged) -> list[Missing]:
        """What pods need and nobody makes, with the stand-in where the backend was."""
        settings = Settings(**self.known)
        found = self.every
        if settings.stand_in and judged.model.service:
            found = stand_in.placed(found, judged, settings)
        return missing(found, settings.namespace)

    def look_for_missing(self, judged: Judged) -> None:
        """For what pods need and nobody makes."""
        files, places = {}, []
        check_absent(self.absent, self.every, Settings(**self.known).namespace)
        for absent in self.absent:
            self.fact("not there", str(absent.path.name), self._short(absent.where))
        for each in self._lacking(judged):
            maker = f", of {each.made_by}" if each.made_by else ""
            where = self._short(each.referred[0])
            self.fact("missing", f"{each.object}{maker}", where)
            if each.kind == "Secret":
                name = each.given_as(Settings(**self.known).namespace)
                text = f"Which file has the values of the Secret {name}?"
                default = f"{name.replace('/', '-')}.env"
                question = Question("secrets", text, (default,), only_these=False)
                files[name] = self.ask(question, self.survey.facts) or default
                self.survey.secrets[name] = tuple(dict.fromkeys(_keys_of(each.name, self.every)))
                places.append(where)
        if files:
            self.set("secrets", files, "not among the manifests", ", ".join(places))

    # Nodes, labels, host

    def look_at_nodes(self, judged: Judged) -> None:
        """At the nodes that the manifests speak of."""
        both = [("LiteLLM", judged.gateway), *([("vLLM", judged.backend)] if judged.backend else [])]
        for who, manifest in both:
            for rule in rules(manifest.body):
                self.fact("nodes", f"{who} {rule}", self.at(manifest, *rule.place))
            for taint in tolerated(manifest.body):
                self.fact("nodes", f"{who} {taint}", self.at(manifest, *taint.place))
        for each in proposals(judged.gateway, judged.backend):
            self.set(each.name, each.value, each.why, self.at(each.manifest, *each.place))

    def suggest_labels(self, gateway: Manifest) -> None:
        """Suggest the labels that a chart gives, which are none of the story's."""
        labels = gateway.body["metadata"].get("labels", {})
        if labels.get(_MANAGED_BY) == _HELM:
            own = {name: value for name, value in labels.items() if name not in _OF_A_RELEASE and value}
            where = self.at(gateway, "metadata", "labels")
            self.line("labels", own, "what the chart gives, in place of the story's", where, is_set=False)

    def look_at_way_in(self, service: str) -> None:
        """The first host that leads to LiteLLM; where none does, that it may be left out is suggested."""
        own = [route for route in routes_in(self.found, story.NAMESPACE) if route.service == service and route.hosts]
        own.sort(key=lambda route: (story.GATEWAY_HOST not in route.hosts, not route.tls))
        if not own:
            none = "no IngressRoute, Ingress or HTTPRoute leads to LiteLLM"
            self.fact("way in", f"none: {none}")
            self.line("waive", {"way-in": "no ingress leads to LiteLLM"}, none, "", is_set=False)
            return
        route, host = own[0], own[0].hosts[0]
        self.fact("way in", f"{route.name}, {'https' if route.tls else 'http'}://{host}", self.at(route.manifest))
        if story.GATEWAY_HOST not in route.hosts:
            self.set("host", host, route.name, self.at(route.manifest))

    def look_at_layout(self, gateway: Manifest, workload: Workload) -> None:
        """Declare the files that LiteLLM's objects lie in, where these are not the story's."""
        assert gateway.file, "the files of a cluster's objects are not looked for"
        found = layout(files.own(workload, self.found, Settings(**self.known).namespace), gateway.file)
        if any(not {*kinds} <= {*found.get(file, [])} for file, kinds in story.GATEWAY_LAYOUT.items()):
            declared = {file: list(dict.fromkeys(kinds)) for file, kinds in found.items()}
            self.set("layout", declared, "where LiteLLM's objects lie", self.at(gateway))
        for kind in sorted({kind for kinds in story.GATEWAY_LAYOUT.values() for kind in kinds}):
            if not any(kind in kinds for kinds in found.values()):
                self.fact("layout", f"no {kind} of LiteLLM's was found, which the story has")

    # Words

    def fact(self, of: str, what: str, where: str = "") -> None:
        """Note what was found."""
        self.survey.facts.append(Fact(of, what, where))

    def set(self, name: str, value: Any, why: str, where: str = "") -> None:
        """Set what follows from the manifests; what no run would take is for a person to look at."""
        try:
            Settings(**self.known | {name: value})
        except ValidationError:
            self.survey.unanswered.append(f"`{name}` cannot be {value!r}, which {where} says.")
            self.line(name, value, f"not a value that a run takes; {why}", where, is_set=False)
        else:
            self.known[name] = value
            self.line(name, value, why, where)

    def line(self, name: str, value: Any, why: str, where: str = "", *, is_set: bool = True) -> None:
        """Write a setting, or suggest it."""
        self.survey.lines.append(Line(name, value, f"{why} ({where})" if where else why, is_set))

    def at(self, manifest: Manifest, *place: str | int) -> str:
        """A place in an object, for a person."""
        return self._short(manifest.place(*place))

    def _short(self, where: str) -> str:
        """A place for a person, from the folder that the settings stand in."""
        for folder in (self.beside, self.beside.resolve()) if self.beside else ():  # kustomize names files in full
            if Path(where).is_relative_to(folder):
                return str(Path(where).relative_to(folder))
        return where


def _is_called(container: Mapping[str, Any], name: str) -> bool:
    return bool(container.get("name", "") == name)


def _is_service_of(manifest: Manifest, gateway: Workload) -> bool:
    own = manifest.body["metadata"].get("namespace", gateway.namespace)
    return manifest.name == f"Service/{gateway.service}" and own == gateway.namespace


def _keys_of(secret: str, found: Sequence[Manifest]) -> Iterator[str]:
    """The keys of a Secret that variables of containers are taken from."""
    for manifest in found:
        for container in containers(manifest.body):
            for variable in container.get("env", []):
                source = variable.get("valueFrom")
                wanted = source.get(_SECRET_KEY) if isinstance(source, dict) else None
                if isinstance(wanted, dict) and wanted.get("name") == secret and wanted.get("key"):
                    yield str(wanted["key"])
