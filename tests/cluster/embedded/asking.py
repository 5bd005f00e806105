"""What a pod asks the API with its own token, and what it may."""

from kubernetes import client

from signoff.kube.client import Kube

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
ASK = """
import json, os, ssl, urllib.error, urllib.request
def ask(server, ca, token, path):
    request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca)) as answer:
            return [each["metadata"]["name"] for each in json.load(answer)["items"]]
    except urllib.error.HTTPError as refused:
        return refused.code
"""
BUILT_IN = f"""
folder = bytes.fromhex("{FOLDER.encode().hex()}").decode()  # as a program has it, which nobody translates
server = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
own, token, ca = open(folder + "/namespace").read(), open(folder + "/token").read(), folder + "/ca.crt"
"""
BY_KUBECONFIG = """
assert "KUBERNETES_SERVICE_HOST" not in os.environ
config = json.load(open(os.environ["KUBECONFIG"]))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
server, ca, token = cluster["server"], cluster["certificate-authority"], open(user["tokenFile"]).read()
own = config["contexts"][0]["context"]["namespace"]
"""
SEEN = """
for what in ("pods", "secrets"):
    print(ask(server, ca, token, f"/api/v1/namespaces/{own}/{what}"))
print(ask(server, ca, token, "/api/v1/namespaces/kube-system/pods"))
"""


def may_list_pods(kube: Kube, namespace: str) -> None:
    """Let the namespace's default service account list the pods of its namespace, and nothing else."""
    rbac = client.RbacAuthorizationV1Api(kube.core.api_client)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "looks"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looks"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "looks"}, "roleRef": role, "subjects": subjects}
    )
