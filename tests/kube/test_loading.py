"""Manifests in any layout that people have: the objects that `kubectl apply` would send, each with file and line."""

import codecs
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from signoff.core.errors import SignoffError
from signoff.kube import loading
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.settings import Settings

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME, annotations: }\nspec: {selector: {app: x}}\nstatus:\n"


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


OTHER = SERVICE.replace("NAME", "x, namespace: ml").replace("app: x", "app: y")


def service(name: str) -> str:
    return SERVICE.replace("NAME", name)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def names(found: list[Manifest]) -> list[str]:
    return [each.body["metadata"]["name"] for each in found]


def test_a_folder_is_its_files_by_name_and_its_folders_in_turn(tmp_path: Path) -> None:
    files = {"b.yml": service("b"), "a.yaml": service("a"), "c/d/e.json": json.dumps(yaml.safe_load(service("e")))}
    write(tmp_path, {**files, "README.md": "# none", ".github/x.yaml": "on: push", "z.yaml": "# nothing\n---\n"})
    assert names(loading.read(tmp_path)) == ["a", "b", "e"]


def test_a_file_is_all_its_documents_and_lists(tmp_path: Path) -> None:
    items = [yaml.safe_load(service(name)) for name in "bc"]
    listed = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": [items[0], {"kind": "ServiceList", "items": [items[1]]}]}
    )
    write(tmp_path, {"all.yaml": f"{service('a')}---\n{listed}---\napiVersion: v1\nkind: List\nitems:\n"})
    found = loading.read(tmp_path / "all.yaml")
    assert names(found) == ["a", "b", "c"]
    assert [each.line("spec", "selector") for each in found] == [4, 15, 25]


def test_what_a_template_left_empty_is_not_there(tmp_path: Path) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: , labels: {a: }}\ndata: {key: , b: '1'}\n"
    (found,) = loading.read(write(tmp_path, {"x.yaml": body}))
    assert found.body["metadata"] == {"name": "x", "labels": {"a": ""}}
    assert found.body["data"] == {"key": "", "b": "1"}


def test_a_kustomization_that_only_lists_needs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    files = {"kustomization.yaml": "resources: [b.yaml, sub]", "a.yaml": service("a"), "b.yaml": service("b")}
    write(tmp_path, {**files, "sub/Kustomization": "resources: [c.yaml]", "sub/c.yaml": service("c")})
    assert names(loading.read(tmp_path)) == ["b", "c"]


@pytest.mark.download
def test_what_kustomize_changes_is_changed_by_kustomize(tmp_path: Path) -> None:
    overlay = {
        "resources": ["../base"],
        "namePrefix": "gw-",
        "images": [{"name": "a", "newTag": "2"}],
        "configMapGenerator": [
            {"name": "config", "literals": ["config.yaml=x"], "options": {"disableNameSuffixHash": True}}
        ],
    }
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: 'a:1'}]}\n"
    files = {"base/kustomization.yaml": "resources: [all.yaml]", "base/all.yaml": service("x") + pod}
    write(tmp_path, {**files, "over/kustomization.yaml": yaml.safe_dump(overlay)})
    found = {each.name: each for each in loading.read(tmp_path / "over")}
    assert set(found) == {"ConfigMap/gw-config", "Service/gw-x", "Pod/gw-p"}
    assert found["Pod/gw-p"].body["spec"]["containers"][0]["image"] == "a:2"
    assert found["Pod/gw-p"].file == tmp_path / "base" / "all.yaml"
    assert found["Pod/gw-p"].line("spec", "containers") == 10
    assert found["ConfigMap/gw-config"].file == tmp_path / "over" / "kustomization.yaml"
    assert "annotations" not in found["Service/gw-x"].body["metadata"]


@pytest.mark.download
def test_what_kustomize_refuses_is_said_with_the_user_s_own_file(tmp_path: Path) -> None:
    write(tmp_path, {"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: none.yaml}]", "a.yaml": service("a")})
    with pytest.raises(SignoffError, match=r"kustomize cannot build this folder: .*none\.yaml") as refused:
        loading.read(tmp_path)
    assert refused.value.where == str(tmp_path / "kustomization.yaml")


@pytest.mark.parametrize(
    ("files", "what", "where"),
    [
        ({}, "there are no manifests here", ""),
        ({"a.yaml": "# nothing"}, "there are no manifests here", ""),
        ({"kustomization.yaml": "resources: []"}, "lists no manifests", "kustomization.yaml"),
        ({"kustomization.yaml": ""}, "lists no manifests", "kustomization.yaml"),
        ({"kustomization.yaml": "resources: a.yaml"}, "is not a list of files", "kustomization.yaml"),
        ({"kustomization.yaml": "resources: [a.yaml]"}, "a manifest is missing", "a.yaml"),
        ({"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-"}, "a manifest is missing", "a.yaml"),
        (
            {"kustomization.yaml": "resources: [d]", "d/a.yaml": service("a")},
            "without a kustomization: d",
            "kustomization",
        ),
        ({"kustomization.yaml": "", "Kustomization": ""}, "kustomize takes one of", ""),
        (
            {"a.yaml": service("x"), "b.yaml": OTHER},
            "duplicate object Service/x",
            "a.yaml:1, ",
        ),
        ({"Chart.yaml": "name: x", "values.yaml": "a: 1"}, "a Helm chart", "Chart.yaml"),
        ({"a.yaml": "a: ["}, "not valid YAML", "a.yaml:1"),
        ({"a.yaml": "- a"}, "not a mapping", "a.yaml:1"),
        (
            {"a.yaml": "services: {web: {image: x}}"},
            "apiVersion is missing, kind is missing, ",
            "a.yaml",
        ),
        ({"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {labels: {}}"}, "metadata.name is missing", "a.yaml"),
        ({"a.yaml": "apiVersion: v1\nkind: List\nitems: [a]"}, "apiVersion is missing, metadata is missing", "a.yaml"),
        ({"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: 1}"}, "metadata.name is not a string", "a.yaml"),
        ({"a.yaml": "apiVersion: 1\nkind: Pod\nmetadata: {name: a}"}, "apiVersion is not a string", "a.yaml"),
        ({"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: a"}, "metadata is not a mapping", "a.yaml"),
        (
            {"a.yaml": POD.replace("a}", "a, labels: [b]}")},
            "metadata.labels is not a mapping",
            "a.yaml",
        ),
        ({"a.yaml": service("a").replace("{selector: {app: x}}", "[]")}, "spec is not a mapping", "a.yaml"),
        (
            {"a.yaml": POD + "spec: {containers: [a]}"},
            "spec.containers.0 is not a mapping",
            "a.yaml",
        ),
        (
            {"a.yaml": POD + "spec: {containers: [{}]}"},
            "spec.containers.0.image is missing",
            "a.yaml",
        ),
        *(
            ({"a.yaml": POD + f"spec:\n  containers:\n  - image: a\n    {text}"}, f"{place} {what}", "a.yaml:7")
            for text, place, what in (
                ("envFrom: x", "spec.containers.0.envFrom", "is not a list"),
                ("envFrom: [x]", "spec.containers.0.envFrom.0", "is not a mapping"),
                ("envFrom: [{secretRef: x}]", "spec.containers.0.envFrom.0.secretRef", "is not a mapping"),
                ("env: [{name: A, valueFrom: x}]", "spec.containers.0.env.0.valueFrom", "is not a mapping"),
                ("env: [{valueFrom: {secretKeyRef: x}}]", "env.0.valueFrom.secretKeyRef", "is not a mapping"),
                ("env: [{valueFrom: {configMapKeyRef: {key: 5}}}]", "configMapKeyRef.key", "is not a string"),
                ("readinessProbe: x", "spec.containers.0.readinessProbe", "is not a mapping"),
                ("startupProbe: {exec: [1]}", "spec.containers.0.startupProbe.exec", "is not a mapping"),
                ("livenessProbe: {exec: {command: 3}}", "livenessProbe.exec.command", "is not a list"),
                ("lifecycle: [1]", "spec.containers.0.lifecycle", "is not a mapping"),
                ("lifecycle: {preStop: x}", "spec.containers.0.lifecycle.preStop", "is not a mapping"),
                ("lifecycle: {postStart: {exec: {command: [[]]}}}", "postStart.exec.command.0", "is not a string"),
            )
        ),
    ],
)
def test_what_is_no_manifest_is_refused_by_its_file(
    tmp_path: Path, files: Mapping[str, str], what: str, where: str
) -> None:
    with pytest.raises(SignoffError, match=what) as refused:
        loading.read(write(tmp_path, files), namespace="ml")
    assert where in refused.value.where
    assert str(tmp_path) in refused.value.where
    assert refused.value.hint


def test_the_same_object_in_two_files_is_one(tmp_path: Path) -> None:
    assert names(loading.read(write(tmp_path, {"a.yaml": service("x"), "b.yaml": service("x")}))) == ["x"]


def test_a_link_to_nothing_is_missing(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": service("a")})
    (tmp_path / "b.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(SignoffError, match="a manifest is missing"):
        loading.read(tmp_path)


def test_a_link_to_a_folder_is_not_followed_as_with_kubectl(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": service("a")})
    (tmp_path / "again").symlink_to(tmp_path)
    assert names(loading.read(tmp_path)) == ["a"]


NOBODY = 65534


def as_nobody(folder: Path) -> str:
    """What loading a folder says to a user who owns nothing, in a process of its own: root may read everything."""
    codecs.lookup("utf-8-sig")  # which that user may not import
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        said = "nothing"
        try:
            os.close(reader)
            if not os.getuid():
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            StoryManifests.read(Settings(manifests=(folder,)))
        except SignoffError as error:
            said = f"{error.what} ({error.where})"
        except BaseException as error:  # a traceback is what must not be
            said = repr(error)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may go into, as pytest's own are not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o700, 0o744])
@pytest.mark.parametrize(
    ("named", "files"),
    [
        ("closed", {}),
        ("closed/a.yaml", {}),
        ("closed/sub", {}),
        (".", {}),
        (".", {"kustomization.yaml": "resources: [closed/a.yaml]"}),
        (".", {"kustomization.yaml": "resources: [closed]"}),
        (".", {"kustomization.yaml": "namespace: ml\nresources: [closed/a.yaml]"}),
        (".", {"kustomization.yaml": "namespace: ml\nresources: [closed]"}),
    ],
)
def test_what_this_user_may_not_read_is_named(mode: int, named: str, files: Mapping[str, str], shared: Path) -> None:
    write(shared, {**files, "closed/a.yaml": service("a"), "closed/sub/a.yaml": service("a")})
    closed = shared / "closed"
    closed.chmod(mode if not os.getuid() else mode & 0o044)
    try:
        said = as_nobody(shared / named)
    finally:
        closed.chmod(0o755)
    assert said.startswith("a manifest cannot be read: Permission denied (")
    assert str(closed) in said


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SignoffError, match="cannot be read: it is not UTF-8"):
        loading.read(tmp_path)
