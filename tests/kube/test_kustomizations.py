"""A Secret's file that a kustomization lists, and that is in no repository, is given in its place, or asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.core.errors import SignoffError, UsageError
from signoff.kube import loading
from signoff.kube.manifests import StoryManifests
from signoff.settings import Settings

GATEWAY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  selector: {matchLabels: {run: gateway}}
  template:
    metadata: {labels: {run: gateway}}
    spec:
      containers:
        - name: litellm
          image: litellm
          args: [--config, /c/config.yaml]
          envFrom: [{secretRef: {name: keys}}]
          volumeMounts: [{name: c, mountPath: /c}]
      volumes: [{name: c, configMap: {name: config}}]
---
apiVersion: v1
kind: Service
metadata: {name: gateway}
spec: {selector: {run: gateway}, ports: [{port: 4000}]}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata:\n  config.yaml: |\n"
MODELS = """\
model_list:
  - {model_name: m, litellm_params: {model: openai/Qwen/Qwen2.5-7B-Instruct-AWQ, api_base: "http://llm.ml:8000/v1"}}
"""
HELD = CONFIG + "".join(f"    {line}\n" for line in MODELS.splitlines())
BASE = {"base.yaml": GATEWAY, "config.yaml": HELD}
GENERATED = "configMapGenerator: [{name: config, files: [config.yaml]}]\n"


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plain(folder: Path) -> Path:
    """A kustomization that only lists; a nested one lists what is not there."""
    (folder / "kustomization.yaml").write_text("resources:\n- gateway\n- config.yaml\n")
    (folder / "gateway").mkdir()
    (folder / "gateway" / "kustomization.yaml").write_text("resources:\n- base.yaml\n- secret.yaml\n")
    (folder / "gateway" / "base.yaml").write_text(GATEWAY)
    (folder / "config.yaml").write_text(HELD)
    return folder


def changed(folder: Path) -> Path:
    """One that kustomize has to build, with a configuration that it generates."""
    (folder / "kustomization.yaml").write_text(f"namespace: ml\nresources:\n- base.yaml\n- secret.yaml\n{GENERATED}")
    (folder / "base.yaml").write_text(GATEWAY)
    (folder / "config.yaml").write_text(MODELS)
    return folder


def overlaid(folder: Path) -> Path:
    """An overlay over a folder beside it that lists what is not there."""
    (folder / "base").mkdir()
    (folder / "over").mkdir()
    changed(folder / "base")
    (folder / "over" / "kustomization.yaml").write_text("resources: [../base]\nlabels: [{pairs: {a: b}}]\n")
    return folder / "over"


def of_a_generator(folder: Path) -> Path:
    """One that makes the Secret of a file that is not there, and another one of a file that is."""
    generators = "secretGenerator:\n- {name: other, envs: [there.env]}\n- {name: keys, envs: [.env]}\n"
    (folder / "kustomization.yaml").write_text(f"resources: [base.yaml]\n{GENERATED}{generators}")
    (folder / "base.yaml").write_text(GATEWAY)
    (folder / "config.yaml").write_text(MODELS)
    (folder / "there.env").write_text("A=b\n")
    return folder


ALL = [plain, *(pytest.param(each, marks=pytest.mark.download) for each in (changed, overlaid, of_a_generator))]
every = pytest.mark.parametrize("layout", ALL)
Layout = Callable[[Path], Path]


def read(folder: Path, given: Path | None = None) -> StoryManifests:
    secrets = {"keys": given} if given else {}
    return StoryManifests.read(Settings(manifests=(folder,), stand_in=True, secrets=secrets))


@every
def test_what_is_given_takes_its_place_and_the_folder_stays_as_it_is(layout: Layout, tmp_path: Path) -> None:
    folder = layout(tmp_path)
    before = listing(tmp_path)
    given = tmp_path.parent / f"{tmp_path.name}.env"
    given.write_text("LITELLM_MASTER_KEY=sk-made-up-of-a-file\n")
    found = read(folder, given)
    assert "Secret/keys" in [each.name for each in found.gateway]
    name = ".env" if layout is of_a_generator else "secret.yaml"
    assert found.notes == (f"{name}, which kustomization.yaml lists, is not there: what was given is Secret/keys",)
    assert listing(tmp_path) == before
    files = {each.file for each in found.gateway if each.file != given}
    assert files and all(file.is_file() and file.is_relative_to(tmp_path) for file in files), "none of a copy"
    model = found.roles.configuration.where("model_list", 0)
    assert model.startswith(str(tmp_path)) and Path(model.rpartition(":")[0]).name == "config.yaml"


@every
def test_what_is_not_given_is_asked_for_with_both_lines(layout: Layout, tmp_path: Path) -> None:
    folder = layout(tmp_path)
    with pytest.raises(UsageError, match=r"Secret/keys is not among the manifests; .*, which kustom") as refused:
        read(folder)
    lines = []
    for where in refused.value.where.split(", "):
        file, _, line = where.rpartition(":")
        lines.append(Path(file).read_text().splitlines()[int(line) - 1])
    assert "name: keys" in lines[0]
    assert "secret.yaml" in lines[1] or ".env" in lines[1]
    assert refused.value.hint.startswith("give it with --secret keys=FILE.env, or add ")


@every
def test_who_needs_all_of_the_files_is_told_which_is_not_there(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(SignoffError, match="a manifest is missing"):
        loading.read(layout(tmp_path))


def test_more_files_than_secrets_are_missed_is_not_guessed_at(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "kustomization.yaml").write_text("resources:\n- gateway\n- config.yaml\n- ingress.yaml\n")
    (tmp_path / "x.env").write_text("A=b\n")
    with pytest.raises(SignoffError, match=r"a manifest is missing: ingress\.yaml and secret\.yaml") as refused:
        read(folder, tmp_path / "x.env")
    assert f"{folder / 'kustomization.yaml'}:4" in refused.value.where


@pytest.mark.download
def test_what_kustomize_says_of_a_copy_is_said_of_the_folder(tmp_path: Path) -> None:
    folder = changed(tmp_path)
    with (folder / "kustomization.yaml").open("a") as file:
        file.write("patches: [{path: none.yaml}]\n")
    with pytest.raises(SignoffError, match=r"kustomize cannot build this folder") as refused:
        read(folder)
    assert str(folder / "none.yaml") in refused.value.what
