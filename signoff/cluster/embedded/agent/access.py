"""How a container's program finds the API server, as the client libraries look for it, and dials other pods.

In a container with namespaces of its own the token lies where all of them have its place built in, and variables name
the server. In any other no place can be mounted, and a kubeconfig beside the token stands for both.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from signoff.cluster.embedded.agent.services import links_of
from signoff.cluster.embedded.kubeapi import Json

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where programs look for token, certificate and namespace (k8s.io/client-go/rest.InClusterConfig)."""
_KUBECONFIG = "kubeconfig"


def has_token(container: Json) -> bool:
    """Whether the container has the token of its pod's service account mounted."""
    return any(mount["mountPath"].rstrip("/") == SERVICE_ACCOUNT for mount in container.get("volumeMounts") or [])


def api_variables(container: Json, server: str, *, namespaces: bool) -> dict[str, str]:
    """The variables by which the container's program finds the API server at this URL.

    A kubelet gives those of the Service `kubernetes` to all containers, whatever they have of a token.
    """
    if not namespaces:
        return {"KUBECONFIG": f"{SERVICE_ACCOUNT}/{_KUBECONFIG}"} if has_token(container) else {}
    place = urlsplit(server)
    service = {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"name": "https", "port": place.port}]}}
    return dict(links_of(service, str(place.hostname)))


def proxies(relay: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables by which a program dials by this relay, but for those that the pod has given, in either case.

    Source: golang.org/x/net/http/httpproxy (FromEnvironment).
    """
    return {name: relay for name in ("HTTP_PROXY", "HTTPS_PROXY") if not {name, name.lower()} & given.keys()}


def write_kubeconfig(paths: Mapping[str, str], server: str, namespace: str) -> None:
    """Write the kubeconfig beside the token; `paths` are those of the container's mounts.

    It names the token's file, which clients read again and again, for the token is renewed.
    """
    folder = Path(paths[SERVICE_ACCOUNT])
    name = "in-cluster"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(folder / "ca.crt")}}],
        "users": [{"name": name, "user": {"tokenFile": str(folder / "token")}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    (folder / _KUBECONFIG).write_text(json.dumps(config), encoding="utf-8")
