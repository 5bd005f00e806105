"""The suite's own small vLLM in the place of the one that the manifests have, or that is not among them.

A GPU's vLLM starts nowhere else, and a gateway can be judged without it: the stand-in is a real vLLM that answers to
the same Service and the same model name. Pages say that it is there, since it is not the backend that people have.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.core.yaml_lines import Path as Place
from signoff.kube import gpus, loading
from signoff.kube.objects import Manifest, main_containers, pod_spec
from signoff.kube.roles import Judged, backend_of, belonging_to, service_key
from signoff.settings import Settings

OPTION = "--stand-in"
_SERVED = "--served-model-name="
_ANYWHERE = [{"operator": "Exists"}]
"""Tolerates every taint: the nodes of a backend are often kept free of all else."""


def needed_for(backend: Manifest) -> tuple[str, Place] | None:
    """What a backend wants that no cluster of the suite's has, and where it says so; None if it wants nothing."""
    root: Place = ("spec", "template", "spec")
    for at, container in enumerate(main_containers(backend.body)):
        resources = container.get("resources")
        for kind, amounts in resources.items() if isinstance(resources, dict) else ():
            for name in amounts if isinstance(amounts, dict) else ():
                if gpus.RESOURCE.search(name):
                    return name, (*root, "containers", at, "resources", kind, name)
    if name := pod_spec(backend.body).get("runtimeClassName"):
        return f"the runtime class {name}", (*root, "runtimeClassName")
    return None


def placed(found: Sequence[Manifest], judged: Judged, settings: Settings) -> list[Manifest]:
    """The manifests with the stand-in where the backend of the judged model was, or should be.

    Raises:
        SignoffError: the model's `api_base` names no Service of the cluster.
    """
    model = judged.model
    if not model.service or (model.service_namespace != settings.namespace and not model.is_of_the_cluster):
        raise SignoffError(
            "the suite's own vLLM can stand in for a Service of the cluster, and api_base names none: "
            f"{model.origin or ('it is no URL' if model.api_base else 'it is not set')}",
            where=judged.where,
            hint=f"write `api_base: http://NAME.{settings.namespace}.svc.cluster.local:8000/v1`, or leave {OPTION} out",
        )
    own = judged.backend
    gone = belonging_to(backend_of(own, found, settings, model), found, settings.namespace) if own else []
    asked = service_key(model, settings)
    gone += [each for each in found if each.key(settings.namespace) == asked and each not in gone]
    kept = [each for each in found if each not in gone]
    return [*kept, *_adapted(model.service, model.service_namespace or settings.namespace, model.port, settings)]


def _adapted(service: str, namespace: str, port: int, settings: Settings) -> list[Manifest]:
    adapted = []
    for manifest in loading.read(MANIFESTS / "vllm"):
        body = deepcopy(manifest.body)
        if body["kind"] == "Namespace":
            continue
        body["metadata"]["namespace"] = namespace
        if body["kind"] == "Service":
            body["metadata"]["name"] = service
            body["spec"]["ports"][0]["port"] = port
        elif body["kind"] == "Deployment":
            _adapt(pod_spec(body), settings)
        adapted.append(replace(manifest, body=body))
    return adapted


def _adapt(spec: dict[str, Any], settings: Settings) -> None:
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    expression["values"] = list(settings.backend_nodes)
    spec["tolerations"] = _ANYWHERE
    (container,) = spec["containers"]
    container["args"] = [
        f"{_SERVED}{settings.model}" if each.startswith(_SERVED) else each for each in container["args"]
    ]
