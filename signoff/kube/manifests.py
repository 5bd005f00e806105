"""The manifests as they will be applied: read, checked, and with the run's overrides in them."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.core.redact import hide, keep, scrubbed
from signoff.core.words import listed
from signoff.kube import commands, documents, hooks, kustomizations, loading, missing, outside, stand_in
from signoff.kube.gateway_config import Model, of_url
from signoff.kube.hooks import LeftOut
from signoff.kube.keepers import nobodys
from signoff.kube.kustomizations import Absent
from signoff.kube.objects import (
    Key,
    Manifest,
    containers,
    kind_of,
    main_containers,
    pod_spec,
    pod_template,
    text_in,
    write_text,
)
from signoff.kube.placement import possible_nodes
from signoff.kube.roles import NAME_LABEL, Roles, Source, Workload, belonging_to, find, judged_in, references, renamed
from signoff.kube.routes import is_of_a_way_in
from signoff.kube.stood import Stood
from signoff.kube.variables import of_container
from signoff.settings import Settings, story_values

CHECKSUM = "checksum/config"
OF_THE_STORY = Settings()
_COPIED = ("ConfigMap", "Deployment", "Secret", "Service", "StatefulSet")
"""What a gateway's pods need to run in another namespace."""
_SHORT_HOST = re.compile(r"(?<=://)[a-z0-9]([-a-z0-9]*[a-z0-9])?(?=[:/]|$)")
_APPLIED_FIRST = ("Namespace", "CustomResourceDefinition")
"""What other objects need to be there; it is counted with vLLM, which is applied before LiteLLM."""


@dataclass(frozen=True)
class StoryManifests:
    """What is deployed: vLLM with all that belongs to it alone, and LiteLLM with the rest; and who is who there."""

    source: Source
    """What they were read from."""
    backend: list[Manifest]
    gateway: list[Manifest]
    roles: Roles
    settings: Settings
    left_out: Sequence[LeftOut] = ()
    """What is among the manifests and is not deployed."""
    notes: Sequence[str] = ()
    """What whoever reads of the run should know of them."""
    stood: Sequence[Stood] = ()
    """What a cluster had, where they were read from one; nothing where they come from files."""
    copy_of: str = ""
    """The gateway of which this one is a copy, such as "Deployment/litellm of ml"; then the backend is there."""
    copied_without: Sequence[str] = ()
    """What `goes_without` told of that one."""

    @classmethod
    def read(cls, settings: Settings = OF_THE_STORY) -> "StoryManifests":
        """Read what the settings name; an image that they name replaces those of its manifests.

        Raises:
            SignoffError: a folder or a file is missing, is not YAML, or holds something that is no Kubernetes object;
                or nothing there deploys vLLM or LiteLLM.
        """
        paths = settings.manifests
        for path in paths:
            if not documents.is_there(path):
                hint = "name the folder of your manifests with --manifests"
                raise SignoffError("the folder of manifests is not there", where=str(path), hint=hint)
        loaded = loading.read_all(*paths, namespace=settings.namespace)
        given = missing.given(loaded.manifests, settings.secrets, settings.namespace)
        missing.check_absent(loaded.absent, loaded.manifests, settings.namespace, given)
        found = [*loaded.manifests, *given]
        left_out = hooks.left_out(found)
        out = [each.manifest for each in left_out]
        found = [each for each in found if each not in out]
        source = Source(str(_listed_in(paths[0])), _above(paths))
        if settings.stand_in:
            judged = judged_in(found, source, settings)
            judged.check_known()
            found = stand_in.placed(found, judged, settings)
        roles = find(found, source, settings)
        notes = [_in_place_of(each, given) for each in loaded.absent]
        made = cls.of(found, roles, source, settings, notes)
        missing.check_complete(found, settings.namespace, loaded.absent)
        return replace(made, left_out=left_out)._with_overrides()

    @classmethod
    def of(
        cls, found: Sequence[Manifest], roles: Roles, source: Source, settings: Settings, notes: Sequence[str] = ()
    ) -> "StoryManifests":
        """Part what was found by whose it is, vLLM's or LiteLLM's; each object is as it was found.

        Raises:
            SignoffError: no Service leads to one of both.
        """
        keep((), _told_of(roles.model))
        for workload in (roles.gateway, roles.backend):
            _check_service(workload, found, settings.namespace)
        first = [each for each in found if each.kind in _APPLIED_FIRST]
        backend = [each for each in belonging_to(roles.backend, found, settings.namespace) if each not in first]
        gateway = [each for each in found if each not in first and each not in backend]
        told = (*notes, *_dead_fallbacks(roles, source))
        return cls(source, [*first, *backend], gateway, roles, settings, notes=told)

    def _with_overrides(self) -> "StoryManifests":
        """The same as they are applied: with their checksums, and with the images that the settings name."""
        own, roles = self.settings, self.roles
        return replace(
            self,
            backend=with_image(with_checksums(self.backend), roles.backend, own.vllm_image, own.namespace),
            gateway=with_image(with_checksums(self.gateway), roles.gateway, own.litellm_image, own.namespace),
        )

    @property
    def stands(self) -> bool:
        """Whether somebody else has deployed it: then it is judged as it stands, and nothing of it is applied."""
        return bool(self.stood) and not self.copy_of

    @property
    def applied(self) -> list[Manifest]:
        """What a run applies of it, the backend's first; nothing of what stands."""
        if self.copy_of:
            return self.gateway
        return [] if self.stands else [*self.backend, *self.gateway]

    @property
    def values(self) -> dict[str, Any]:
        """What a story's declaration may speak of by name: the settings, and what was found in the manifests."""
        return {
            **story_values(self.settings),
            "asked_model": self.roles.model.asked,
            "gateway_url": self.roles.gateway.url,
            "backend_url": f"{self.roles.backend.url}/v1",
        }

    def where(self, name: str, *path: str | int, namespace: str = "") -> str:
        """The place of a field of an object, as `object` finds it; empty for one that is not there."""
        manifest = self._found(name, namespace)
        return self.shown(manifest.place(*path)) if manifest else ""

    def shown(self, where: str) -> str:
        """A place for a person: of a file below the folder of manifests, its name from there."""
        return self.source.shown(where)

    def object(self, name: str, namespace: str = "") -> Manifest:
        """An object such as "Deployment/litellm", which is there: in LiteLLM's namespace, if none is named."""
        if found := self._found(name, namespace):
            return found
        raise KeyError(name)

    def _found(self, name: str, namespace: str) -> Manifest | None:
        wanted = Key(name, namespace or self.roles.gateway.namespace)
        objects = (*self.backend, *self.gateway)
        return next((each for each in objects if each.key(self.settings.namespace) == wanted), None)

    @property
    def images(self) -> dict[str, tuple[str, ...]]:
        """Every image that a container asks for, and those of the known nodes on which that may be."""
        found: dict[str, set[str]] = {}
        for manifest in (*self.backend, *self.gateway):
            for container in containers(manifest.body):
                found.setdefault(container["image"], set()).update(possible_nodes(manifest.body, self.nodes))
        return {image: tuple(node for node in self.nodes if node in nodes) for image, nodes in sorted(found.items())}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that the settings speak of, by their names."""
        return tuple(node.name for node in self.settings.nodes)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those in which objects are applied, LiteLLM's first."""
        own = self.roles.gateway.namespace
        named = (each.key(own).namespace for each in (*self.backend, *self.gateway))
        return tuple(dict.fromkeys((own, self.roles.backend.namespace, *named)))

    @property
    def tolerations(self) -> list[dict[str, Any]]:
        """The taints that LiteLLM's pods put up with: what runs where LiteLLM may has to do so too."""
        found: list[dict[str, Any]] = pod_spec(self.object(self.roles.gateway.object).body).get("tolerations") or []
        return found

    @property
    def gateway_image(self) -> str:
        """The image of LiteLLM's own container."""
        return _own_image(self.gateway, self.roles.gateway, self.settings.namespace)

    @property
    def are_the_projects(self) -> bool:
        """Whether they were read from the suite's own folder: a kustomization elsewhere may change what it takes."""
        paths = self.settings.manifests if self.source.folder else ()
        return bool(paths) and all(each.resolve().is_relative_to(MANIFESTS.resolve()) for each in paths)

    @property
    def way_in(self) -> list[Manifest]:
        """The routes, the certificates, and what else only the controllers of a way in know."""
        return [each for each in (*self.backend, *self.gateway) if is_of_a_way_in(each)]

    def without_way_in(self) -> "StoryManifests":
        """The same for whoever judges no way in: its routes, certificates and issuers are left out.

        Only a run that has the controllers turns an issuer from its public ACME server to one of the suite's own. As it
        is written it would ask the public one wherever cert-manager runs, as on a cluster that an earlier run kept.
        """
        out = self.way_in
        backend, gateway = ([each for each in part if each not in out] for part in (self.backend, self.gateway))
        left_out = (*self.left_out, *(LeftOut(each, "not judged here: the way in") for each in out))
        return replace(self, backend=backend, gateway=gateway, left_out=left_out)

    @property
    def commands(self) -> list[str]:
        """What they would have run, in lines for a person's terminal: nothing in them is hidden."""
        return list(commands.told((*self.backend, *self.gateway)))

    @property
    def not_the_storys(self) -> dict[str, dict[str, str]]:
        """What was found that is not as the story has it, as a run records settings: clients ask by another name."""
        found = self.roles.model
        if found.asked == self.settings.model:
            return {}
        where = self.shown(self.roles.configuration.where(*found.place, "model_name"))
        return {"asked_model": {"value": found.asked, "origin": where, "story": self.settings.model}}

    def second_gateway(self, name: str, edit: Callable[[dict[str, Any]], None]) -> tuple[Workload, list[Manifest]]:
        """A second gateway called `name` beside the first: the same manifests with `edit` applied to its config.yaml.

        Every object, and each reference to one of them, carries a name of its own, and neither gateway's Service or
        selector matches the other's pods. What other workloads use too is shared with the first; what claims the host
        name from outside, or a port of the node, is left out, and so is all state outside its pods (`goes_without`).
        """
        first, config = self.roles.gateway, self.roles.config
        second = first.beside(name)
        belonging = belonging_to(first, self.gateway, self.settings.namespace)
        keys = (first.key, Key(config.object, first.namespace))
        own = [
            each
            for each in self.gateway
            if each.key(self.settings.namespace) in keys
            or (each.kind in ("ConfigMap", "Service") and each in belonging)
        ]
        selected_by = {label for each in (*self.gateway, *self.backend) for label in _selects_by(each.body)}
        return second, self._made_of(own, second, edit, selected_by)

    def _made_of(
        self,
        own: Sequence[Manifest],
        second: Workload,
        edit: Callable[[dict[str, Any]], None],
        selected_by: Collection[str] = (),
    ) -> list[Manifest]:
        """These objects of the gateway, made those of a second one; of its pods' labels, without these."""
        first, config = self.roles.gateway, self.roles.config
        names = {each.name: _name_beside(each, first, second.name) for each in own}

        def change(body: dict[str, Any]) -> None:
            own_name = f"{kind_of(body)}/{body['metadata']['name']}"
            if own_name == config.object:
                write_text(body, config.key, _edited(text_in(body, config.key), edit))
            body["metadata"] = nobodys(body["metadata"], names[own_name])
            if NAME_LABEL in body["metadata"].get("labels", {}) and NAME_LABEL in second.selector:
                body["metadata"]["labels"][NAME_LABEL] = second.selector[NAME_LABEL]
            if body["kind"] == "Service":
                body["spec"] = _within_the_cluster(body["spec"], second)
            elif own_name == first.object:
                outside.without_variables(pod_spec(body), self._held)
                _become(body["spec"], second, names, selected_by)

        return transform(list(own), change)

    def copied_into(self, namespace: str) -> "StoryManifests":
        """The same with a copy of the gateway in another namespace, which asks the backend that is there.

        The copy has one pod, labels and selector as they are, and a name of its own; its configuration and its Secrets
        come with it, and state outside its pods does not (`goes_without`). Nothing leads to it from outside.

        Raises:
            SignoffError: its pods need an object that is not known.
        """
        first, home = self.roles.gateway, self.roles.gateway.namespace
        name = f"{first.name}-copy"
        second = replace(first, name=name, service=name, namespace=namespace)
        there = [each for each in (*self.gateway, *self.backend) if each.key(self.settings.namespace).namespace == home]
        pods = deepcopy(self.object(first.object).body)
        outside.without_variables(pod_spec(pods), self._held)
        named = {first.object, f"Service/{first.service}", self.roles.config.object, *references(pods)}
        own = [each for each in there if each.name in named and each.kind in _COPIED]
        beside = [each for each in self.roles.configuration.models if each.service and not each.service_namespace]

        def edit(config: dict[str, Any]) -> None:
            for each in beside:  # a variable may hold it
                config["model_list"][each.at]["litellm_params"]["api_base"] = each.api_base
            config.update(elsewhere(config, home))

        def move(body: dict[str, Any]) -> None:
            body["metadata"]["namespace"] = namespace
            if pods := pod_spec(body):
                _move(pods, home, second)

        made = transform(self._made_of(own, second, edit), move)
        if lacking := missing.missing(made, namespace):
            raise SignoffError(
                f"a copy of {first.object} needs {listed([each.object for each in lacking])}, and what "
                "that holds is not known",
                where=", ".join(dict.fromkeys(place for each in lacking for place in each.referred)),
                hint="let it be read, or give a Secret with --secret NAME=FILE.env",
            )
        held = made[[each.name for each in own].index(self.roles.config.object)]
        roles = _roles_of_copy(self.roles, second, held, made)
        stood = [each for each in self.stood if each.key in {one.key(home) for one in self.backend}]
        return replace(
            self,
            gateway=made,
            roles=roles,
            stood=stood,
            left_out=(),
            copy_of=f"{first.object} of {home}",
            copied_without=self.goes_without,
        )

    @property
    def goes_without(self) -> list[str]:
        """What a copy of the gateway does not have, for it leads to what lies outside its pods."""
        if self.copy_of:
            return list(self.copied_without)
        workload = deepcopy(self.object(self.roles.gateway.object).body)
        settings = outside.without_settings(yaml.safe_load(self.roles.configuration.text))
        return [*settings, *outside.without_variables(pod_spec(workload), self._held)]

    @property
    def _held(self) -> dict[str, Manifest]:
        """What the gateway's pods may take variables from, by kind and name."""
        own = self.roles.gateway.namespace
        every = (*self.gateway, *self.backend)
        return {each.name: each for each in every if each.key(self.settings.namespace).namespace == own}


def _in_place_of(absent: Absent, given: Sequence[Manifest]) -> str:
    names = listed([each.name for each in given])
    return f"{absent.path.name}, which {absent.listed_in.name} lists, is not there: what was given is {names}"


def _dead_fallbacks(roles: Roles, source: Source) -> Iterable[str]:
    for target, where in roles.configuration.dead_fallbacks:
        yield f"a fallback leads to {target}, and no model of LiteLLM's is called so ({source.shown(where)})"


def _told_of(model: Model) -> list[str]:
    """What every page tells of the model that is judged, although a Secret may hold it: names, no credentials."""
    base = [of_url(model.api_base)] if model.service else []
    return [model.asked, model.model, f"{model.prefix}/{model.model}", *base]


def _check_service(workload: Workload, found: Sequence[Manifest], namespace: str) -> None:
    """See that something leads to a workload's pods.

    Raises:
        SignoffError: none of the manifests does.
    """
    by_key = {each.key(namespace): each for each in found}
    if workload.service_key in by_key:
        return
    own = by_key[workload.key]
    labels = listed([f"{key}={value}" for key, value in workload.selector.items()])
    raise SignoffError(
        f"no Service leads to the pods of {workload.object}",
        where=own.place("spec", "template", "metadata", "labels"),
        hint=f"add one with the selector {labels or 'that its pods have as labels'} and the port {workload.port}",
    )


def _listed_in(path: Path) -> Path:
    """What says which files there are: a folder's kustomization, if it has one."""
    return (path.is_dir() and kustomizations.of(path)) or path


def _above(paths: Sequence[Path]) -> Path:
    """The folder that all of them are below."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    return folders[0] if len(folders) == 1 else Path(os.path.commonpath([each.absolute() for each in folders]))


def _name_beside(manifest: Manifest, first: Workload, name: str) -> str:
    """What an object of the first gateway is called for a second one."""
    old = str(manifest.body["metadata"]["name"])
    if manifest.name in (first.object, f"Service/{first.service}"):
        return name
    return old.replace(first.name, name, 1) if first.name in old else f"{name}-{old}"


def _selects_by(body: dict[str, Any]) -> Iterable[str]:
    """The labels by which a Service or a workload knows pods."""
    selector = body.get("spec", {}).get("selector")
    labels = selector.get("matchLabels") if isinstance(selector, dict) and kind_of(body) != "Service" else selector
    return labels if isinstance(labels, dict) else ()


_OF_THE_NODE = ("hostNetwork", "dnsPolicy", "hostPID", "hostIPC")
_BESIDE_OTHERS = ("podAffinity", "podAntiAffinity")


def _become(spec: dict[str, Any], second: Workload, names: Mapping[str, str], selected_by: Collection[str]) -> None:
    """Make a second workload of the first one's spec: one pod of other labels and references, which takes nothing away.

    It claims no port and no name of the node, no volume, and no place beside or apart from other pods.
    """
    spec["replicas"] = 1
    spec.pop("paused", None)
    spec["selector"] = {"matchLabels": dict(second.selector)}
    if "serviceName" in spec:
        spec["serviceName"] = names.get(f"Service/{spec['serviceName']}", second.service)
    template = spec["template"]
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    template["metadata"]["labels"] = {
        **{label: value for label, value in labels.items() if label not in selected_by},
        **second.selector,
    }
    pods = template["spec"] = renamed(template["spec"], names)
    for field in (*_OF_THE_NODE, "topologySpreadConstraints"):
        pods.pop(field, None)
    for field in _BESIDE_OTHERS:
        pods.get("affinity", {}).pop(field, None)
    claimed = [each.get("metadata", {}).get("name") for each in spec.pop("volumeClaimTemplates", [])]
    pods["volumes"] = [
        {"name": each["name"], "emptyDir": {}} if "persistentVolumeClaim" in each else each
        for each in pods.get("volumes", [])
    ] + [{"name": name, "emptyDir": {}} for name in claimed]
    for container in (*pods.get("initContainers", []), *pods["containers"]):
        for port in container.get("ports", []):
            port.pop("hostPort", None)


def elsewhere(value: Any, namespace: str) -> Any:
    """A copy of a configuration in which hosts of URLs that are names of this namespace alone are known from others.

    >>> elsewhere({"api_base": "http://vllm:8000/v1", "other": "http://vllm.gpu/v1"}, "ml")
    {'api_base': 'http://vllm.ml.svc.cluster.local:8000/v1', 'other': 'http://vllm.gpu/v1'}
    """

    def whole(found: re.Match[str]) -> str:
        return found[0] if found[0] == "localhost" else f"{found[0]}.{namespace}.svc.cluster.local"

    return _each_text(value, lambda text: _SHORT_HOST.sub(whole, text))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy in which each text that is a value is changed so."""
    if isinstance(value, dict):
        return {key: _each_text(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_each_text(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _move(pods: dict[str, Any], home: str, copy: Workload) -> None:
    """Let pods run in another namespace than this one: it has none of its accounts, and short names mean others."""
    own = f"//{copy.service}."  # by which URLs name it already
    for field in ("serviceAccountName", "serviceAccount", "imagePullSecrets"):
        pods.pop(field, None)
    for container in (*pods.get("initContainers", []), *pods["containers"]):
        for key in {"env", "command", "args"} & container.keys():
            moved = elsewhere(container[key], home)
            container[key] = _each_text(moved, lambda text: text.replace(f"{own}{home}.", f"{own}{copy.namespace}."))


def _roles_of_copy(roles: Roles, copy: Workload, held: Manifest, made: Sequence[Manifest]) -> Roles:
    """Who is who where a copy of the gateway is judged, whose configuration this object holds."""
    workload = next(each for each in made if each.name == copy.object)
    configuration = replace(
        roles.configuration,
        manifest=held,
        environment=of_container(workload, copy.container, made),
        program=copy.object,
    )
    (model,) = (each for each in configuration.models if each.at == roles.model.at)
    return replace(roles, gateway=copy, configuration=configuration, model=replace(model, asked=roles.model.asked))


def _within_the_cluster(spec: dict[str, Any], second: Workload) -> dict[str, Any]:
    """A Service's spec for the second's pods; what it opens outside, and its addresses, belong to the first."""
    ports = [{key: value for key, value in each.items() if key != "nodePort"} for each in spec.get("ports", [])]
    headless = {"clusterIP": "None"} if spec.get("clusterIP") == "None" else {}
    return {"selector": dict(second.selector), "ports": ports, **headless}


def _edited(text: str, edit: Callable[[dict[str, Any]], None]) -> str:
    config = yaml.safe_load(text)
    outside.without_settings(config)
    edit(config)
    return yaml.safe_dump(config, sort_keys=False)


def load(path: Path) -> list[Manifest]:
    """Read the objects in a file or folder, as `loading.read` does.

    The pod templates' config checksum is filled in from the ConfigMaps beside them, so that a changed configuration
    rolls the pods.

    Raises:
        SignoffError: they cannot be read.
    """
    return with_checksums(loading.read(path))


def transform(manifests: list[Manifest], change: Callable[[dict[str, Any]], None]) -> list[Manifest]:
    """Let `change` edit a copy of each object, then bring the checksums up to date."""
    changed = []
    for manifest in manifests:
        body = deepcopy(manifest.body)
        change(body)
        changed.append(replace(manifest, body=body))
    return with_checksums(changed)


def with_image(manifests: list[Manifest], workload: Workload, image: str, namespace: str) -> list[Manifest]:
    """Use `image`, if there is one, wherever the workload's own is used. All other images stay.

    `namespace` is that of objects which name none.
    """
    if not image:
        return manifests
    own = _own_image(manifests, workload, namespace)

    def change(body: dict[str, Any]) -> None:
        for container in containers(body):
            container["image"] = image if container["image"] == own else container["image"]

    return transform(manifests, change)


def _own_image(manifests: list[Manifest], workload: Workload, namespace: str) -> str:
    (body,) = (each.body for each in manifests if each.key(namespace) == workload.key)
    return str(own_container(body, workload)["image"])


def own_container(body: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """The container of a workload's pods that is LiteLLM or vLLM itself."""
    several = main_containers(body)
    return next((each for each in several if each.get("name", "") == workload.container), several[0])


def with_checksums(manifests: list[Manifest]) -> list[Manifest]:
    """Write into each pod template that carries the checksum annotation the SHA-256 of the ConfigMaps beside it."""
    maps = [each.body for each in manifests if each.kind == "ConfigMap"]
    data = [{**each.get("data", {}), **each.get("binaryData", {})} for each in maps]
    text = json.dumps(data, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if scrubbed(text) != text:
        hide(digest)  # of a configuration that holds a key: it would tell whether a guess is right
    result = []
    for manifest in manifests:
        body = deepcopy(manifest.body)
        annotations = pod_template(body).get("metadata", {}).get("annotations", {})
        if CHECKSUM in annotations:
            annotations[CHECKSUM] = digest
        result.append(replace(manifest, body=body))
    return result


def layout(found: Iterable[Manifest], beside: Path) -> dict[str, list[str]]:
    """The files that these objects stand in, named from the folder of the file `beside`, each with their kinds."""
    kinds: dict[str, list[str]] = {}
    for each in found:
        if each.file is None:
            continue
        name = os.path.relpath(each.file.parent.resolve(), beside.parent.resolve())
        kinds.setdefault(os.path.normpath(Path(name, each.file.name)), []).append(each.kind)
    return kinds
