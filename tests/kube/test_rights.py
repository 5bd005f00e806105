"""What is not allowed is named before anything is done, with the command that grants it: on a real API server."""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, SUITE, Right
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.core.errors import UsageError
from signoff.core.timeouts import Timeout
from signoff.kube import diagnostics, rights
from signoff.kube.client import Kube
from signoff.kube.rights import Question, told
from tests.embedded import wait_for
from tests.kube import accounts

EVERYTHING = ("job", "deploy", "disruption")
OWN = ("attic", "cellar")
"""LiteLLM's namespace and vLLM's."""
RULES = [
    pytest.param(role, at, id=f"{role.name}-{at}") for role in rights.roles(EVERYTHING) for at in range(len(role.rules))
]


@dataclass
class Account:
    """A ServiceAccount and its way to the API."""

    name: str
    kubeconfig: Path

    @property
    def kube(self) -> Kube:
        return Kube(self.kubeconfig)


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """A cluster of this module's own: its roles are taken apart."""
    started = EmbeddedCluster.start()
    yield started
    started.close()


@pytest.fixture(scope="module")
def kube(cluster: EmbeddedCluster) -> Kube:
    kube = Kube(cluster.kubeconfig)
    for each in OWN:
        kube.make_namespace(each)
    return kube


@pytest.fixture(scope="module")
def new_account(
    kube: Kube, cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Account]:
    """Makes a ServiceAccount that may do nothing."""
    folder = tmp_path_factory.mktemp("accounts")
    return lambda name: Account(name, accounts.kubeconfig_of(kube, cluster.kubeconfig, name, folder))


@pytest.fixture(scope="module")
def granted(kube: Kube, new_account: Callable[[str], Account]) -> Callable[..., Account]:
    """Gives one that may do exactly what manifests/rbac/ says of these rights."""

    @cache
    def account_of(*allowed: str) -> Account:
        account = new_account("-".join(("may", *allowed)))
        accounts.grant(kube, account.name, OWN, allowed)
        once_lacks(account, [], allowed)
        return account

    return account_of


def lacking(account: Account, allowed: tuple[str, ...] = EVERYTHING) -> list[Question]:
    found = rights.lacks(account.kube, rights.roles(allowed), OWN)
    return [question for each in found for question in each.questions]


def once_lacks(account: Account, wanted: list[Question], allowed: tuple[str, ...] = EVERYTHING) -> None:
    accounts.once("the rights to be known", lambda: lacking(account, allowed), wanted)


def refused(account: Account, *allowed: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        rights.check(account.kube, OWN, allowed)
    return caught.value


# Each rule


@pytest.mark.parametrize("allowed", [(), *((each,) for each in EVERYTHING), EVERYTHING], ids=" ".join)
def test_these_rights_are_enough(granted: Callable[..., Account], allowed: tuple[str, ...]) -> None:
    rights.check(granted(*allowed).kube, OWN, allowed)


def test_whoever_may_do_everything_lacks_nothing_and_needs_no_namespace_made(cluster: EmbeddedCluster) -> None:
    rights.check(Kube(cluster.kubeconfig), OWN, EVERYTHING)


@pytest.mark.parametrize(("role", "at"), RULES)
def test_each_rule_is_asked_for(
    kube: Kube, granted: Callable[..., Account], role: rights.Role, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = () if role.file.stem == rights.LOOK_ONLY else (role.file.stem,)
    account = granted(*allowed)
    asked = list(replace(role, rules=[role.rules[at]]).questions(OWN))
    unserved = [each for each in asked if role.without and each.group not in rights.groups(kube)]
    accounts.set_rules(kube, role, [rule for other, rule in enumerate(role.rules) if other != at])
    lines: list[str] = []
    monkeypatch.setattr("signoff.kube.rights.progress", lambda _, text: lines.append(text))
    try:
        once_lacks(account, [each for each in asked if each not in unserved], allowed)
        if role.without:
            rights.check(account.kube, OWN, allowed)
            expected = [] if unserved == asked else [f"may not {told(asked)} (see {role.name}): {role.without}"]
            assert lines == expected
        else:
            error = refused(account, *allowed)
            assert error.what == f"system:serviceaccount:default:{account.name} is not allowed to {told(asked)}"
            assert f"manifests/rbac/{role.file.name}" in error.hint
            assert f"--{'role' if role.namespace else 'clusterrole'}={role.name} " in error.hint
    finally:
        accounts.set_rules(kube, role, role.rules)
        once_lacks(account, [], allowed)


def test_what_is_not_asked_for_is_not_granted(granted: Callable[..., Account]) -> None:
    kube = granted(*EVERYTHING).kube
    core, apps = kube.core, kube.apps
    beyond = {
        "secrets are listed": lambda: core.list_namespaced_secret(OWN[0]),
        "secrets of another namespace are read": lambda: core.read_namespaced_secret("any", "kube-system"),
        "pods of another namespace are listed": lambda: core.list_namespaced_pod("kube-system"),
        "a node of a person's is deleted": lambda: core.delete_node("k3s-worker-01"),
        "a kubelet is asked": lambda: kube.kubelet_summary("k3s-worker-01"),
        "a namespace is made": lambda: core.create_namespace({"metadata": {"name": "mine"}}),
        "the suite's own is deleted": lambda: core.delete_namespace(rights.own_namespace()),
        "a program is run in a pod": lambda: core.connect_post_namespaced_pod_exec("any", OWN[0], command=["id"]),
        "all pods are deleted": lambda: core.delete_collection_namespaced_pod(OWN[0]),
        "a Deployment of another namespace is deleted": lambda: apps.delete_namespaced_deployment("any", "kube-system"),
    }
    assert {what: accounts.refusal(each) for what, each in beyond.items()} == dict.fromkeys(beyond, 403)


# Less than all rights


def test_what_lacks_for_more_is_told_alone(granted: Callable[..., Account]) -> None:
    error = refused(granted(), "disruption")
    for part in ("system:serviceaccount:default:may", "patch deployments/scale", "in attic and cellar", "nodes"):
        assert part in error.what
    assert "delete nodes signoff-worker signoff-gpu-worker-1 signoff-gpu-worker-2 and 2 more" in error.what
    assert "deploy.yaml" not in str(error)
    assert "look-only.yaml" not in str(error)
    assert "-f manifests/rbac/job.yaml -f manifests/rbac/disruption.yaml" in error.hint.replace(f"{Path.cwd()}/", "")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not there to be told what the error says")
def test_the_commands_that_it_names_grant_it(
    cluster: EmbeddedCluster, new_account: Callable[[str], Account], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    account = new_account("newcomer")
    monkeypatch.chdir(tmp_path)
    error = refused(account, *EVERYTHING)
    for line in error.hint.splitlines()[1:]:
        done = subprocess.run(
            shlex.split(line), env={"KUBECONFIG": str(cluster.kubeconfig)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"

    def passes() -> bool:
        try:
            rights.check(account.kube, OWN, EVERYTHING)
        except UsageError:
            return False
        return True

    wait_for("the rights to be known", passes)


def test_a_secret_that_may_be_read_by_name_may_be_read(kube: Kube, new_account: Callable[[str], Account]) -> None:
    account = new_account("narrow")
    accounts.grant(kube, account.name, OWN, ())
    role = next(each for each in rights.roles(()) if each.name == "signoff-look-only-secrets")
    accounts.set_rules(kube, role, [{**role.rules[0], "resourceNames": ["proxy-keys"]}])
    try:
        once_lacks(account, [Question("get", "", "secrets", each) for each in OWN], ())
        rights.check(account.kube, OWN)
        assert accounts.refusal(lambda: account.kube.core.read_namespaced_secret("proxy-keys", OWN[0])) == 404
        assert accounts.refusal(lambda: account.kube.core.read_namespaced_secret("others", OWN[0])) == 403
    finally:
        accounts.set_rules(kube, role, role.rules)


def test_a_namespace_that_is_not_there_has_to_be_one_that_may_be_made(plane: EmbeddedCluster, tmp_path: Path) -> None:
    """Rights in all namespaces are rights in one that is not there."""
    (role,) = (each for each in rights.roles(("job",)) if each.namespace)
    everywhere = replace(role, kind="ClusterRole", name="everywhere", namespace="", bind_with="ClusterRoleBinding")
    kube = Kube(plane.kubeconfig)
    account = Account("everywhere", accounts.kubeconfig_of(kube, plane.kubeconfig, "everywhere", tmp_path))
    accounts.grant(kube, account.name, ("default",), ())
    client.RbacAuthorizationV1Api(kube.core.api_client).create_cluster_role(
        {"metadata": {"name": everywhere.name}, "rules": role.rules}
    )
    accounts.bind(kube, everywhere, account.name, "")

    def lacks() -> str:
        with pytest.raises(UsageError) as caught:
            rights.check(account.kube, ("default",), ("job",))
        assert "manifests/rbac/job.yaml" in caught.value.hint
        return caught.value.what.partition(" is not allowed to ")[2]

    accounts.once("the rights to be known", lacks, "create namespaces, delete namespaces signoff-run")
    kube.make_namespace(rights.own_namespace())
    rights.check(account.kube, ("default",), ("job",))


# What is not allowed to a run, and not asked for either


def test_a_bundle_says_what_may_not_be_read_and_that_is_no_cause(
    kube: Kube, new_account: Callable[[str], Account]
) -> None:
    account = new_account("no-diagnostics")
    accounts.grant(kube, account.name, OWN, ())
    once_lacks(account, [], ())
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    api.delete_namespaced_role_binding(f"signoff-look-only-diagnostics-{account.name}", OWN[0])
    accounts.once("events to be withheld", lambda: bool(diagnostics.take(account.kube, OWN[0]).withheld[1:]), True)
    text = diagnostics.collect(account.kube, OWN[0], AssertionError("the answer is another"), beside=["kube-system"])
    assert text.splitlines()[0].endswith("so it is in what was said: the answer is another")
    assert 'cannot list resource "pods" in API group "" in the namespace "kube-system"' in text
    withheld = text.partition("== What could not be read\n")[2]
    assert f'in the namespace "{OWN[0]}"' in withheld
    assert "pods: pods is forbidden" in withheld


def test_a_bundle_of_one_that_may_read_nothing_knows_no_cause(new_account: Callable[[str], Account]) -> None:
    text = diagnostics.collect(new_account("blind").kube, OWN[0], AssertionError("the answer is another"))
    assert text.startswith("The cluster could not be asked: pods: pods is forbidden")


def test_who_may_not_ask_kubelets_goes_by_what_the_cluster_says_of_their_nodes(
    kube: Kube, granted: Callable[..., Account]
) -> None:
    gone = {
        "metadata": {"name": "gone"},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]},
    }
    looker = granted().kube
    kube.core.create_node(gone)
    try:
        assert accounts.refusal(lambda: looker.kubelet_summary("gone")) == 403
        assert looker.silent_nodes(["gone", "k3s-worker-01"]) == ["gone"]
    finally:
        kube.core.delete_node("gone")


# The API server


def test_one_that_does_not_tell_is_told(kube: Kube, new_account: Callable[[str], Account]) -> None:
    account = new_account("nobody")
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    usual = api.read_cluster_role_binding("system:basic-user")
    api.delete_cluster_role_binding("system:basic-user")

    def what() -> str:
        return refused(account).what.partition(":")[0]

    try:
        accounts.once("the right to ask to be gone", what, "the API server does not tell what this user may do")
        assert "kubectl describe clusterrolebinding system:basic-user" in refused(account).hint
    finally:
        usual.metadata.resource_version = usual.metadata.uid = None
        api.create_cluster_role_binding(usual)
        accounts.once("the right to ask", lambda: accounts.refusal(lambda: lacking(account)), 0)


def test_one_that_is_slow_is_waited_for_with_a_word(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(timeouts, "RIGHTS_TOLD", Timeout(0.001))
    monkeypatch.setattr("signoff.kube.rights.progress", lambda _, text: lines.append(text))
    rights.check(Kube(cluster.kubeconfig), OWN, EVERYTHING)
    assert lines
    assert lines[0].endswith("to go")


def test_one_that_is_gone_is_told(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:1"}
    config["users"][0]["user"] = {}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(UsageError, match="does not answer"):
        rights.check(Kube(path), OWN)


# The files


def test_the_namespace_that_they_make_is_the_one_that_is_used() -> None:
    (made,) = (
        each
        for each in yaml.safe_load_all((rights.FOLDER / "job.yaml").read_text(encoding="utf-8"))
        if each["kind"] == "Namespace"
    )
    assert made["metadata"] == {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: SUITE}}


def test_there_is_a_file_for_each_right() -> None:
    assert {each.stem for each in rights.FOLDER.iterdir()} == {rights.LOOK_ONLY, *Right}


def test_no_role_grants_more_than_it_names() -> None:
    for role in rights.roles(EVERYTHING):
        assert "*" not in str(role.rules)


# Words


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            [("create", "", "pods/portforward", "ml"), ("patch", "", "nodes", "")],
            "create pods/portforward in ml, patch nodes",
        ),
        (
            [(verb, "", what, where) for where in "ab" for what in ("pods", "services") for verb in ("get", "list")],
            "get/list pods and services in a and b",
        ),
        ([("list", "traefik.io", "ingressroutes", "ml")], "list ingressroutes.traefik.io in ml"),
    ],
)
def test_what_lacks_is_told_in_few_words(asked: list[tuple[str, str, str, str]], words: str) -> None:
    assert told(Question(*each) for each in asked) == words


def test_a_user_is_named_as_kubectl_wants_it() -> None:
    role = next(each for each in rights.roles(()) if each.name == "signoff-look-only")
    for user, subject in {
        "system:serviceaccount:ci:runner": "--serviceaccount=ci:runner",
        "oidc:jane doe": "'--user=oidc:jane doe'",
    }.items():
        assert subject in role.binding("ml", user)
    assert role.binding("ml", "jane").startswith("kubectl create rolebinding signoff-look-only-jane")
