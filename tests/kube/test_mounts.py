"""LiteLLM's configuration is found wherever a pod has it, and however its path is written."""

from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.kube.mounts import ConfigFile, config_path, files
from signoff.kube.objects import Manifest
from signoff.kube.variables import Environment, Variable

SET = Environment({"CONFIG": Variable("/etc/x.yaml", ""), "ELSEWHERE": Variable(None, "")})


@pytest.mark.parametrize(
    ("container", "path"),
    [
        ({"args": ["--config", "/etc/x.yaml"]}, "/etc/x.yaml"),
        ({"args": ["--config", "x.yaml"]}, "/app/x.yaml"),
        ({"args": ["--config", "./conf/x.yaml"], "workingDir": "/srv"}, "/srv/conf/x.yaml"),
        ({"args": ["--config=/etc/x.yaml", "--port", "4000"]}, "/etc/x.yaml"),
        ({"args": ["-c", "/etc/x.yaml"]}, "/etc/x.yaml"),
        ({"args": ["-c/etc/x.yaml"]}, "/etc/x.yaml"),
        ({"args": ["--config", "/etc/a.yaml", "--config", "/etc/x.yaml"]}, "/etc/x.yaml"),
        ({"args": ["--config", "$(CONFIG)"]}, "/etc/x.yaml"),
        ({"command": ["litellm"], "args": ["--config", "/etc/x.yaml"]}, "/etc/x.yaml"),
        ({"command": ["sh", "-c", "exec litellm --config /etc/x.yaml"]}, "/etc/x.yaml"),
        ({"command": ["/bin/sh", "-ec"], "args": ["litellm --config='/etc/x.yaml' --port 4000"]}, "/etc/x.yaml"),
        ({"command": ["tini", "--", "bash", "-lc", 'litellm --config "$CONFIG"']}, "/etc/x.yaml"),
        ({"command": ["sh", "-c", "litellm --config ${CONFIG} >/dev/null 2>&1"]}, "/etc/x.yaml"),
        ({"command": ["sh", "-c", "cp --config /a /litellm && litellm --config /etc/x.yaml; sync -c"]}, "/etc/x.yaml"),
        ({"command": ["sh", "-c", "set -e\nsed -c /a # it's\nlitellm \\\n  --config /etc/x.yaml\n"]}, "/etc/x.yaml"),
        ({"command": ["sh", "-c", "litellm --config /etc/x.yaml it's"]}, "/etc/x.yaml"),
        ({"args": ["--port", "4000"]}, None),
        ({"args": ["--config"]}, None),
        ({"command": ["sh", "-c", "start --config /etc/x.yaml"]}, None),
        ({"command": ["sh"]}, None),
        ({}, None),
    ],
)
def test_the_path_is_what_litellm_is_told(container: dict[str, Any], path: str | None) -> None:
    assert config_path(container, SET) == (PurePosixPath(path) if path else None)


def test_a_variable_counts_before_the_option() -> None:
    told = {"args": ["--config", "/etc/x.yaml"]}
    named = Environment({"CONFIG_FILE_PATH": Variable("/etc/y.yaml", "")})
    assert config_path(told, named) == PurePosixPath("/etc/y.yaml")
    assert config_path(told, Environment({"CONFIG_FILE_PATH": Variable(None, "")})) is None, "nobody can tell"


NAMES = st.text("ab9._-", max_size=6).map(lambda end: f"x{end}")
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: PurePosixPath("/", *parts))


@given(PATHS, st.sampled_from(["--config {}", "--config={}", "-c {}", "--config '{}'", '--config="{}"']), st.booleans())
def test_any_path_is_found_in_a_shells_line_and_among_words(path: PurePosixPath, form: str, in_shell: bool) -> None:
    line = form.format(path)
    words = [each.strip("'\"").replace("='", "=").replace('="', "=") for each in line.split()]
    container = {"command": ["sh", "-c", f"exec litellm --port 4000 {line}"]} if in_shell else {"args": words}
    assert config_path(container, Environment()) == path


# --- the files


def config_map(name: str, *keys: str, table: str = "data") -> Manifest:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, table: dict.fromkeys(keys, "")}
    return Manifest(Path("x.yaml"), "", body)


def seen(mounts: list[dict[str, str]], *volumes: dict[str, Any], maps: list[Manifest]) -> dict[str, ConfigFile]:
    spec = {"containers": [{"name": "a", "image": "litellm", "volumeMounts": mounts}], "volumes": list(volumes)}
    body = {"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": {"spec": spec}}}
    found = files(Manifest(Path("x.yaml"), "", body), spec["containers"][0], maps, SET)
    return {str(path): file for path, file in found.items()}


ITEMS = [{"key": "a.yaml", "path": "in/b.yaml"}]
WHOLE: dict[str, Any] = {"configMap": {"name": "one"}}
OF_ITEMS: dict[str, Any] = {"configMap": {"name": "one", "items": ITEMS}}
TWO_SOURCES: dict[str, Any] = {
    "projected": {"sources": [{"secret": {"name": "s"}}, WHOLE, {"configMap": {"name": "two", "items": ITEMS}}]}
}
A = ConfigFile("one", "a.yaml")


@pytest.mark.parametrize(
    ("volume", "mount", "there"),
    [
        (WHOLE, {"mountPath": "/etc"}, {"/etc/a.yaml": A}),
        (WHOLE, {"mountPath": "/etc/x.yaml", "subPath": "a.yaml"}, {"/etc/x.yaml": A}),
        (WHOLE, {"mountPath": "/etc/x.yaml", "subPath": "none.yaml"}, {}),
        (OF_ITEMS, {"mountPath": "/etc/"}, {"/etc/in/b.yaml": A}),
        (OF_ITEMS, {"mountPath": "/etc", "subPath": "in"}, {"/etc/b.yaml": A}),
        (OF_ITEMS, {"mountPath": "/etc/x", "subPath": "in/b.yaml"}, {"/etc/x": A}),
        (TWO_SOURCES, {"mountPath": "/etc"}, {"/etc/a.yaml": A, "/etc/in/b.yaml": ConfigFile("two", "a.yaml")}),
        (TWO_SOURCES, {"mountPath": "/x", "subPath": "in/b.yaml"}, {"/x": ConfigFile("two", "a.yaml")}),
        (WHOLE, {"mountPath": "/c", "subPathExpr": "$(ELSEWHERE)"}, {"/c/a.yaml": A}),
        ({"emptyDir": {}}, {"mountPath": "/etc"}, {}),
    ],
)
def test_a_key_is_where_its_volume_is_mounted(
    volume: dict[str, Any], mount: dict[str, str], there: dict[str, ConfigFile]
) -> None:
    maps = [config_map("one", "a.yaml"), config_map("two", "a.yaml")]
    assert seen([{"name": "v", **mount}], {"name": "v", **volume}, maps=maps) == there


def test_a_key_in_base64_is_a_file_as_well() -> None:
    found = seen(
        [{"name": "v", "mountPath": "/etc"}],
        {"name": "v", **WHOLE},
        maps=[config_map("one", "a.yaml", table="binaryData")],
    )
    assert found == {"/etc/a.yaml": A}


@pytest.mark.parametrize("order", [0, 1])
def test_what_is_mounted_deeper_lies_over_what_is_above_it(order: int) -> None:
    mounts = [{"name": "v", "mountPath": "/etc"}, {"name": "w", "mountPath": "/etc/in"}]
    volumes = (
        {"name": "v", "configMap": {"name": "one", "items": [*ITEMS, {"key": "a.yaml", "path": "c"}]}},
        {"name": "w", "emptyDir": {}},
    )
    there = seen(mounts[:: -1 if order else 1], *volumes, maps=[config_map("one", "a.yaml")])
    assert there == {"/etc/c": A}


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique_by=lambda each: each[1]), PATHS)
def test_whatever_items_call_them_each_key_is_found_again(items: list[tuple[str, str]], at: PurePosixPath) -> None:
    keys = [key for key, _ in items]
    volume: dict[str, Any] = {
        "configMap": {"name": "one", "items": [{"key": key, "path": path} for key, path in items]}
    }
    projected: dict[str, Any] = {"projected": {"sources": [volume]}}
    for given_volume, (key, path) in product((volume, projected), items):
        maps = [config_map("one", *keys)]
        whole = seen([{"name": "v", "mountPath": str(at)}], {"name": "v", **given_volume}, maps=maps)
        part = seen([{"name": "v", "mountPath": str(at), "subPath": path}], {"name": "v", **given_volume}, maps=maps)
        assert whole[str(at / path)] == ConfigFile("one", key)
        assert part == {str(at): ConfigFile("one", key)}
