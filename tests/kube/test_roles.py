"""What belongs to a workload is told by what refers to what; names and folders do not matter."""

from pathlib import Path
from typing import Any

from signoff.kube.objects import Manifest
from signoff.kube.roles import Workload, belonging_to, references


def manifest(kind: str, name: str, spec: dict[str, Any] | None = None) -> Manifest:
    return Manifest(Path("x"), "", {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec or {}})


def workload(name: str, label: str, *volumes: dict[str, Any], **more: Any) -> Manifest:
    spec = {"containers": [{"name": "a", "image": "a", **more}], "volumes": list(volumes)}
    return manifest("Deployment", name, {"template": {"metadata": {"labels": {"run": label}}, "spec": spec}})


def mounts(name: str) -> dict[str, Any]:
    return {"name": "v", "configMap": {"name": name}}


def test_it_is_what_the_workload_alone_names_and_what_selects_it() -> None:
    found = [
        workload("vllm-server", "vllm", mounts("model"), mounts("shared"), envFrom=[{"secretRef": {"name": "hf"}}]),
        workload("litellm", "gateway", mounts("config"), mounts("shared")),
        *(manifest("ConfigMap", name) for name in ("model", "config", "shared", "unused")),
        manifest("Secret", "hf"),
        manifest("Service", "vllm-api", {"selector": {"run": "vllm"}}),
        manifest("Service", "litellm", {"selector": {"run": "gateway"}}),
        manifest("Service", "without-selector"),
        manifest("PodDisruptionBudget", "pdb", {"selector": {"matchLabels": {"run": "vllm"}}}),
        manifest("HorizontalPodAutoscaler", "hpa", {"scaleTargetRef": {"kind": "Deployment", "name": "vllm-server"}}),
    ]
    backend = Workload("Deployment", "vllm-server", "ml", {"run": "vllm"}, "vllm-api", 8000)
    names = [each.name for each in belonging_to(backend, found)]
    assert names == [
        "Deployment/vllm-server",
        "ConfigMap/model",
        "Secret/hf",
        "Service/vllm-api",
        "PodDisruptionBudget/pdb",
        "HorizontalPodAutoscaler/hpa",
    ]


def test_a_pod_names_what_it_mounts_reads_and_runs_as() -> None:
    key = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}
    projected = {"name": "p", "projected": {"sources": [{"configMap": {"name": "more"}}, {"secret": {"name": "tls"}}]}}
    claim = {"name": "c", "persistentVolumeClaim": {"claimName": "models"}}
    body = workload("x", "x", projected, claim, {"name": "s", "secret": {"secretName": "env"}}, env=[key]).body
    body["spec"]["template"]["spec"]["serviceAccountName"] = "runner"
    assert set(references(body)) == {
        "ServiceAccount/runner",
        "ConfigMap/more",
        "Secret/tls",
        "Secret/env",
        "Secret/keys",
        "PersistentVolumeClaim/models",
    }
