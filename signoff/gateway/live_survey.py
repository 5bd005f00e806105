"""What stands on a person's cluster, and which settings follow from it: looked at, and nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from kubernetes.client.exceptions import ApiException

from signoff import story
from signoff.core.errors import SignoffError, UsageError
from signoff.core.words import listed
from signoff.gateway.node_settings import proposals
from signoff.gateway.survey import Ask, Looking, Question, Survey
from signoff.kube.client import Kube
from signoff.kube.gpus import gpu_of
from signoff.kube.nodes import is_ready, rules, takes_no_pods, tolerated
from signoff.kube.objects import Manifest, field_path
from signoff.kube.roles import Judged, Workload, backend_of
from signoff.kube.standing import NOT_LISTED, Reading, gateways_everywhere, source_of
from signoff.settings import Settings
from signoff.settings.model import default_of, names

_FORBIDDEN_BY = "forbidden_by"
_OF_ALL_CLUSTERS = "kube-system"
"""The namespace whose UID tells one cluster from all others: each has it, from its first moment to its last."""


def survey_cluster(kube: Kube, ask: Ask, namespace: str = "") -> Survey:
    """Look at what stands on a cluster; in all namespaces for LiteLLM, if none is named.

    Raises:
        SignoffError: nothing there is a gateway with its configuration, or what is needed to tell may not be read.
    """
    survey = Survey()
    looking = _LookingAtCluster([], [], (), source_of(Settings()), None, ask, survey, kube=kube)
    looking.known["namespace"] = namespace or looking.home()
    settings = Settings(**looking.known)
    looking.source = source_of(settings)
    looking.reading = Reading(kube, settings)
    looking.reading.list_own()
    looking.every = looking.found = looking.reading.found
    looking.look()
    looking.name_the_cluster()
    order = list(names())
    survey.lines.sort(key=lambda line: order.index(line.name))
    return survey


@dataclass
class _LookingAtCluster(Looking):
    kube: Kube = field(kw_only=True)
    reading: Reading = field(init=False)

    def home(self) -> str:
        """The namespace of LiteLLM; a person is asked for one of several."""
        try:
            every = gateways_everywhere(self.kube)
        except SignoffError as error:
            raise UsageError(error.what, where=error.where, hint="name LiteLLM's with --namespace") from None
        homes = tuple(dict.fromkeys(str(each.body["metadata"]["namespace"]) for each in every))
        if not homes:
            raise UsageError(
                "nothing on the cluster is a Deployment or StatefulSet that runs LiteLLM",
                where="all namespaces",
                hint="if its image is called otherwise, name its namespace with --namespace",
            )
        if len(homes) == 1:
            return homes[0]
        text = f"LiteLLM runs in several namespaces: {listed(homes)}. Which one is to be judged?"
        told = self.ask(Question("namespace", text, homes), self.survey.facts)
        if told is None:
            self.survey.unanswered.append(f"{text} Set `namespace`, or name it with --namespace.")
            self.survey.undecided = True
        return told or homes[0]

    def read_around(self, gateway: Manifest) -> None:
        """Read what the gateway's pods name, its backends, and what leads to it."""
        self.known["gateway"] = gateway.body["metadata"]["name"]
        refused = self.reading.add_around(gateway)
        for each in (*self.reading.notes, *(error.what for error in refused)):
            self.fact("not read", each)
        self.reading.notes.clear()
        self.every = self.found = [*self.reading.found, *self.reading.ways()]
        for each in self.reading.notes:
            self.fact("not read", each)

    def look_at_backend(self, judged: Judged) -> None:
        """At what serves the model."""
        backend = judged.backend
        if backend is None:
            self.fact("backend", f"none is there: {judged.model.origin or 'api_base names no URL'}")
            self.survey.unanswered.append("No vLLM of the cluster is behind LiteLLM: set `backend` to its name.")
            return
        workload = backend_of(backend, self.found, Settings(**self.known), judged.model)
        self.fact("backend", f"{backend.name}, Service {workload.service}", self.at(backend))

    def look_for_missing(self, judged: Judged) -> None:
        """Nothing is missed: what stands there runs, or a run says why it does not."""

    def look_at_layout(self, gateway: Manifest, workload: Workload) -> None:  # noqa: ARG002
        """A cluster has no files; who is judged is named, for another may come."""
        for name, value in (("gateway", workload.name), ("service", workload.service)):
            if not any(each.name == name for each in self.survey.lines):
                self.set(name, value, "so that no other is taken for it")
        self.fact("not judged", "files, unless --manifests names them; changes, unless allowed")

    def look_at_way_in(self, service: str) -> None:
        """At what leads to LiteLLM; of what may not be listed nobody knows."""
        if not any(each.of == "not read" and NOT_LISTED in each.what for each in self.survey.facts):
            super().look_at_way_in(service)

    def suggest_labels(self, gateway: Manifest) -> None:
        """Suggest those that LiteLLM's objects have, where they are not the story's."""
        labels = gateway.body["metadata"].get("labels", {})
        if labels and not story.GATEWAY_LABELS.items() <= labels.items():
            where = self.at(gateway, "metadata", "labels")
            self.line("labels", dict(labels), "what it has, in place of the story's", where, is_set=False)

    # Nodes

    def look_at_nodes(self, judged: Judged) -> None:
        """At the nodes that there are, and at what the pods ask of them."""
        both = [("LiteLLM", judged.gateway), *([("vLLM", judged.backend)] if judged.backend else [])]
        for who, manifest in both:
            placed = [(str(each), each.place) for each in rules(manifest.body)]
            placed += [(str(each), each.place) for each in tolerated(manifest.body)]
            for told, place in placed:
                self.fact("nodes", f"{who} {told}", self.at(manifest, *place))
        for proposal in proposals(judged.gateway, judged.backend):
            if proposal.name == _FORBIDDEN_BY:
                self.set(proposal.name, proposal.value, proposal.why, self.at(proposal.manifest, *proposal.place))
        try:
            nodes = self.kube.core.list_node().items
        except ApiException as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            self.fact("nodes", "may not be listed")
            self._ask_for("allowed_nodes", "forbidden_nodes", "backend_nodes")
            return
        self._sort(nodes)

    def _sort(self, nodes: Sequence[Any]) -> None:
        with_gpu = {each.metadata.name: told for each in nodes if (told := gpu_of(each))}
        for each in sorted(nodes, key=lambda node: node.metadata.name in with_gpu):
            of = "GPU node" if each.metadata.name in with_gpu else "node"
            self.fact(of, ", ".join([each.metadata.name, *_told(each)]))
        allowed = [
            each.metadata.name for each in nodes if each.metadata.name not in with_gpu and not takes_no_pods(each)
        ]
        gpus = list(with_gpu)
        found = {"forbidden_nodes": gpus, "allowed_nodes": allowed, "backend_nodes": gpus}
        why = {"forbidden_nodes": "those with a GPU", "allowed_nodes": "those without a GPU that take pods"}
        for name, value in found.items():
            if value and tuple(value) != default_of(name):
                self.set(name, value, why.get(name, "those with a GPU"))
        self._ask_for(*(name for name, value in found.items() if not value))

    def _ask_for(self, *settings: str) -> None:
        if settings:
            named = listed([f"`{name}`" for name in settings])
            self.survey.unanswered.append(f"The cluster does not say which nodes these are: set {named}.")

    # The cluster

    def name_the_cluster(self) -> None:
        """By what tells it from all others, so that no other is ever taken for it."""
        try:
            uid = self.kube.core.read_namespace(_OF_ALL_CLUSTERS).metadata.uid
        except ApiException as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            what = f"The namespace {_OF_ALL_CLUSTERS} may not be read"
            self.survey.unanswered.append(f"{what}, whose UID tells this cluster from others: set `cluster_uid`.")
        else:
            self.set("cluster_uid", uid, f"of the namespace {_OF_ALL_CLUSTERS}")

    def at(self, manifest: Manifest, *place: str | int) -> str:
        """The field and the namespace: the object is named beside it."""
        home = f"of {manifest.body['metadata'].get('namespace')}"
        return f"{field_path(place)} {home}" if place else home


def _told(node: Any) -> list[str]:
    """What is to be known of a node before pods are placed."""
    away = takes_no_pods(node)
    told = (
        gpu_of(node),
        f"takes no pods: {away}" if away else "",
        "" if is_ready(node) else "NotReady",
        "cordoned" if node.spec.unschedulable else "",
    )
    return [each for each in told if each]
