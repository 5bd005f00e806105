"""A home's LiteLLM and vLLM as somebody else has put them on a cluster: other names, labels and namespaces."""

from collections.abc import Mapping, Sequence
from functools import partial
from textwrap import dedent
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException

from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube
from tests.embedded import SOON

SOMEBODY = "flux"
"""Who has applied it."""
KEY = "sk-of-the-home-lab"
CONFIG = """\
model_list:
  - model_name: qwen
    litellm_params:
      model: hosted_vllm/org/qwen
      api_base: os.environ/VLLM_URL
  - model_name: other
    litellm_params:
      model: openai/gpt
      api_key: os.environ/OPENAI_KEY
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
router_settings:
  num_retries: 2
  fallbacks: [{qwen: [gone]}]
"""
_HOME = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: router
  namespace: NAMESPACE
  labels: {app: router}
spec:
  replicas: 2
  selector: {matchLabels: {app: router}}
  template:
    metadata: {labels: {app: router}}
    spec:
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - {key: kubernetes.io/hostname, operator: In, values: [nuc-1, nuc-2]}
      containers:
        - name: proxy
          image: ghcr.io/berriai/litellm:main-v1.80.16-stable
          args: [--config, /etc/litellm/router.yaml]
          env:
            - {name: VLLM_URL, value: "http://llm.NAMESPACE-gpu.svc.cluster.local:8000/v1"}
          envFrom:
            - secretRef: {name: router-keys}
          ports: [{containerPort: 4000}]
          livenessProbe: {httpGet: {path: /health, port: 4000}}
          volumeMounts: [{name: files, mountPath: /etc/litellm}]
      volumes: [{name: files, configMap: {name: router-files}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: router-files, namespace: NAMESPACE}
data: {}
---
apiVersion: v1
kind: Secret
metadata: {name: router-keys, namespace: NAMESPACE}
stringData: {LITELLM_MASTER_KEY: SECRET, OPENAI_KEY: sk-of-somewhere-else}
---
apiVersion: v1
kind: Service
metadata: {name: router, namespace: NAMESPACE}
spec:
  selector: {app: router}
  ports: [{name: http, port: 8080, targetPort: 4000}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: engine, namespace: NAMESPACE-gpu}
spec:
  serviceName: llm
  selector: {matchLabels: {app: engine}}
  template:
    metadata: {labels: {app: engine}}
    spec:
      nodeSelector: {gpu: "true"}
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          args: [--model, org/qwen]
          env: [{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hf, key: token, optional: true}}}]
          ports: [{containerPort: 8000}]
---
apiVersion: v1
kind: Service
metadata: {name: llm, namespace: NAMESPACE-gpu}
spec:
  selector: {app: engine}
  ports: [{port: 8000}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: router, namespace: NAMESPACE}
spec:
  tls: [{hosts: [llm.home.example.com], secretName: router-tls}]
  rules:
    - host: llm.home.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: router, port: {number: 8080}}}
"""
STRANGERS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: open-webui, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: webui}}
  template:
    metadata: {labels: {app: webui}}
    spec:
      containers:
        - name: webui
          image: ghcr.io/open-webui/open-webui:main
          env: [{name: KEY, valueFrom: {secretKeyRef: {name: router-keys, key: LITELLM_MASTER_KEY}}}]
          envFrom: [{secretRef: {name: nowhere}}, {configMapRef: {name: nowhere-either}}]
---
apiVersion: v1
kind: Service
metadata: {name: open-webui, namespace: NAMESPACE}
spec:
  selector: {app: webui}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ollama, namespace: NAMESPACE-gpu}
spec:
  selector: {matchLabels: {app: ollama}}
  template:
    metadata: {labels: {app: ollama}}
    spec:
      containers: [{name: ollama, image: "ollama/ollama:0.12"}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: open-webui, namespace: NAMESPACE}
spec:
  rules:
    - host: chat.home.example.com
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: open-webui, port: {number: 80}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-nobody, namespace: NAMESPACE}
data: {text: of nobody}
"""

Body = dict[str, Any]


def home(namespace: str, text: str = _HOME, config: str = CONFIG) -> list[Body]:
    """Its objects, in a namespace and in that of its GPU."""
    found: list[Body] = list(yaml.safe_load_all(dedent(text).replace("NAMESPACE", namespace).replace("SECRET", KEY)))
    for each in found:
        if each["kind"] == "ConfigMap" and each["data"] == {}:
            each["data"] = {"router.yaml": config}
    return found


def strangers(namespace: str) -> list[Body]:
    """What others run beside it."""
    return home(namespace, STRANGERS)


def applied(kube: Kube, objects: Sequence[Body], manager: str = SOMEBODY) -> None:
    """Have somebody else apply these, in namespaces that are made for it."""
    for name in dict.fromkeys(each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]):
        if kube.make_namespace(name):
            eventually(f"the namespace {name}", SOON, partial(_account, kube, name))
    for each in objects:
        resource = kube.dynamic.resources.get(api_version=each["apiVersion"], kind=each["kind"])
        kube.dynamic.server_side_apply(
            resource,
            body=each,
            name=each["metadata"]["name"],
            namespace=each["metadata"].get("namespace"),
            field_manager=manager,
            force_conflicts=True,
        )


def _account(kube: Kube, namespace: str) -> None:
    try:
        kube.core.read_namespaced_service_account("default", namespace)
    except ApiException as error:
        raise NotYet(str(error.status)) from None


def of(objects: Sequence[Body], name: str) -> Body:
    """One of the objects, by its kind and name."""
    return next(each for each in objects if f"{each['kind']}/{each['metadata']['name']}" == name)


def pods_of(workload: Body) -> Any:
    """The spec of a workload's pods."""
    return workload["spec"]["template"]["spec"]


def changed(body: Body, **spec: Any) -> Mapping[str, Any]:
    """The same object with other fields in its spec."""
    return {**body, "spec": {**body["spec"], **spec}}
