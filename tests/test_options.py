"""What `pytest features/` is asked for is checked in a moment, and refused with what, where and what to do next."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from signoff import options
from signoff.cluster import registry
from signoff.cluster.embedded import namespaces
from signoff.core import consent
from signoff.core.errors import UsageError
from signoff.core.paths import MANIFESTS
from signoff.options import Allowed, Chosen
from signoff.settings import read

LITELLM = "ghcr.io/berriai/litellm"
Check = Callable[..., Chosen]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check with these options; the others are not given. Nothing may be written meanwhile."""
    for variable in [each for each in os.environ if each.startswith("SIGNOFF_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))

    def checked(**given: Any) -> Chosen:
        options_of_a_run = {"attach": None, "keep": False, "fresh": False, "trust": False, "allowed": Allowed()}
        asked = {name: given.pop(name, default) for name, default in options_of_a_run.items()}
        settings = {"reports": tmp_path / "reports", **given}
        before = sorted(tmp_path.rglob("*"))
        try:
            told = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
            return options.check(read({name: list(map(str, value)) for name, value in told.items()}), **asked)
        finally:
            assert sorted(tmp_path.rglob("*")) == before

    return checked


def test_what_is_not_given_has_its_defaults(check: Check) -> None:
    found = check()
    assert (found.cluster, found.attach) == ("embedded", None)
    assert found.manifests.gateway_image.startswith(LITELLM)


def test_variables_count_where_nothing_is_given_and_are_not_empty(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_LITELLM_IMAGE", f"{LITELLM}:1.80.5")
    monkeypatch.setenv("SIGNOFF_VLLM_IMAGE", "")
    monkeypatch.setenv("SIGNOFF_CLUSTER", " ")
    found = check()
    assert found.manifests.gateway_image == f"{LITELLM}:1.80.5"
    assert found.cluster == "embedded"
    assert check(litellm_image=f"{LITELLM}:1.80.6").manifests.gateway_image == f"{LITELLM}:1.80.6"
    monkeypatch.setenv("SIGNOFF_CLUSTER", "nowhere")
    assert check(cluster="embedded").cluster == "embedded"


def test_it_takes_a_moment(check: Check) -> None:
    check()
    started = time.process_time()
    check()
    assert time.process_time() - started < 0.3


@pytest.mark.parametrize(
    ("given", "what", "where"),
    [
        ({"cluster": "existing"}, "which cluster is meant? The current context of a kubeconfig is never taken", ""),
        ({"cluster": "existing", "fresh": True}, "is neither started nor ended here", "--fresh-cluster"),
        ({"allowed": Allowed("home", as_copy=True, rights=["deploy"])}, "about a cluster of your own", "--as-copy"),
        ({"allowed": Allowed(rights=["dploy"])}, "'dploy' is nothing that can be allowed", "--allow dploy"),
        ({"allowed": Allowed(as_copy=True)}, "a copy has to be deployed", "--as-copy"),
        ({"allowed": Allowed(" ")}, "--allow-context names nothing", "--allow-context"),
        ({"attach": "nothing"}, "no embedded cluster is running there", "--attach nothing"),
        ({"attach": " "}, "--attach names nothing", "--attach ' '"),
        ({"attach": "x", "fresh": True}, "--fresh-cluster starts a new one", "--attach x --fresh-cluster"),
        ({"attach": "x", "keep": True}, "one that this run starts", "--attach x --keep-cluster"),
        ({"litellm_image": ""}, "--litellm-image names nothing", "--litellm-image ''"),
        ({"litellm_image": "example.test/none:1"}, "no recipe for image", "--litellm-image example.test/none:1"),
        ({"vllm_image": f"{LITELLM}:sha-1"}, "names no version", f"--vllm-image {LITELLM}:sha-1"),
        ({"overhead_pairs": 19}, "--overhead-pairs must be at least 20", "--overhead-pairs 19"),
        (
            {"reports": Path("/dev/null/x")},
            "the report's folder cannot be written: /dev/null is no folder",
            "--reports",
        ),
        ({"reports": Path("/proc/x")}, "nothing can be made in /proc", "--reports /proc/x"),
        ({"manifests": Path("/nowhere")}, "the folder of manifests is not there", "/nowhere"),
        ({"manifests": Path("/dev/null")}, "there are no manifests here", "/dev/null"),
        ({"manifests": Path(__file__).parent / "core"}, "there are no manifests here", str(Path(__file__).parent)),
        (
            {"manifests": MANIFESTS / "litellm"},
            "no manifest is a Deployment or StatefulSet that runs vLLM",
            "litellm/kustomization.yaml",
        ),
    ],
)
def test_an_option_is_refused_with_what_named_it(check: Check, given: dict[str, Any], what: str, where: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(**given)
    assert what in refused.value.what
    assert where in refused.value.where
    assert refused.value.hint


@pytest.mark.parametrize(
    ("variable", "value", "what", "where"),
    [
        ("SIGNOFF_CLUSTER", "foo", "there is no kind of cluster called 'foo'", "SIGNOFF_CLUSTER=foo"),
        ("SIGNOFF_CLUSTER", "existing", "which cluster is meant?", ""),
        ("SIGNOFF_ALLOW", "job, nothing", "'nothing' is nothing that can be allowed", "SIGNOFF_ALLOW=job, nothing"),
        ("SIGNOFF_LITELLM_IMAGE", "example.test/none:1", "no recipe", "SIGNOFF_LITELLM_IMAGE=example.test/none:1"),
        ("SIGNOFF_VLLM_IMAGE", "example.test/none:1", "no recipe", "SIGNOFF_VLLM_IMAGE=example.test/none:1"),
        (
            "SIGNOFF_CACHE",
            "/dev/null",
            "the cache cannot be written: /dev/null is no folder",
            "SIGNOFF_CACHE=/dev/null",
        ),
        ("SIGNOFF_CACHE", "/proc/x", "nothing can be made in /proc", "SIGNOFF_CACHE=/proc/x"),
        ("SIGNOFF_RECIPES", "/no/where", "names /no/where, which is no folder", "SIGNOFF_RECIPES=/no/where"),
        ("SIGNOFF_KUBERNETES_BIN", "/proc", "SIGNOFF_KUBERNETES_BIN names lacks etcd", "/proc"),
        ("SIGNOFF_TRAEFIK_BIN", "/proc", "SIGNOFF_TRAEFIK_BIN names lacks traefik", "/proc"),
        ("SIGNOFF_CERT_MANAGER_BIN", "/proc", "SIGNOFF_CERT_MANAGER_BIN names lacks cert-manager-contro", "/proc"),
        ("SIGNOFF_PEBBLE_BIN", "/proc", "SIGNOFF_PEBBLE_BIN names lacks pebble", "/proc"),
        ("SIGNOFF_CRDS", "/proc", "SIGNOFF_CRDS names lacks traefik-v3.yaml", "/proc"),
    ],
)
def test_a_variable_is_refused_by_its_name(
    check: Check, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str, where: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as refused:
        check()
    assert what in refused.value.what
    assert where in refused.value.where
    assert refused.value.hint


def test_a_folder_of_controllers_that_no_way_in_needs_is_no_matter(
    check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(MANIFESTS, folder := tmp_path / "manifests")
    (folder / "litellm" / "ingressroute.yaml").unlink()
    (folder / "kustomization.yaml").unlink()
    monkeypatch.setenv("SIGNOFF_TRAEFIK_BIN", "/proc")
    assert check(manifests=[folder / "litellm", folder / "vllm"], trust=True).manifests.way_in == []


def test_a_kind_of_cluster_that_there_is_not_is_told_those_that_there_are(check: Check) -> None:
    with pytest.raises(UsageError) as refused:
        check(cluster="foo")
    *others, last = registry.NAMES
    assert refused.value.hint == f"name {', '.join(others)} or {last}, or nothing for embedded"


def test_kind_without_docker_is_refused_by_what_asked_for_it(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SIGNOFF_CLUSTER", "kind")
    with pytest.raises(UsageError, match="docker is not on PATH") as refused:
        check()
    assert refused.value.where == "SIGNOFF_CLUSTER=kind"


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("litellm/deployment.yaml", "kind: [unclosed\n", "not valid YAML"),
        ("litellm/kustomization.yaml", "", "the folder lists no manifests"),
        ("litellm/kustomization.yaml", "resources: deployment.yaml", "`resources` is not a list of files"),
        ("kustomization.yaml", "resources: [vllm]", "no manifest is a Deployment or StatefulSet that runs LiteLLM"),
        ("kustomization.yaml", "resources: [litellm]", "no manifest is a Deployment or StatefulSet that runs vLLM"),
        (
            "litellm/configmap.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: none",
            "data is not a mapping",
        ),
        ("vllm/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: x", "metadata is not a mapping"),
        (
            "litellm/deployment.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: x}], affinity: []}",
            "spec.affinity is not a mapping, spec.containers.0.image is missing",
        ),
        (
            "litellm/ingressroute.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 1}\nspec:",
            "metadata.name is not a string",
        ),
    ],
)
def test_manifests_are_refused_with_the_file(check: Check, tmp_path: Path, file: str, text: str, what: str) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    (folder / file).write_text(text)
    with pytest.raises(UsageError) as refused:
        check(manifests=folder)
    assert what in refused.value.what
    assert refused.value.where.startswith(str(folder / file))
    assert refused.value.hint


def test_an_image_of_the_manifests_is_refused_with_their_file(check: Check, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    deployment = folder / "vllm" / "deployment.yaml"
    deployment.write_text(deployment.read_text().replace("image: vllm/", "image: example.test/"))
    with pytest.raises(UsageError, match=r"no recipe for image example\.test/") as refused:
        check(manifests=folder)
    assert refused.value.where.startswith(f"{deployment}:")
    assert "image: " in deployment.read_text().splitlines()[int(refused.value.where.rpartition(":")[2]) - 1]


# Who vouches for manifests, where containers are kept apart by nothing

WHY = "unshare: Operation not permitted"


@pytest.fixture
def nothing_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets nobody make namespaces."""
    monkeypatch.setattr(namespaces, "why_not", lambda: WHY)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Manifests that are not the project's, though equal to them."""
    return Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))


def test_where_namespaces_keep_containers_apart_nobody_has_to_vouch(
    check: Check, strangers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "why_not", lambda: "")
    assert check(manifests=strangers).trust == ""


@pytest.mark.usefixtures("nothing_apart")
def test_the_projects_own_manifests_run_where_nothing_keeps_them_apart(check: Check) -> None:
    assert check().trust == "they are the project's own manifests"


@pytest.mark.usefixtures("nothing_apart")
def test_a_strangers_manifests_are_shown_and_refused(
    check: Check, strangers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="would run on this machine as you") as refused:
        check(manifests=strangers)
    assert WHY in refused.value.what
    assert refused.value.where == str(strangers)
    assert "pass --trust or set SIGNOFF_TRUST=yes" in refused.value.hint
    shown = capfd.readouterr().err
    assert "container litellm: ghcr.io/berriai/litellm:main-v1.80.16-stable" in shown
    assert "runs: python3 /scripts/tiny_model.py /models/tiny" in shown


@pytest.mark.usefixtures("nothing_apart")
def test_one_file_of_a_strangers_among_the_projects_is_enough_to_be_refused(check: Check, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    with pytest.raises(UsageError, match="would run on this machine as you"):
        check(manifests=[MANIFESTS, more])


@pytest.mark.download
@pytest.mark.usefixtures("nothing_apart")
def test_what_a_kustomization_changes_of_the_projects_is_a_strangers(check: Check, tmp_path: Path) -> None:
    patch = '[{"op": "add", "path": "/spec/template/spec/containers/0/command", "value": ["sh", "-c", "ls"]}]'
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{os.path.relpath(MANIFESTS, tmp_path.resolve())}]\n"
        f"patches: [{{target: {{kind: Deployment, name: litellm}}, patch: '{patch}'}}]\n"
    )
    with pytest.raises(UsageError, match="would run on this machine as you"):
        check(manifests=tmp_path)


@pytest.mark.usefixtures("nothing_apart")
def test_an_option_vouches(check: Check, strangers: Path) -> None:
    assert check(manifests=strangers, trust=True).trust == "trusted by --trust"


@pytest.mark.usefixtures("nothing_apart")
@pytest.mark.parametrize(("said", "is_trusted"), [("yes", True), ("YES", True), ("no", False), (" ", False)])
def test_a_variable_vouches(
    check: Check, strangers: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_trusted: bool
) -> None:
    monkeypatch.setenv("SIGNOFF_TRUST", said)
    with nullcontext() if is_trusted else pytest.raises(UsageError, match="would run on this machine as you"):
        assert check(manifests=strangers).trust == f"trusted by SIGNOFF_TRUST={said}"


def test_a_variable_that_says_neither_is_refused(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_TRUST", "maybe")
    with pytest.raises(UsageError, match="SIGNOFF_TRUST is neither yes nor no") as refused:
        check()
    assert refused.value.where == "SIGNOFF_TRUST=maybe"


@pytest.mark.usefixtures("nothing_apart")
@pytest.mark.parametrize("line", ["trust = true", 'trust = "yes"'])
def test_no_file_beside_the_manifests_vouches_for_them(check: Check, strangers: Path, line: str) -> None:
    (strangers / "signoff.toml").write_text(line)
    with pytest.raises(UsageError, match="there is no setting"):
        check(manifests=strangers)


@pytest.mark.usefixtures("nothing_apart")
def test_a_person_is_asked(check: Check, strangers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def yes(shown: str, question: str) -> bool:
        asked.append(shown)
        return True

    monkeypatch.setattr(consent, "given", yes)
    assert check(manifests=strangers).trust == "trusted on the terminal"
    assert f"nothing would keep them from your files: {WHY}" in asked[0]


@pytest.mark.usefixtures("nothing_apart")
def test_kind_keeps_containers_apart_itself() -> None:
    assert registry.provider("kind").unconfined(None) == ""
    assert registry.provider("embedded").unconfined(None) == WHY
