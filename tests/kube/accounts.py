"""ServiceAccounts with exactly the rights of manifests/rbac/, each with a kubeconfig of its own."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from signoff.core import timeouts
from signoff.core.waiting import NotYet, eventually
from signoff.kube import rights
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest

HOME = "default"
"""The namespace of the accounts."""


def kubeconfig_of(kube: Kube, admins: Path, name: str, folder: Path) -> Path:
    """Make a ServiceAccount, and a kubeconfig with a token of it."""
    kube.core.create_namespaced_service_account(HOME, {"metadata": {"name": name}})
    token = kube.core.create_namespaced_service_account_token(name, HOME, {"spec": {"expirationSeconds": 3600}})
    config: dict[str, Any] = yaml.safe_load(admins.read_text(encoding="utf-8"))
    for cluster in config["clusters"]:
        if file := cluster["cluster"].get("certificate-authority"):
            cluster["cluster"]["certificate-authority"] = str(admins.parent / file)
    config["users"] = [{"name": each["name"], "user": {"token": token.status.token}} for each in config["users"]]
    path = folder / f"{name}.kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    path.chmod(0o600)
    return path


def grant(kube: Kube, name: str, namespaces: Sequence[str], allowed: Collection[str]) -> None:
    """Apply the files of these rights, as they are, and bind each of their roles to the account."""
    for file in rights.files(allowed):
        for body in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            kube.apply(Manifest(file, "", body), HOME)
    for role in rights.roles(allowed):
        for namespace in role.namespaces(namespaces):
            bind(kube, role, name, namespace)


def bind(kube: Kube, role: rights.Role, name: str, namespace: str) -> None:
    """Bind a role to the account in this namespace, or in all of the cluster."""
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    body = {
        "metadata": {"name": f"{role.name}-{name}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.kind, "name": role.name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": HOME}],
    }
    if namespace:
        api.create_namespaced_role_binding(namespace, body)
    else:
        api.create_cluster_role_binding(body)


def set_rules(kube: Kube, role: rights.Role, rules: Sequence[Mapping[str, Any]]) -> None:
    """Have the role of the cluster grant these rules."""
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    if role.kind == "Role":
        api.patch_namespaced_role(role.name, role.namespace, {"rules": list(rules)})
    else:
        api.patch_cluster_role(role.name, {"rules": list(rules)})


def once(what: str, look: Callable[[], Any], wanted: Any) -> None:
    """Wait for this answer: an API server hears of rights that were granted or taken away a moment later."""

    def looked() -> None:
        seen = look()
        if seen != wanted:
            raise NotYet(repr(seen))

    eventually(what, timeouts.NAMESPACE_READY, looked)


def refusal(asked: Callable[[], Any]) -> int:
    """The status with which the API server refuses this; 0 if it does not."""
    try:
        asked()
    except ApiException as error:
        return int(error.status)
    return 0
