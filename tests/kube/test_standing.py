"""What stands on a cluster is read as if it were manifests, with no more rights than to look."""

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import redact
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS, ROOT
from signoff.gateway import configuration, key
from signoff.gateway.standing import records
from signoff.judges import beforehand
from signoff.kube import standing
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Key, Manifest
from signoff.kube.roles import Workload
from signoff.kube.routes import routes_in
from signoff.kube.stood import changed_since
from signoff.programs import crds
from signoff.settings import Settings
from signoff.story.declaration import Declaration
from signoff.way_in.controllers import objects_in
from tests.embedded import wait_for
from tests.home import CONFIG, KEY, SOMEBODY, Body, applied, home, of, pods_of, strangers

_NUMBERS = itertools.count(1)
LOOKING = ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},)


@pytest.fixture
def ai() -> str:
    """The name of a namespace that no other test has."""
    return f"ai-{next(_NUMBERS)}"


def told(ai: str, **more: Any) -> Settings:
    return Settings(namespace=ai, model="org/qwen", **more)


def names(manifests: StoryManifests) -> set[str]:
    return {each.name for each in (*manifests.backend, *manifests.gateway)}


def test_who_is_who_is_found_in_two_namespaces_and_strangers_are_none_of_it(api: Kube, ai: str) -> None:
    applied(api, [*home(ai), *strangers(ai)])
    found = standing.read(api, told(ai))
    assert found.roles.gateway == Workload("Deployment", "router", ai, {"app": "router"}, "router", 8080)
    assert found.roles.backend == Workload("StatefulSet", "engine", f"{ai}-gpu", {"app": "engine"}, "llm", 8000)
    assert [each.name for each in found.backend] == ["StatefulSet/engine", "Service/llm"]
    of_the_gateway = {"Deployment/router", "Service/router", "ConfigMap/router-files", "Secret/router-keys"}
    assert {each.name for each in found.gateway} == {*of_the_gateway, "Ingress/router"}
    assert found.roles.model.asked == "qwen"
    assert [each.asked for each in found.roles.unproven] == ["other"]


def test_a_place_is_the_object_and_the_field(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    found = standing.read(api, told(ai))
    image = ("spec", "template", "spec", "containers", 0, "image")
    assert (
        found.where("Deployment/router", *image)
        == f"Deployment/router of {ai}: {'.'.join(image[:3])}.containers[0].image"
    )
    assert found.where("Deployment/router") == f"Deployment/router of {ai}"
    line = CONFIG.splitlines().index("      model: hosted_vllm/org/qwen") + 1
    model = found.shown(found.roles.configuration.where("model_list", 0, "litellm_params", "model"))
    assert model == f"ConfigMap/router-files of {ai}: data['router.yaml'], line {line}"
    seen = configuration.seen("configuration", found.roles.configuration, found)
    variable = f"Deployment/router of {ai}: {'.'.join(image[:3])}.containers[0].env[0]"
    assert seen.places["api_base"] == [f"{model.rpartition(' ')[0]} {line + 1}, from {variable}"]
    assert found.notes == (
        "a fallback leads to gone, and no model of LiteLLM's is called so "
        f"(ConfigMap/router-files of {ai}: data['router.yaml'], line 14)",
    )


def test_the_servers_own_notes_are_left_out_and_its_defaults_are_there(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    body = standing.read(api, told(ai)).object("Deployment/router").body
    assert set(body["metadata"]) == {"name", "namespace", "labels"} and "status" not in body
    assert body["spec"]["strategy"]["type"] == "RollingUpdate"
    assert pods_of(body)["volumes"][0]["configMap"]["defaultMode"] == 0o644


def test_a_key_is_taken_from_its_secret_and_shown_nowhere(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    found = standing.read(api, told(ai))
    assert key.keys_of(found).gateway == KEY
    assert redact.scrubbed(KEY) == redact.HIDDEN
    assert found.object("Secret/router-keys").object_sha256 == ""
    assert KEY not in repr(found)


def seen_of(manifests: StoryManifests) -> list[str]:
    """What fails of the manifests alone, without places: those of files and those of objects differ."""
    story = Declaration.read(ROOT / "features" / "story.yaml").filled(manifests.values).story
    every = beforehand.findings(manifests, {name: each for name, each in story.checks.items() if name != "file-layout"})
    return [re.sub(r" \([^()]*\)", "", each) for each in every]


def given_namespace(objects: list[Body], ai: str) -> str:
    """The objects of files as text, in another namespace."""
    text = yaml.safe_dump_all(objects)
    return re.sub(r"\bml\b", ai, text)


@pytest.mark.parametrize("what", ["home", "the story's", "the story's, damaged"])
def test_what_stands_is_judged_like_the_files_that_it_was_applied_from(
    api: Kube, ai: str, what: str, tmp_path: Path
) -> None:
    if what == "home":
        text, settings = yaml.safe_dump_all(home(ai)), told(ai)
    else:
        files = [each for each in MANIFESTS.rglob("*.yaml") if each.parent.name in ("litellm", "vllm")]
        every = [body for file in files for body in yaml.safe_load_all(file.read_text()) if "metadata" in body]
        objects = [each for each in every if "k8s.io" not in each["apiVersion"] and "." not in each["apiVersion"]]
        if what.endswith("damaged"):
            own = of(objects, "Deployment/litellm")
            pods_of(own).pop("affinity")
            own["metadata"]["labels"] = {"app": "litellm"}
            of(objects, "Service/litellm")["spec"] |= {"type": "NodePort"}
        text, settings = given_namespace(objects, ai), Settings(namespace=ai)
    file = tmp_path / "all.yaml"
    file.write_text(text)
    applied(api, [each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"])
    of_files = StoryManifests.read(settings.model_copy(update={"manifests": (file,)}))
    found = standing.read(api, settings)
    assert (found.roles.gateway, found.roles.backend) == (of_files.roles.gateway, of_files.roles.backend)
    assert found.roles.model == of_files.roles.model
    both = (configuration.seen("x", each.roles.configuration, each) for each in (found, of_files))
    one, other = ((each.values, {name: len(told) for name, told in each.unknown.items()}) for each in both)
    assert one == other
    assert seen_of(found) == seen_of(of_files)
    assert bool(seen_of(found)) == (what != "the story's")
    assert found.images.keys() == of_files.images.keys()


@pytest.mark.parametrize(
    ("what", "sentence", "hint"),
    [
        ("two", "several workloads run LiteLLM: Deployment/router and Deployment/second", "set `gateway` to the name"),
        ("none", "nothing in the namespace {ai} is a Deployment or StatefulSet that runs LiteLLM", "set `namespace`"),
        ("no-backend", "nothing in the namespace {ai} is a Deployment or StatefulSet that runs vLLM", "set `backend`"),
        ("no-service", "no Service leads to the pods of Deployment/router", "add one with the selector app=router"),
        ("in-a-secret", "LiteLLM's configuration is in the Secret router-keys", "from a ConfigMap"),
        ("gone", "ConfigMap/router-files is to hold LiteLLM's configuration, and is not there", "make it"),
        (
            "misspelt",
            "nothing in the namespace {ai} is a Deployment or StatefulSet called rooter; did you mean 'router'?",
            "has",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(api: Kube, ai: str, what: str, sentence: str, hint: str) -> None:
    objects, more = home(ai), {}
    if what == "two":
        second = json.loads(json.dumps(of(objects, "Deployment/router")).replace('"app": "router"', '"app": "second"'))
        second["metadata"]["name"] = "second"
        objects.append(second)
    if what == "none":
        objects = strangers(ai)
    if what == "no-backend":
        objects = [each for each in objects if each["kind"] != "StatefulSet"]
    if what == "no-service":
        of(objects, "Service/router")["spec"]["selector"] = {"app": "rooter"}
        of(objects, "Service/router")["metadata"]["name"] = "elsewhere"
    if what == "in-a-secret":
        pods_of(of(objects, "Deployment/router"))["volumes"] = [
            {"name": "files", "secret": {"secretName": "router-keys"}}
        ]
    if what == "gone":
        objects.remove(of(objects, "ConfigMap/router-files"))
        volume = {"configMap": {"name": "router-files", "items": [{"key": "router.yaml", "path": "router.yaml"}]}}
        pods_of(of(objects, "Deployment/router"))["volumes"] = [{"name": "files", **volume}]
    if what == "misspelt":
        more = {"gateway": "rooter"}
    applied(api, objects)
    with pytest.raises(SignoffError) as refused:
        standing.read(api, told(ai, **more))
    assert refused.value.what.startswith(sentence.format(ai=ai)) and hint in refused.value.hint
    assert str(ai) in refused.value.where


def test_one_of_several_is_chosen_by_the_settings(api: Kube, ai: str) -> None:
    objects = home(ai)
    second = json.loads(json.dumps(of(objects, "Deployment/router")).replace('"app": "router"', '"app": "second"'))
    second["metadata"]["name"] = "second"
    service = json.loads(json.dumps(of(objects, "Service/router")).replace("router", "second"))
    applied(api, [*objects, second, service])
    for name in ("router", "second"):
        found = standing.read(api, told(ai, gateway=name))
        assert (found.roles.gateway.name, found.roles.gateway.service) == (name, name)
        assert not {"Deployment/router", "Deployment/second"} - {f"Deployment/{name}"} & names(found)


def test_a_service_that_leads_nowhere_can_be_named_all_the_same(api: Kube, ai: str) -> None:
    objects = home(ai)
    nowhere = {**of(objects, "Service/router"), "metadata": {"name": "nowhere", "namespace": ai}}
    nowhere["spec"] = {**nowhere["spec"], "selector": {"app": "nothing"}}
    applied(api, [*objects, nowhere])
    found = standing.read(api, told(ai, service="nowhere"))
    assert found.roles.gateway.service == "nowhere" and {"Service/nowhere", "Service/router"} <= names(found)


def looking_as(api: Kube, plane: EmbeddedCluster, ai: str, *rules: Body, to: Path, also: tuple[Body, ...] = ()) -> Kube:
    """The API with the rights of a ServiceAccount: these in its own namespace, `also` in that of the GPU."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker", "namespace": ai}}
    applied(api, [account])
    for namespace, own in ((ai, rules), (f"{ai}-gpu", also)):
        metadata = {"name": "looker", "namespace": namespace}
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": list(own)}
        subject = {"kind": "ServiceAccount", "name": "looker", "namespace": ai}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looker"},
            "subjects": [subject],
        }
        applied(api, [role, binding])
    token = api.core.create_namespaced_service_account_token("looker", ai, {"spec": {}}).status.token
    kubeconfig = yaml.safe_load(plane.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    to.write_text(yaml.safe_dump(kubeconfig))
    return Kube(to)


def allowed(*resources: str, group: str = "", verbs: tuple[str, ...] = ("get", "list")) -> Body:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


WORKLOADS = allowed("deployments", "statefulsets", group="apps")
FEW = (WORKLOADS, allowed("services", "configmaps"))
SERVING = (WORKLOADS, allowed("services"))


def test_what_a_secret_holds_that_may_not_be_read_is_not_known(
    api: Kube, plane: EmbeddedCluster, ai: str, tmp_path: Path
) -> None:
    applied(api, home(ai))
    few = looking_as(api, plane, ai, *FEW, also=SERVING, to=tmp_path / "few")
    found = standing.read(few, told(ai))
    assert f"Secret/router-keys of {ai} may not be read: what it holds is not known" in found.notes
    assert any("may not be listed" in each and "Ingress of networking.k8s.io/v1" in each for each in found.notes)
    with pytest.raises(SignoffError, match="LiteLLM asks its clients for a key"):
        key.keys_of(found)
    file = tmp_path / "keys.env"
    file.write_text("LITELLM_MASTER_KEY=sk-given-otherwise\n")
    given = standing.read(few, told(ai, secrets={"router-keys": file}))
    assert key.keys_of(given).gateway == "sk-given-otherwise"


def test_secrets_are_read_by_name_alone(api: Kube, plane: EmbeddedCluster, ai: str, tmp_path: Path) -> None:
    applied(api, home(ai))
    secrets = {**allowed("secrets", verbs=("get",)), "resourceNames": ["router-keys"]}
    few = looking_as(api, plane, ai, *FEW, secrets, also=SERVING, to=tmp_path / "few")
    assert key.keys_of(standing.read(few, told(ai))).gateway == KEY


@pytest.mark.parametrize("lacking", ["own", "of the backend"])
def test_what_has_to_be_read_and_may_not_be_is_named(
    api: Kube, plane: EmbeddedCluster, ai: str, tmp_path: Path, lacking: str
) -> None:
    applied(api, home(ai))
    rules, also = ((), ()) if lacking == "own" else (FEW, ())
    few = looking_as(api, plane, ai, *rules, also=also, to=tmp_path / "few")
    with pytest.raises(SignoffError, match="does not let this user list deployments in") as refused:
        standing.read(few, told(ai))
    namespace = ai if lacking == "own" else f"{ai}-gpu"
    assert refused.value.where == f"the namespace {namespace}"
    assert f"kubectl auth can-i list deployments -n {namespace}" in refused.value.hint


WAYS = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: llm, namespace: NAMESPACE}
spec:
  entryPoints: [websecure]
  routes:
    - match: Host(`llm.example.com`)
      kind: Rule
      middlewares: [{name: all}]
      services: [{name: router, port: 8080, serversTransport: slow}]
  tls: {secretName: llm-tls, options: {name: modern}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: all, namespace: NAMESPACE}
spec: {chain: {middlewares: [{name: headers}]}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: headers, namespace: NAMESPACE}
spec: {headers: {frameDeny: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: websecure, namespace: NAMESPACE}
spec: {headers: {frameDeny: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: annotated, namespace: NAMESPACE}
spec: {headers: {frameDeny: true}}
---
apiVersion: traefik.io/v1alpha1
kind: ServersTransport
metadata: {name: slow, namespace: NAMESPACE}
spec: {}
---
apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {name: modern, namespace: NAMESPACE}
spec: {minVersion: VersionTLS12}
---
apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {name: of-others, namespace: NAMESPACE}
spec: {}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: llm, namespace: NAMESPACE}
spec: {secretName: llm-tls, dnsNames: [llm.example.com], issuerRef: {name: NAMESPACE-letsencrypt, kind: ClusterIssuer}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: of-others, namespace: NAMESPACE}
spec: {secretName: others-tls, dnsNames: [other.example.com], issuerRef: {name: own}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: NAMESPACE-letsencrypt}
spec: {selfSigned: {}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: NAMESPACE-edge}
spec:
  gatewayClassName: any
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: edge-tls}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm, namespace: NAMESPACE}
spec:
  parentRefs: [{name: edge, namespace: NAMESPACE-edge}]
  hostnames: [llm.example.org]
  rules: [{backendRefs: [{name: router, port: 8080}]}]
"""


@pytest.fixture(scope="module")
def controllers_kinds(api: Kube) -> None:
    """The kinds of Traefik, cert-manager and the Gateway API, without their controllers."""
    for file in crds.find(lambda _: None).values():
        if "v2" not in file.name:
            for each in objects_in(file):
                api.apply(each, "default")
    wanted = {(each["apiVersion"], each["kind"]) for each in yaml.safe_load_all(WAYS)}

    def look() -> bool:
        probes = ({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}} for version, kind in wanted)
        return all(api.knows(Manifest(None, "", body)) for body in probes)

    wait_for("the kinds to be known", look)


def test_what_a_route_names_belongs_to_it_and_no_more(api: Kube, controllers_kinds: None, ai: str) -> None:
    objects = [*home(ai), *home(ai, WAYS)]
    ingress = of(objects, "Ingress/router")
    ingress["metadata"]["annotations"] = {
        "traefik.ingress.kubernetes.io/router.middlewares": f"{ai}-annotated@kubernetescrd",
        "cert-manager.io/issuer": "own",
    }
    own = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "own", "namespace": ai}}
    applied(api, [*objects, {**own, "spec": {"selfSigned": {}}}, *strangers(ai)])
    found = standing.read(api, told(ai))
    assert {each.name for each in found.way_in} == {
        *("IngressRoute/llm", "Middleware/all", "Middleware/headers", "ServersTransport/slow", "TLSOption/modern"),
        *("Ingress/router", "Middleware/annotated", "Issuer/own"),
        *("HTTPRoute/llm", "Gateway/edge", "Certificate/llm", f"ClusterIssuer/{ai}-letsencrypt"),
    }
    assert len(found.stood) == len({*found.stood}) == len([*found.backend, *found.gateway])
    routes = {each.name: each for each in routes_in(found.way_in, ai)}
    assert routes["HTTPRoute/llm"].secret == "edge-tls", "as the listener of its Gateway says"
    assert routes["IngressRoute/llm"].where == f"IngressRoute/llm of {ai}: spec.routes[0].services[0]"
    assert found.where(f"ClusterIssuer/{ai}-letsencrypt", "spec") == f"ClusterIssuer/{ai}-letsencrypt: spec"
    assert changed_since(api, found.stood) == []


BOUND_IN_A_NAMESPACE = ("look-only", "look-only-secrets", "look-only-routes")


def test_the_rights_of_a_run_that_only_looks_are_enough(
    api: Kube, plane: EmbeddedCluster, ai: str, tmp_path: Path
) -> None:
    objects = [*home(ai), *strangers(ai)]
    applied(api, objects)
    every = {
        each["metadata"]["name"]: each
        for each in yaml.safe_load_all((MANIFESTS / "rbac" / "look-only.yaml").read_text())
    }
    rules = [rule for name in BOUND_IN_A_NAMESPACE for rule in every[f"signoff-{name}"]["rules"]]
    few = looking_as(api, plane, ai, *rules, also=tuple(rules), to=tmp_path / "few")
    found = standing.read(few, told(ai))
    assert names(found) == names(standing.read(api, told(ai))) and "Ingress/router" in names(found)
    assert [each for each in found.notes if "may not" in each] == []
    assert key.keys_of(found).gateway == KEY
    assert changed_since(few, found.stood) == []
    host = {"host": "elsewhere.example.com", "http": of(objects, "Ingress/router")["spec"]["rules"][0]["http"]}
    of(objects, "Ingress/router")["spec"]["rules"] = [host]
    applied(api, [of(objects, "Ingress/router")], "kubectl-edit")
    assert changed_since(few, found.stood) == [f"Ingress/router of {ai} was changed during the run by kubectl-edit"]


def test_a_right_that_is_taken_away_is_told(api: Kube, plane: EmbeddedCluster, ai: str, tmp_path: Path) -> None:
    applied(api, home(ai))
    few = looking_as(api, plane, ai, *FEW, also=SERVING, to=tmp_path / "few")
    stood = standing.read(few, told(ai)).stood
    assert changed_since(few, stood) == []
    looking_as(api, plane, ai, *FEW, to=tmp_path / "fewer")
    gone = wait_for("the right to be gone", lambda: changed_since(few, stood))
    assert set(gone) <= {f"{each} of {ai}-gpu may no longer be read" for each in ("StatefulSet/engine", "Service/llm")}


def test_nothing_is_written_where_all_is_allowed(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    before = [(each.kind, each.name, each.generation, each.writes) for each in standing.read(api, told(ai)).stood]
    after = [(each.kind, each.name, each.generation, each.writes) for each in standing.read(api, told(ai)).stood]
    assert before == after and before
    assert {who for *_, writes in before for who, _, _ in writes} == {SOMEBODY}


def pod_since(api: Kube, ai: str, name: str, began: datetime) -> None:
    """A pod of the gateway's, of which a kubelet has said when its container was started."""
    containers = [{"name": "proxy", "image": "litellm"}]
    body = {"metadata": {"name": name, "labels": {"app": "router"}}, "spec": {"containers": containers}}
    api.core.create_namespaced_pod(ai, body)
    running = {"running": {"startedAt": began.isoformat(timespec="seconds")}}
    status = {"name": "proxy", "image": "litellm", "imageID": "", "ready": True, "restartCount": 0, "state": running}
    api.core.patch_namespaced_pod_status(name, ai, {"status": {"containerStatuses": [status]}})


@pytest.mark.parametrize("newer", ["ConfigMap/router-files", "Secret/router-keys"])
def test_a_configuration_that_was_changed_since_a_pod_has_read_it_is_told(api: Kube, ai: str, newer: str) -> None:
    objects = home(ai)
    if newer.startswith("Secret"):  # with it the place of vLLM
        variables = pods_of(of(objects, "Deployment/router"))["containers"][0].pop("env")
        of(objects, newer)["stringData"]["VLLM_URL"] = variables[0]["value"]
    applied(api, objects)
    now = datetime.now(UTC)
    pod_since(api, ai, "old", now - timedelta(hours=1))
    pod_since(api, ai, "new", now + timedelta(hours=1))
    found = standing.read(api, told(ai))
    there = configuration.deployed(api, found)
    every = configuration.outdated(api, there, found)
    assert [each for each in every if "in new since" in each] == []
    assert len(every) == (2 if newer.startswith("Secret") else 1)
    assert f"ConfigMap/router-files was changed at {now:%Y-%m-%d %H:%M}" in every[0] and f"by {SOMEBODY}" in every[0]
    assert "LiteLLM runs in old since" in every[0]
    assert ("Secret/router-keys was changed" in every[-1]) == newer.startswith("Secret")


def test_each_object_that_is_judged_is_recorded_without_its_secrets(api: Kube, ai: str) -> None:
    applied(api, [*home(ai), *strangers(ai)])
    found = {each.object: each for each in records(standing.read(api, told(ai)))}
    of_the_gateway = {"Deployment/router", "Service/router", "ConfigMap/router-files", "Secret/router-keys"}
    assert found.keys() == {*of_the_gateway, "Ingress/router", "StatefulSet/engine", "Service/llm"}
    assert all(each.uid for each in found.values())
    assert found["Deployment/router"].images == ["ghcr.io/berriai/litellm:main-v1.80.16-stable"]
    assert [name for name, each in found.items() if not each.object_sha256] == ["Secret/router-keys"]
    assert found["Deployment/router"].generation == 1 and found["Service/llm"].namespace == f"{ai}-gpu"


def test_what_somebody_changes_is_told_with_who_did(api: Kube, ai: str) -> None:
    objects = home(ai)
    applied(api, [*objects, *strangers(ai)])
    stood = standing.read(api, told(ai)).stood
    assert changed_since(api, stood) == []
    of(objects, "ConfigMap/router-files")["data"] = {"router.yaml": CONFIG + "# changed\n"}
    applied(api, [of(objects, "ConfigMap/router-files")], "kubectl-edit")
    assert changed_since(api, stood) == [f"ConfigMap/router-files of {ai} was changed during the run by kubectl-edit"]
    applied(api, [each for each in strangers(ai) if each["kind"] == "Deployment"], "kubectl-edit")
    api.scale(f"{ai}-gpu", "engine", 3, "StatefulSet")
    api.core.delete_namespaced_secret("router-keys", ai)
    api.core.delete_namespaced_service("router", ai)
    applied(api, [of(objects, "Service/router")])
    told_of = changed_since(api, stood)
    assert f"StatefulSet/engine of {ai}-gpu was changed during the run" in told_of
    assert f"Secret/router-keys of {ai} was deleted during the run" in told_of
    assert f"Service/router of {ai} was deleted and made anew during the run" in told_of
    assert len(told_of) == 4
    assert len(changed_since(api, stood, touched=[Key("StatefulSet/engine", f"{ai}-gpu")])) == 3


def test_what_the_suite_itself_writes_and_a_status_are_no_change(api: Kube, ai: str) -> None:
    objects = home(ai)
    applied(api, objects)
    stood = standing.read(api, told(ai)).stood
    patched = {"spec": {"replicas": 0}}
    api.apps.patch_namespaced_deployment("router", ai, patched, field_manager="signoff")
    status = {"status": {"replicas": 7}}
    api.apps.patch_namespaced_stateful_set_status("engine", f"{ai}-gpu", status, field_manager="somebody")
    assert changed_since(api, stood) == []
    api.apps.patch_namespaced_deployment("router", ai, {"spec": {"replicas": 5}}, field_manager="somebody")
    assert changed_since(api, stood) == [f"Deployment/router of {ai} was changed during the run by somebody"]


def test_the_api_server_takes_a_second_gateway_beside_what_stands(api: Kube, ai: str) -> None:
    """What it has filled in, such as an address and a node's port, is the first's and is not asked for again."""
    objects = home(ai)
    (service,) = (each for each in objects if each["kind"] == "Service" and each["metadata"]["name"] == "router")
    service["spec"]["type"] = "NodePort"
    applied(api, objects)
    second, wanted = standing.read(api, told(ai)).second_gateway("second", lambda config: None)
    assert {each.kind for each in wanted} == {"ConfigMap", "Deployment", "Service"}
    for each in wanted:
        assert api.apply(each, ai) is None
    first = standing.read(api, told(ai, gateway="router")).object("Service/router").body["spec"]
    beside = api.object("v1", "Service", second.service, ai)
    assert beside and beside["spec"]["type"] == "ClusterIP" and beside["spec"]["clusterIP"] != first["clusterIP"]
