"""What no cluster can run is refused in one sentence, and what the manifests alone tell is told all the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from signoff.core.paths import FEATURES, ROOT
from signoff.judges.beforehand import findings
from signoff.options import NoCluster, values_of
from signoff.story import declaration
from tests.forks import Interpreter
from tests.labs.expected import EXPECTED
from tests.labs.lab import SETTINGS, Edit, chosen, copied

pytestmark = pytest.mark.usefixtures("nothing_set")
DATABASE = """
---
apiVersion: v1
kind: Pod # of a database
metadata: {name: db, namespace: NAMESPACE}
spec: {containers: [{name: db, image: "mysql:8"}]}
"""
FILES = {
    "home_lab": "gateway/configmap.yaml",
    "one_file": "everything.yml",
    "nulls": "all.yaml",
    "chart": "rendered.yaml",
}
OF_A_CLUSTER = {"request-fidelity"}
"""Checks that only something that runs can fail."""


def found_in(folder: Path, edits: Sequence[Edit], lab: str) -> list[str]:
    """What is found in a set that needs a database as well."""
    namespace = EXPECTED[lab].gateway.namespace
    database = Edit(FILES[lab], "", DATABASE.replace("NAMESPACE", namespace))
    with pytest.raises(NoCluster, match="no recipe for image mysql:8") as refused:
        chosen(copied(lab, folder, [*edits, database]))
    written = declaration.find(sorted(FEATURES.glob("*.feature")))
    return list(findings(refused.value.manifests, written.filled(values_of(refused.value.manifests)).story.checks))


@pytest.mark.parametrize("lab", EXPECTED)
def test_what_fails_on_any_cluster_is_what_a_run_fails(lab: str, tmp_path: Path) -> None:
    failed, found = EXPECTED[lab].failed, found_in(tmp_path, [], lab)
    assert {each.partition(":")[0] for each in found} <= set(failed)
    for check, words in failed.items():
        if check not in OF_A_CLUSTER and check != "scheduler-asked":
            assert any(each.startswith(f"{check}: ") and words in each for each in found), check
    assert any(each.startswith("scheduler-asked: no rule keeps LiteLLM off") for each in found) is (
        "scheduler-asked" in failed
    )


NO_INIT = "      initContainers:\n"
SIDECAR = Edit(
    "all.yaml",
    NO_INIT,
    '      initContainers: [{name: beside, image: "mysql:8", restartPolicy: Always, '
    "ports: [{containerPort: 1, hostPort: 4401}], resources: {limits: {nvidia.com/gpu: 1}}}]\n",
)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (
            Edit("all.yaml", "{name: api, port: 4000, targetPort: api}", "{name: api, port: 80, targetPort: api}"),
            "service: the Service is a ClusterIP with port 80; expected a ClusterIP with port 4000: write port: 4000",
        ),
        (
            Edit("all.yaml", "http://qwen.ml.svc.cluster.local:8000/v1", "http://qwen.ml:8000"),
            "configuration: api_base is 'http://qwen.ml:8000'; write api_base: http://qwen.ml.svc.cluster.local:8000/v1",
        ),
        (
            Edit(SETTINGS, 'forbidden_by = "forbidden-names"\n', ""),
            "scheduler-asked: no rule keeps LiteLLM off a new worker: require a node affinity",
        ),
        (
            Edit(SETTINGS, 'layout = {"all.yaml" = ["Service", "ConfigMap", "Deployment"]}\n', ""),
            "file-layout: in nulls/: deployment.yaml is missing; "
            "move the Deployment of all.yaml and the Service of all.yaml there; "
            "configmap.yaml is missing; move the ConfigMap of all.yaml there; "
            "ingressroute.yaml is missing; write the Certificate that no file has and ",
        ),
        (
            Edit(SETTINGS, '"ConfigMap", "Deployment"', '"ConfigMap", "StatefulSet"'),
            "file-layout: in nulls/: all.yaml lacks StatefulSet; write the StatefulSet that no file has",
        ),
        (
            Edit(SETTINGS, '"all.yaml" = [', '"proxy.yaml" = ["Deployment"], "all.yaml" = ['),
            "file-layout: in nulls/: proxy.yaml is missing; move the Deployment of all.yaml there",
        ),
        (
            Edit(SETTINGS, '"ConfigMap", "Deployment"', '"ConfigMap", "Deployment", "Pod"'),  # the database's is none
            "file-layout: in nulls/: all.yaml lacks Pod; write the Pod that no file has",
        ),
        (SIDECAR, "service: a pod of LiteLLM takes port 4401 of its node"),
        (SIDECAR, "no-gpu: "),
    ],
)
def test_what_a_person_gets_wrong_is_found(edit: Edit, told: str, tmp_path: Path) -> None:
    found = found_in(tmp_path, [edit], "nulls")
    assert any(each.startswith(told) for each in found), found


WITH = "cannot run with DATABASE_URL here: that needs Prisma's query engine, which no package index has"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("          env:\n", "          env: [{name: DATABASE_URL, value: 'postgresql://u:p@db/x'}]\n"),
        ("    router_settings:\n", "    general_settings: {database_url: 'postgresql://u:p@db/x'}\n"),
    ],
    ids=["a variable", "the configuration"],
)
def test_a_gateway_with_a_database_is_refused_with_what_it_would_need(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=WITH) as refused:
        chosen(copied("nulls", tmp_path, [Edit("all.yaml", old, new)]))
    file, _, line = refused.value.where.rpartition(":")
    assert "database_url" in Path(file).read_text().splitlines()[int(line) - 1].lower()
    assert "--cluster kind" in refused.value.hint


PARTS = "{name: DATABASE_HOST, value: db}, {name: DATABASE_USERNAME, value: u}"
BEFORE = "          env:\n"


@pytest.mark.parametrize(
    "variables",
    [
        f"{PARTS}, {{name: DATABASE_NAME, value: x}}",
        "{name: DIRECT_URL, value: 'postgresql://u:p@db/x'}",
        "{name: IAM_TOKEN_DB_AUTH, value: 'True'}",
    ],
    ids=["in parts", "DIRECT_URL", "a token"],
)
def test_a_database_that_other_variables_name_is_refused_too(variables: str, tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=WITH) as refused:
        chosen(copied("nulls", tmp_path, [Edit("all.yaml", BEFORE, f"          env: [{variables}]\n")]))
    file, _, line = refused.value.where.rpartition(":")
    assert variables in Path(file).read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    "variables",
    [PARTS, f"{PARTS}, {{name: DATABASE_NAME, value: ''}}", "{name: IAM_TOKEN_DB_AUTH, value: 'False'}"],
    ids=["parts alone", "an empty part", "no token"],
)
def test_what_names_no_database_is_not_refused(variables: str, tmp_path: Path) -> None:
    chosen(copied("nulls", tmp_path, [Edit("all.yaml", BEFORE, f"          env: [{variables}]\n")]))


@pytest.mark.parametrize("rule", ["taints", "resources"])
def test_a_taint_is_a_rule_where_the_settings_say_so(rule: str, tmp_path: Path) -> None:
    by_taint = Edit(SETTINGS, "stand_in = true\n", f'stand_in = true\nforbidden_by = "{rule}"\n')
    assert not [each for each in found_in(tmp_path, [by_taint], "chart") if each.startswith("scheduler-asked: ")]


def test_the_refusal_of_a_run_says_both_and_writes_nothing(tmp_path: Path, apart: Interpreter) -> None:
    folder = copied("chart", tmp_path, [Edit("rendered.yaml", "", DATABASE.replace("NAMESPACE", "default"))])
    reports = tmp_path / "reports"
    done = apart.run(ROOT, "pytest", "features", "--settings", str(folder / SETTINGS), "--reports", str(reports))
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert lines[0].startswith("ERROR: no recipe for image mysql:8")
    assert lines[3] == "Not signed off: the manifests alone fail in this"
    assert list(dict.fromkeys(each.split(":")[0] for each in lines[4:])) == ["  - labels", "  - scheduler-asked"]
    assert not reports.exists()
