"""A Secret's file that a kustomization lists, and that is in no repository, is given in its place, or asked for."""

import os
import shutil
import tempfile
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


def env_file(folder: Path) -> Path:
    file = folder.parent / f"{folder.name}.env"
    file.write_text("LITELLM_MASTER_KEY=sk-made-up-of-a-file\n")
    return file


@every
def test_what_is_given_takes_its_place_and_the_folder_stays_as_it_is(layout: Layout, tmp_path: Path) -> None:
    folder = layout(tmp_path)
    before = listing(tmp_path)
    given = env_file(tmp_path)
    found = read(folder, given)
    assert "Secret/keys" in [each.name for each in found.gateway]
    name = ".env" if layout is of_a_generator else "secret.yaml"
    assert found.notes == (f"{name}, which kustomization.yaml lists, is not there: what was given is Secret/keys",)
    assert listing(tmp_path) == before
    files = {each.file for each in found.gateway if each.file != given}
    assert files and all(file and file.is_file() and file.is_relative_to(tmp_path) for file in files), "none of a copy"
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
    (folder / "kustomization.yaml").write_text("resources:\n- gateway\n- config.yaml\n- other-secret.yaml\n")
    with pytest.raises(SignoffError, match=r"a file is missing: other-secret\.yaml and secret\.yaml") as refused:
        read(folder, env_file(tmp_path))
    assert f"{folder / 'kustomization.yaml'}:4" in refused.value.where


NO_SECRETS = ["networkpolicy.yaml", "../gone", "gone-secret/", "secret", "monkeys.yaml", "secret.txt"]


@pytest.mark.parametrize("name", NO_SECRETS)
@pytest.mark.parametrize("more", ["", pytest.param("namespace: ml\n", marks=pytest.mark.download)])
def test_what_is_not_called_after_a_secret_is_none_although_one_is_given(name: str, more: str, tmp_path: Path) -> None:
    file = tmp_path / "kustomization.yaml"
    file.write_text(f"{more}resources:\n- base.yaml\n- config.yaml\n- {name}\n")
    for each, text in BASE.items():
        (tmp_path / each).write_text(text)
    with pytest.raises(SignoffError, match=f"^a file is missing: {Path(name).name}") as refused:
        read(tmp_path, env_file(tmp_path))
    assert refused.value.where == f"{file}:{4 + bool(more)}"
    assert refused.value.hint == f"create {tmp_path / name}, or take it out there"


@pytest.mark.parametrize("name", ["my-Secrets.yml", "keys.yaml", "keys.enc.yaml", "a_KEYS.json", "sub/secret.yaml"])
def test_what_is_called_after_a_secret_is_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(f"resources:\n- base.yaml\n- config.yaml\n- {name}\n")
    for each, text in BASE.items():
        (tmp_path / each).write_text(text)
    assert read(tmp_path, env_file(tmp_path)).notes


@pytest.mark.parametrize("to", ["/nowhere/x.yaml", "NAME"])
@pytest.mark.parametrize("more", ["", pytest.param("namespace: ml\n", marks=pytest.mark.download)])
@pytest.mark.parametrize("name", ["ingress.yaml", "secret.yaml"])
def test_a_link_that_leads_nowhere_is_not_there(name: str, more: str, to: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(f"{more}resources:\n- base.yaml\n- config.yaml\n- {name}\n")
    for each, text in BASE.items():
        (tmp_path / each).write_text(text)
    (tmp_path / name).symlink_to(to.replace("NAME", name))
    if name == "secret.yaml":
        assert read(tmp_path, env_file(tmp_path)).notes
        return
    with pytest.raises(SignoffError, match="a file is missing: ingress") as refused:
        read(tmp_path, env_file(tmp_path))
    assert refused.value.where == f"{tmp_path / 'kustomization.yaml'}:{4 + bool(more)}"


@pytest.mark.download
def test_two_files_of_one_generator_are_one_secret(tmp_path: Path) -> None:
    of_a_generator(tmp_path)
    file = tmp_path / "kustomization.yaml"
    file.write_text(file.read_text().replace("envs: [.env]", "files: [a.key, b=c.key]"))
    assert "Secret/keys" in [each.name for each in read(tmp_path, env_file(tmp_path)).gateway]
    with pytest.raises(UsageError, match=r"a\.key, which .*; c\.key, which ") as refused:
        read(tmp_path)
    assert refused.value.hint.startswith("give it with --secret keys=FILE.env, or add ")


@pytest.mark.download
def test_a_secret_that_a_generator_makes_and_no_pod_needs_is_not_the_one_that_is_given(tmp_path: Path) -> None:
    of_a_generator(tmp_path)
    (tmp_path / "there.env").unlink()
    with pytest.raises(SignoffError, match=r"a file is missing: there\.env") as refused:
        read(tmp_path, env_file(tmp_path))
    assert refused.value.where == f"{tmp_path / 'kustomization.yaml'}:4"


LITERAL = "hush-hush-of-a-literal"


@pytest.mark.download
@pytest.mark.parametrize(
    "generator",
    [
        f"{{name: keys, literals: [{LITERAL}]}}",
        f"{{name: keys, literals: ['A=\"{LITERAL}\"', {LITERAL}]}}",
        "{name: keys, envs: [broken.env]}",
    ],
)
def test_what_kustomize_repeats_of_a_secret_is_not_shown(generator: str) -> None:
    """In a folder with a short name: of a long sentence only the beginning is shown."""
    folder = Path(tempfile.mkdtemp())
    (folder / "kustomization.yaml").write_text(f"resources: [base.yaml]\nsecretGenerator:\n- {generator}\n")
    (folder / "base.yaml").write_text(GATEWAY)
    (folder / "broken.env").write_bytes(f"A={LITERAL} ".encode() + b"\xff\n")
    with pytest.raises(SignoffError, match="kustomize cannot build this folder") as refused:
        read(folder)
    shutil.rmtree(folder)
    assert "loading KV pairs" in refused.value.what
    assert LITERAL[:8] not in str(refused.value)


@pytest.mark.parametrize("more", ["", "namespace: ml\n"])
@pytest.mark.parametrize("name", [".", "", "sub", "../{here}"])
def test_a_kustomization_that_includes_itself_is_refused_with_the_line(name: str, more: str, tmp_path: Path) -> None:
    file, sub = tmp_path / "kustomization.yaml", tmp_path / "sub" / "kustomization.yaml"
    sub.parent.mkdir()
    name = name.format(here=tmp_path.name)
    file.write_text(f"{more}resources:\n- base.yaml\n- '{name}'\n")
    sub.write_text("resources:\n- ..\n")
    (tmp_path / "base.yaml").write_text(GATEWAY)
    with pytest.raises(SignoffError, match=f"the kustomization {file} includes itself") as refused:
        read(tmp_path)
    assert refused.value.where == (f"{sub}:2" if name == "sub" else f"{file}:{3 + bool(more)}")


@pytest.mark.download
def test_nothing_that_lies_beside_is_copied_or_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a pipe, at which a reader would wait for ever, nor what may not be read, nor a link to itself."""
    folder = changed(tmp_path)
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "models").mkdir()
    (folder / "models" / "loop").symlink_to("loop")
    (folder / "private.key").write_text("hush")
    program = tmp_path.parent / f"{tmp_path.name}-bin" / "kubectl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncd "$2" && find . -type f >"$SEEN"; exit 1\n')
    program.chmod(0o755)
    seen = program.parent / "seen"
    monkeypatch.setenv("SEEN", str(seen))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(SignoffError, match="kustomize cannot build"):
        read(folder)
    files = [line for line in seen.read_text().splitlines() if line.startswith("./")]
    assert sorted(Path(each).name for each in files) == ["kustomization.yaml"] * 2


@pytest.mark.download
def test_a_file_from_outside_is_refused_as_by_kustomize_although_one_is_not_there(tmp_path: Path) -> None:
    over = overlaid(tmp_path)
    (tmp_path / "patch.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: gateway, labels: {a: b}}\n")
    with (over / "kustomization.yaml").open("a") as file:
        file.write("patches: [{path: ../patch.yaml}]\n")
    with pytest.raises(SignoffError, match="takes no file from outside of a kustomization's folder") as refused:
        read(over, env_file(tmp_path))
    assert refused.value.where == str(over / "kustomization.yaml")


@pytest.mark.download
def test_what_a_killed_run_has_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    left, own, other = (tmp_path / "tmp" / name for name in ("signoff-kustomize-a", "signoff-kustomize-b", "c"))
    for each in (left, own, other):
        each.mkdir(parents=True)
    for each in (left, other):
        os.utime(each, (0, 0))
    (tmp_path / "lab").mkdir()
    with pytest.raises(UsageError):
        read(changed(tmp_path / "lab"))
    assert sorted((tmp_path / "tmp").iterdir()) == [other, own]


@pytest.mark.download
def test_what_kustomize_says_of_a_stand_in_is_said_of_the_folder(tmp_path: Path) -> None:
    folder = changed(tmp_path)
    with (folder / "kustomization.yaml").open("a") as file:
        file.write("patches: [{path: none.yaml}]\n")
    with pytest.raises(SignoffError, match=r"kustomize cannot build this folder") as refused:
        read(folder)
    assert str(folder / "none.yaml") in refused.value.what
