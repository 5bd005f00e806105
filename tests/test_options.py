"""What `pytest features/` is asked for is checked in a moment, and refused with what, where and what to do next."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signoff import options
from signoff.cluster import registry
from signoff.core.errors import UsageError
from signoff.core.paths import MANIFESTS
from signoff.options import Chosen
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
        options_of_a_run = {"attach": None, "keep": False, "fresh": False}
        asked = {name: given.pop(name, default) for name, default in options_of_a_run.items()}
        settings = {"reports": tmp_path / "reports", **given}
        before = sorted(tmp_path.rglob("*"))
        try:
            return options.check(read({name: [str(value)] for name, value in settings.items()}), **asked)
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
        ({"cluster": "existing"}, "cannot run on a cluster of kind 'existing' yet", "--cluster existing"),
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
        ("SIGNOFF_CLUSTER", "existing", "'existing' yet", "SIGNOFF_CLUSTER=existing"),
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
