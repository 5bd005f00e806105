"""What stands on a cluster, read as if it were manifests: the gateway, its backends, and the ways that lead to it.

Nothing is asked of the API but to `get` and to `list`. Secrets are read by name alone, and only those that the pods
of the gateway and its backends name; what others run in the same namespaces is looked at no further than to see that
it is none of these. What leads to the gateway from outside is looked for in its own namespace.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.kube import gateway_config, missing
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Key, Manifest
from signoff.kube.roles import Roles, Source, Workload, find, gateway_in, references, runs_litellm, seen_by, selects
from signoff.kube.routes import CLUSTER_ISSUER_ANNOTATION, KINDS, Route, routes_in, secret_of
from signoff.kube.secrets import learned
from signoff.kube.stood import Stood, without_noise
from signoff.settings import Settings

_Kind = tuple[str, str]
"""The API of a kind with its version, and the kind."""
_Object = tuple[str, Key]
"""The API of an object with its version, for two may call a kind alike, and the object."""

_SERVING: tuple[_Kind, ...] = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "Service"))
_CONFIG_MAP, _SECRET = ("v1", "ConfigMap"), ("v1", "Secret")
_CERT_MANAGER, _GATEWAY_API = "cert-manager.io/v1", "gateway.networking.k8s.io/v1"
_TRAEFIKS = ("traefik.io/v1alpha1", "traefik.containo.us/v1alpha1")
"""Of v3, and of v2, which v3 does not read."""
_OF_TRAEFIK = ("Middleware", "ServersTransport", "TLSOption")
_ROUTES: tuple[_Kind, ...] = (
    ("networking.k8s.io/v1", "Ingress"),
    (_GATEWAY_API, "HTTPRoute"),
    *((version, kind) for version in _TRAEFIKS for kind in ("IngressRoute", *_OF_TRAEFIK)),
    (_CERT_MANAGER, "Certificate"),
)
NOT_LISTED = "of the way in, these may not be listed"
_ISSUER_ANNOTATION = "cert-manager.io/issuer"


def read(kube: Kube, settings: Settings) -> StoryManifests:
    """The gateway that stands in the settings' namespace, its configuration, its backends, and what leads to it.

    Raises:
        SignoffError: one is not there or cannot be told among several, or what is needed to tell may not be read.
    """
    return Reading(kube, settings).read()


def gateways_everywhere(kube: Kube) -> list[Manifest]:
    """The workloads of all namespaces that run LiteLLM.

    Raises:
        SignoffError: they may not be listed.
    """
    reading = Reading(kube, Settings())
    every = [each for kind in _SERVING if kind[1] != "Service" for each in reading.all(kind, "")]
    return [each for each in every if runs_litellm(each)]


@dataclass
class Reading:
    """Reads one part after the other, for whoever has something to ask a person in between."""

    kube: Kube
    settings: Settings
    found: list[Manifest] = field(default_factory=list)
    stood: dict[_Object, Stood] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self) -> StoryManifests:
        """The same as the function of this name."""
        source = source_of(self.settings)
        self.list_own()
        gateway = gateway_in(self.found, source, self.settings)
        beyond = self.add_around(gateway)
        chosen = self.settings.model_copy(update={"gateway": gateway.body["metadata"]["name"]})
        roles = self._roles(source, chosen, beyond)
        for each in (roles.backend, *(each.backend for each in roles.others)):
            self._add_referred(self._manifest(each))
        kept = [*self._of_workloads(roles), *self._ways_to(roles.gateway)]
        told = StoryManifests.of(learned(kept), roles, source, self.settings, self.notes)
        stood = [self.stood[self._object(each)] for each in kept if each.file is None]
        return replace(told, stood=stood)

    @property
    def _own(self) -> str:
        return self.settings.namespace

    # The gateway and its backends

    def list_own(self) -> None:
        """What runs in the gateway's namespace, and what may lead there or configure it.

        Raises:
            SignoffError: it may not be listed.
        """
        for kind in (*_SERVING, _CONFIG_MAP):
            self.found += self.all(kind, self._own)

    def add_around(self, gateway: Manifest) -> list[SignoffError]:
        """What the gateway's pods name, and what runs in the other namespaces that `api_base` of a model names.

        What may not be read there is returned.
        """
        self._add_referred(gateway)
        configuration = gateway_config.find(gateway, seen_by(gateway, self.found, self.settings))
        named = (each.service_namespace for each in configuration.models if each.service)
        refused = []
        for namespace in dict.fromkeys(each for each in named if each not in ("", self._own)):
            try:
                self.found += [each for kind in _SERVING for each in self.all(kind, namespace)]
            except SignoffError as error:
                refused.append(error)
        return refused

    def _roles(self, source: Source, settings: Settings, refused: Sequence[SignoffError]) -> Roles:
        try:
            return find(self.found, source, settings)
        except SignoffError as error:
            for each in refused:
                raise each from error  # what could not be read may be what was not found
            raise

    def _add_referred(self, workload: Manifest) -> None:
        """Read the ConfigMaps and Secrets that a workload's pods name; a Secret may be given, if it may not be read."""
        namespace = workload.key(self._own).namespace
        there = {each.key(self._own) for each in self.found}
        read = []
        for name in dict.fromkeys(references(workload.body)):
            kind = next((each for each in (_CONFIG_MAP, _SECRET) if name.startswith(f"{each[1]}/")), None)
            if kind is None or Key(name, namespace) in there:
                continue
            try:
                read += self._one(kind, name.partition("/")[2], namespace)
            except ForbiddenError:
                self.notes.append(f"{name} of {namespace} may not be read: what it holds is not known")
        self.found += read
        wanted = {each.name for each in missing.missing([workload, *read], self._own)}
        files = {name: file for name, file in self.settings.secrets.items() if name.rpartition("/")[2] in wanted}
        self.found += missing.given([workload, *self.found], files, self._own) if files else []
        learned([workload, *(each for each in self.found if each.name in references(workload.body))])

    def _manifest(self, workload: Workload) -> Manifest:
        return next(each for each in self.found if each.key(self._own) == workload.key)

    def _of_workloads(self, roles: Roles) -> list[Manifest]:
        """Each workload that is judged, what its pods name, and the Services that lead to them."""
        workloads = (roles.gateway, roles.backend, *(each.backend for each in roles.others))
        return [each for each in self.found if any(self._is_of(each, workload) for workload in workloads)]

    def _is_of(self, manifest: Manifest, workload: Workload) -> bool:
        key, own = manifest.key(self._own), self._manifest(workload)
        if key.namespace != workload.namespace:
            return False
        named = key in (workload.key, workload.service_key) or manifest.name in references(own.body)
        return named or (manifest.kind == "Service" and selects(manifest.body, own.body))

    # The ways to the gateway

    def _ways_to(self, gateway: Workload) -> list[Manifest]:
        """The routes that lead to the gateway's Services, and what these name."""
        objects = self.ways()
        own = self._manifest(gateway)
        leading = [each for each in self.found if each.key(self._own) == gateway.service_key or _leads(each, own)]
        services = [each.body["metadata"]["name"] for each in leading]

        def leads(route: Route) -> bool:
            return route.service in services and route.service_namespace == gateway.namespace

        routes = [each for each in routes_in(objects, self._own) if leads(each)]
        kept = _each_once(each.manifest for each in routes)
        kept += _named_by([*kept, *leading], [each for each in objects if each.kind in _OF_TRAEFIK])
        kept += self._gateways_of(routes)
        routes = [each for each in routes_in(kept, self._own) if leads(each)]  # a Gateway says with what certificate
        certificates = [each for each in objects if each.kind == "Certificate" and _is_of_a_route(each, routes)]
        return [*kept, *certificates, *self._issuers_of([*kept, *certificates])]

    def ways(self) -> list[Manifest]:
        """What may be of a way in, in the gateway's namespace."""
        found, refused = [], []
        for kind in _ROUTES:
            try:
                found += self._listed(kind, self._own)
            except ForbiddenError:
                refused.append(f"{kind[1]} of {kind[0]}")
        if refused:
            self.notes.append(f"{NOT_LISTED} in {self._own}: {listed(refused)}")
        return found

    def _gateways_of(self, routes: Iterable[Route]) -> list[Manifest]:
        """The Gateways that the routes are attached to."""
        named = dict.fromkeys(
            (str(parent.get("name")), str(parent.get("namespace") or each.namespace))
            for each in routes
            for parent in each.parents
        )
        return [
            each for name, namespace in named for each in self._if_allowed((_GATEWAY_API, "Gateway"), name, namespace)
        ]

    def _issuers_of(self, objects: Iterable[Manifest]) -> list[Manifest]:
        """The issuers that Certificates ask, and that Ingresses have asked."""
        named = dict.fromkeys(each for manifest in objects for each in _issuers(manifest))
        return [
            each
            for kind, name, namespace in named
            for each in self._if_allowed((_CERT_MANAGER, kind), name, "" if kind == "ClusterIssuer" else namespace)
        ]

    def _if_allowed(self, kind: _Kind, name: str, namespace: str) -> list[Manifest]:
        try:
            return self._one(kind, name, namespace)
        except ForbiddenError:
            self.notes.append(f"{kind[1]}/{name}{f' of {namespace}' if namespace else ''} may not be read")
            return []

    # The API

    def all(self, kind: _Kind, namespace: str) -> list[Manifest]:
        """The objects of a kind in a namespace, or in all of them.

        Raises:
            SignoffError: they may not be listed.
        """
        try:
            return self._listed(kind, namespace)
        except ForbiddenError:
            plural = f"{kind[1].lower()}s"
            within = f"-n {namespace}" if namespace else "--all-namespaces"
            raise SignoffError(
                f"the cluster does not let this user list {plural} in {namespace or 'all namespaces'}",
                where=f"the namespace {namespace}" if namespace else "all namespaces",
                hint=f"grant get and list of them; `kubectl auth can-i list {plural} {within}` tells what is so",
            ) from None

    def _listed(self, kind: _Kind, namespace: str) -> list[Manifest]:
        return [self._read(each) for each in self.kube.objects(*kind, namespace)]

    def _one(self, kind: _Kind, name: str, namespace: str) -> list[Manifest]:
        body = self.kube.object(*kind, name, namespace)
        return [self._read(body)] if body else []

    def _read(self, body: dict[str, Any]) -> Manifest:
        manifest = Manifest(None, "", without_noise(body))
        self.stood[self._object(manifest)] = Stood.of(body)
        return manifest

    def _object(self, manifest: Manifest) -> _Object:
        return str(manifest.body["apiVersion"]), manifest.key(self._own)


def source_of(settings: Settings) -> Source:
    """What is read, in the words of an error."""
    namespace = f"the namespace {settings.namespace}"
    return Source(
        namespace,
        nothing=f"nothing in {namespace}",
        have=f"{namespace} has",
        remedy="set `namespace` to the one in which LiteLLM is",
    )


def _leads(manifest: Manifest, workload: Manifest) -> bool:
    both = (each.body["metadata"].get("namespace") for each in (manifest, workload))
    return manifest.kind == "Service" and len({*both}) == 1 and selects(manifest.body, workload.body)


def _each_once(manifests: Iterable[Manifest]) -> list[Manifest]:
    found: list[Manifest] = []
    for each in manifests:
        found += [] if each in found else [each]
    return found


def _named_by(naming: Sequence[Manifest], objects: Sequence[Manifest]) -> list[Manifest]:
    """Traefik's objects that others name, or that those name in turn, as a chain of middlewares does."""
    named = {name for each in naming for name in (*_of_traefik(each.body.get("spec")), *_annotated(each))}
    new = [each for each in objects if {each.name, _in_annotations(each)} & named]
    rest = [each for each in objects if each not in new]
    return [*new, *_named_by(new, rest)] if new else []


def _of_traefik(value: Any) -> Iterator[str]:
    """What stands where Traefik's own objects are named, with its kind.

    Source: https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/crd/http/ingressroute/
    """
    for key, each in value.items() if isinstance(value, dict) else ():
        match key, each:
            case "middlewares", list():
                yield from (f"Middleware/{one.get('name')}" for one in each if isinstance(one, dict))
            case "options", {"name": name}:
                yield f"TLSOption/{name}"
            case "serversTransport", str():
                yield f"ServersTransport/{each}"
        yield from _of_traefik(each)
    for each in value if isinstance(value, list) else ():
        yield from _of_traefik(each)


def _annotated(manifest: Manifest) -> Iterator[str]:
    """What annotations name: `traefik.ingress.kubernetes.io/router.middlewares: ml-strip@kubernetescrd`."""
    for text in (manifest.body["metadata"].get("annotations") or {}).values():
        yield from (each.strip() for each in str(text).split(","))


def _in_annotations(manifest: Manifest) -> str:
    """How annotations call an object of Traefik's."""
    metadata = manifest.body["metadata"]
    return f"{metadata.get('namespace')}-{metadata['name']}@kubernetescrd"


def _is_of_a_route(certificate: Manifest, routes: Iterable[Route]) -> bool:
    own = (secret_of(certificate), certificate.body["metadata"].get("namespace"))
    return any(own == (each.secret, each.secret_namespace) for each in routes)


def _issuers(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """The kind, name and namespace of the issuers that an object names."""
    metadata, spec = manifest.body["metadata"], manifest.body.get("spec") or {}
    namespace, noted = str(metadata.get("namespace") or ""), metadata.get("annotations") or {}
    if manifest.kind == "Certificate" and isinstance(told := spec.get("issuerRef"), dict):
        yield str(told.get("kind") or "Issuer"), str(told.get("name")), namespace
    if manifest.kind in KINDS and (name := noted.get(CLUSTER_ISSUER_ANNOTATION)):
        yield "ClusterIssuer", name, namespace
    if manifest.kind in KINDS and (name := noted.get(_ISSUER_ANNOTATION)):
        yield "Issuer", name, namespace
