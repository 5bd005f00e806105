"""An option counts before a variable, that before the file, and that before the story; what is wrong is refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from signoff import story
from signoff.core.errors import UsageError
from signoff.core.node import Node
from signoff.core.paths import ROOT
from signoff.settings import Settings, read, story_values
from signoff.settings.model import described, names
from signoff.settings.reading import option_of, variable_of
from signoff.settings.shown import record, recorded
from signoff.story.declaration import Declaration

SECRET = "sk-the-key-of-this-house"
STORYS = "k3s-worker-01,k3s-worker-02,k3s-gpu-worker gpu=1"
LAYOUT = {"a.yaml": ("Service", "Deployment"), "b/c.yaml": ("ConfigMap",)}
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
MARKS = "nvidia.com/gpu=true gpu=true:NoSchedule nvidia.com/gpu:2"
DECLARED = f"""\
nodes = [
  "k3s-worker-01",
  {{name = "k3s-worker-02"}},
  {{name = "k3s-gpu-worker", labels = {{"nvidia.com/gpu" = "true"}}, taints = ["gpu=true:NoSchedule"],
    resources = {{"nvidia.com/gpu" = 2}}}},
  {{name = "k3s-master", labels = {{"{CONTROL_PLANE}" = ""}}}},
]
""".replace(",\n    ", ", ")


def written(folder: Path, text: str) -> Path:
    file = folder / "signoff.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_where_nobody_says_anything_the_values_are_the_storys() -> None:
    found = read({})
    assert found.settings == Settings()
    assert found.settings.allowed_nodes == story.ALLOWED_NODES and found.settings.namespace == "ml"
    assert {each.source for each in found.origins.values()} == {"story"}
    assert found.differing == ()


def test_every_setting_is_described_in_a_line() -> None:
    assert [name for name in names() if not 5 < len(described(name)) < 250 or described(name).endswith(".")] == []


def test_the_nearest_word_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(here, "port = 4001\nnum_retries = 3\ntimeout = 60\n")
    monkeypatch.setenv("SIGNOFF_PORT", "4002")
    monkeypatch.setenv("SIGNOFF_NUM_RETRIES", "4")
    found = read({"port": ["4003"], "timeout": None, "labels": []})
    assert (found.settings.port, found.settings.num_retries, found.settings.timeout) == (4003, 4, 60)
    assert [found.where(name) for name in ("port", "num_retries", "timeout", "model")] == [
        "--port 4003",
        "SIGNOFF_NUM_RETRIES=4",
        "signoff.toml:3",
        "",
    ]


def test_a_list_or_table_replaces_the_whole_of_another(here: Path) -> None:
    written(here, 'allowed_nodes = ["a", "b"]\nforbidden_nodes = ["c"]\n[labels]\nx = "1"\ny = "2"\n')
    found = read({"allowed_nodes": ["d"], "labels": ["x=3"]}).settings
    assert found.allowed_nodes == ("d",) and found.labels == {"x": "3"}


def test_a_blank_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PORT", " ")
    monkeypatch.setenv("SIGNOFF_CLUSTER", "")
    assert read({}).settings == Settings()


@pytest.mark.parametrize(
    ("name", "texts", "value"),
    [
        ("allowed_nodes", ["a,b", "c"], ("a", "b", "c")),
        ("labels", ["a=b", "c=d, e/f=g=h"], {"a": "b", "c": "d", "e/f": "g=h"}),
        ("layout", ["./a.yaml=Service Deployment", "b/c.yaml=ConfigMap"], LAYOUT),
        ("waive", ["way-in=not here, never", "tailscale = no"], {"way-in": "not here, never", "tailscale": "no"}),
        ("secrets", ["litellm=x/y.env", "b=z.env"], {"litellm": Path("x/y.env"), "b": Path("z.env")}),
        ("manifests", ["a,b", "c"], (Path("a,b"), Path("c"))),
        ("timeout", ["1", "2"], 2),
    ],
)
def test_an_option_may_be_given_again(name: str, texts: list[str], value: object) -> None:
    assert getattr(read({name: texts}).settings, name) == value


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("ALLOWED_NODES", "a, b", ("a", "b")),
        ("LABELS", "a=b,c=d", {"a": "b", "c": "d"}),
        ("MANIFESTS", "a:b", (Path("a"), Path("b"))),
        ("SECRETS", "litellm=x.env", {"litellm": Path("x.env")}),
        ("WAIVE", "way-in=not here, never\ntailscale=no\n", {"way-in": "not here, never", "tailscale": "no"}),
        ("OVERHEAD_LIMIT_MS", "12.5", 12.5),
    ],
)
def test_a_variable_is_one_text(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"SIGNOFF_{variable}", text)
    assert getattr(read({}).settings, variable.lower()) == value


def test_a_file_that_is_named_counts_before_one_beside_the_manifests_and_that_before_one_here(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, named, other = here / "lab", here / "etc", here / "var"
    for port, folder in enumerate((here, beside, named, other), start=1):
        folder.mkdir(exist_ok=True)
        written(folder, f"port = {port}")
    (beside / "all.yaml").touch()
    assert read({}).settings.port == 1
    assert read({"manifests": ["lab", "etc"]}).settings.port == 2
    assert read({"manifests": ["lab/all.yaml"]}).settings.port == 2
    assert read({"manifests": ["lab"]}, "etc/signoff.toml").settings.port == 3
    monkeypatch.setenv("SIGNOFF_MANIFESTS", "lab")
    assert read({}).settings.port == 2
    monkeypatch.setenv("SIGNOFF_SETTINGS", "var/signoff.toml")
    assert read({}).settings.port == 4
    assert read({}, "etc/signoff.toml").settings.port == 3


def test_names_of_files_in_a_file_are_relative_to_it(here: Path) -> None:
    (here / "lab").mkdir()
    written(here / "lab", 'manifests = ["apps", "/srv/x", "~/y"]\nreports = "out"\nsecrets.a = "a.env"\n')
    found = read({"manifests": None}, "lab/signoff.toml").settings
    assert found.manifests == (Path("lab/apps"), Path("/srv/x"), Path("~/y").expanduser())
    assert (found.reports, found.secrets) == (Path("lab/out"), {"a": Path("lab/a.env")})


def test_what_is_not_the_storys_is_named_and_what_everybody_may_choose_is_not() -> None:
    given = {
        "overhead_limit_ms": ["500"],
        "manifests": ["x"],
        "gateway": ["proxy"],
        "waive": ["a=b"],
        "namespace": ["ai"],
    }
    assert read(given).differing == ("namespace", "overhead_limit_ms")
    assert read({"overhead_limit_ms": ["100"], "allowed_nodes": ["k3s-worker-01,k3s-worker-02"]}).differing == ()


def test_nodes_that_nobody_declares_are_those_that_are_named() -> None:
    named = {"allowed_nodes": ["nuc-1,nuc-2"], "forbidden_nodes": ["tower"], "backend_nodes": ["tower"]}
    found = read(named)
    assert found.settings.nodes == (Node("nuc-1"), Node("nuc-2"), story.gpu_node("tower"))
    assert found.differing == tuple(named)
    assert record(found)["nodes"]["origin"] == "other settings"
    assert read({"nodes": [",".join(map(str, story.NODES))]}).differing == ()


def test_a_node_is_a_table_or_a_text(here: Path) -> None:
    written(here, DECLARED)
    found = read({})
    texts = ["k3s-worker-01, k3s-worker-02", f"k3s-gpu-worker {MARKS}", f"k3s-master {CONTROL_PLANE}="]
    assert found.settings.nodes == read({"nodes": texts}).settings.nodes
    assert found.settings.nodes[2].resources == {"nvidia.com/gpu": 2}
    assert found.differing == ("nodes",)
    [shown] = [each for each in recorded(record(found)) if each.name == "nodes"]
    assert shown.value == ", ".join(texts)
    assert shown.story == ", ".join(map(str, story.NODES))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"port": ["0"]}, "--port must be at least 1"),
        ({"port": ["65536"]}, "--port must be at most 65535"),
        ({"port": ["x"]}, "--port must be a whole number"),
        ({"overhead_limit_ms": ["0"]}, "--overhead-limit-ms must be greater than 0"),
        ({"overhead_limit_ms": ["nan"]}, "--overhead-limit-ms must be a number that is finite"),
        ({"overhead_limit_ms": ["fast"]}, "--overhead-limit-ms must be a number"),
        ({"overhead_pairs": ["19"]}, "--overhead-pairs must be at least 20"),
        ({"num_retries": ["-1"]}, "--num-retries must be at least 0"),
        ({"timeout": ["0"]}, "--router-timeout must be greater than 0"),
        ({"service_type": ["Cluster"]}, "--service-type must be 'ClusterIP', 'NodePort' or 'LoadBalancer'"),
        ({"namespace": ["ML"]}, "--namespace: 'ML' is not the name of a namespace"),
        ({"namespace": ["a" * 64]}, "is not the name of a namespace"),
        ({"cluster_uid": ["home"]}, "--cluster-uid: 'home' is no UID, which `kubectl get namespace kube-system"),
        ({"gateway": ["a_b"]}, "--gateway: 'a_b' is not the name of an object"),
        ({"host": ["https://x"]}, "--host: 'https://x' is not the name of a host"),
        ({"allowed_nodes": ["a,,b"]}, "--allowed-nodes must not be empty"),
        ({"allowed_nodes": ["a,b", "a"]}, "--allowed-nodes: 'a' is named twice"),
        ({"allowed_nodes": ["Node"]}, "--allowed-nodes: 'Node' is not the name of a node"),
        (
            {"nodes": [STORYS.replace("gpu=1", "gpu")]},
            "'gpu' is no label KEY=VALUE, taint KEY=VALUE:EFFECT or",
        ),
        ({"nodes": [STORYS.replace("gpu=1", "gpu=1 gpu=2")]}, "--nodes: 'gpu' is given twice"),
        ({"nodes": [STORYS.replace("gpu=1", "-=1")]}, "--nodes: '-=1' of k3s-gpu-worker is not a label"),
        ({"nodes": [STORYS.replace("gpu=1", "gpu=1:Never")]}, "'gpu=1:Never' of k3s-gpu-worker is not a taint"),
        (
            {"nodes": [STORYS.replace("gpu=1", "gpu=1:NoSchedule gpu=2:NoSchedule")]},
            "--nodes: k3s-gpu-worker has two taints gpu of the effect NoSchedule",
        ),
        ({"nodes": [STORYS.replace("gpu=1", "gpu:1")]}, "'gpu:1' of k3s-gpu-worker is no extended resource"),
        ({"nodes": [STORYS.replace("gpu=1", "a/b:0")]}, "'a/b:0' of k3s-gpu-worker is no extended resource"),
        ({"nodes": [STORYS.replace("gpu=1", "kubernetes.io/os=x")]}, "has the label kubernetes.io/os by itself"),
        ({"nodes": [f"{STORYS},k3s-worker-01"]}, "--nodes: k3s-worker-01 is declared twice"),
        ({"nodes": [f"{STORYS},Master"]}, "--nodes: 'Master' is not the name of a node"),
        ({"nodes": [",".join(f"n{number}" for number in range(101))]}, "--nodes must name at most 100"),
        ({"labels": ["a"]}, "--labels: 'a' is given no value"),
        ({"labels": ["a=b,a=c"]}, "--labels: 'a' is given twice"),
        ({"layout": ["a.yaml"]}, "--layout: 'a.yaml' is given no value"),
        ({"layout": ["a.yaml= "]}, "--layout: 'a.yaml' is given no value"),
        ({"layout": ["a.yaml=service"]}, "--layout: 'service' is not a kind as objects have it"),
        ({"layout": ["/a.yaml=Service"]}, "'/a.yaml' is to be named from the folder of LiteLLM's Deployment"),
        ({"secrets": ["a.env"]}, "--secret: 'a.env' is given no value"),
        ({"secrets": ["=a.env"]}, "--secret must not be empty"),
        ({"model": [" "]}, "--model names nothing"),
        ({"manifests": ["a", ""]}, "--manifests names nothing"),
    ],
)
def test_an_option_is_refused(given: Mapping[str, Any], what: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(given)
    [option] = map(option_of, given)
    assert what in refused.value.what
    assert refused.value.where.startswith(f"{option} ")
    assert refused.value.hint


def test_the_hint_says_how_a_taint_is_written() -> None:
    with pytest.raises(UsageError, match="'gpu:Never' of tower is not a taint; one is written as KEY=VALUE:EFFECT"):
        read({"nodes": ["tower gpu:Never"]})


@pytest.mark.parametrize("setting", ["allowed_nodes", "forbidden_nodes", "backend_nodes"])
def test_a_node_that_is_named_and_not_declared_is_refused(here: Path, setting: str) -> None:
    written(here, f"{setting} = ['nuc']\n{DECLARED}")
    with pytest.raises(UsageError, match=f"nodes does not declare nuc, which {setting} names") as refused:
        read({})
    assert refused.value.where == "signoff.toml:1 and signoff.toml:2"


@pytest.mark.parametrize(
    "given", [{"allowed_nodes": ["a,b"], "forbidden_nodes": ["b"]}, {"allowed_nodes": ["k3s-gpu-worker"]}]
)
def test_a_node_that_is_both_allowed_and_forbidden_is_refused(given: Mapping[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be both among allowed_nodes and among forbidden_nodes") as refused:
        read(given)
    assert refused.value.where == " and ".join(f"{option_of(name)} {texts[0]}" for name, texts in given.items())


def test_a_variable_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PORT", "70000")
    with pytest.raises(UsageError, match="SIGNOFF_PORT must be at most 65535") as refused:
        read({})
    assert refused.value.where == "SIGNOFF_PORT=70000"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SIGNOFF_ALLOWED_NODE", "SIGNOFF_ALLOWED_NODES"),
        ("SIGNOFF_LABEL", "SIGNOFF_LABELS"),
        ("SIGNOFF_NAMESPCE", "SIGNOFF_NAMESPACE"),
        ("SIGNOFF_SETTING", "SIGNOFF_SETTINGS"),
        ("SIGNOFF_OVERHEAD_LIMIT", "SIGNOFF_OVERHEAD_LIMIT_MS"),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, meant: str) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(UsageError, match=f"{variable}; did you mean {meant}\\?") as refused:
        read({})
    assert refused.value.where == variable


@pytest.mark.parametrize(
    "name",
    [
        *("CACHE", "RECIPES", "KUBERNETES_BIN", "KUSTOMIZE_BIN", "CONTAINER", "PROCESS_OF"),
        *("KIND_NAME", "KIND_IMAGE", "KIND_RELEASES", "VLLM_KEY", "PROXIED", "DIRECT", "SOMETHING"),
    ],
)
def test_what_other_variables_the_suite_has_is_not_taken_for_a_setting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SIGNOFF_{name}", "x")
    assert read({}).settings == Settings()


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("port = 1\n\nnamespce = 'x'", "there is no setting 'namespce'; did you mean 'namespace'?", 3),
        ("[labels]\na = 'b'\n[alowed-nodes]", "there is no setting 'alowed-nodes'; did you mean 'allowed_nodes'?", 3),
        ("allowed_nodes = [\n'a',\n'b'\n]\nport = '70000'", "port must be at most 65535", 5),
        ("port = true", "port must be a number", 1),
        ("\nport = 4000.5", "port must be a whole number", 2),
        ("port = [1]", "port must be a whole number", 1),
        ("model = 5", "model must be text", 1),
        ("model = ''", "model must not be empty", 1),
        ("allowed_nodes = 5", "allowed_nodes must be a list", 1),
        ("allowed_nodes = []", "allowed_nodes must name at least 1", 1),
        ("allowed_nodes = ['a', 1]", "allowed_nodes must be text", 1),
        ("manifests = 1979-05-27", "manifests must be a list", 1),
        ("reports = 5", "reports must be the name of a file", 1),
        ("labels = 5", "labels must be a table of names and values", 1),
        ("[labels]\na = 'b'\n\n'c.d/e' = 5", "labels: 'c.d/e' must be text", 4),
        ("layout = {}", "layout must name at least 1", 1),
        ("[layout]\n'a.yaml' = []", "layout: 'a.yaml' must name at least 1", 2),
        ("[layout]\n'a.yaml' = 5", "layout: 'a.yaml' must be a list", 2),
        ("[layout]\n'a.yaml' = ['Service', 5]", "layout: 'a.yaml' must be text", 2),
        ("[secrets]\na = 'b'\nc = 5", "secrets: 'c' must be the name of a file", 3),
        ("api_key = 5", "api_key must be text", 1),
        ("allowed_nodes = ['a']\nforbidden_nodes = ['a']", "a cannot be both", 1),
        ("[nodes]\nname = 'a'", "nodes must be a list", 1),
        ("nodes = [5]", "nodes must be a table or a text", 1),
        ("[[nodes]]\nname = 'a'\n[[nodes]]\nnam = 'b'", "nodes: a node has no 'nam'; did you mean 'name'?", 3),
        ("[[nodes]]\nname = 'a'\n\n[[nodes]]\nlabels = {}", "nodes: 'name' must be given", 4),
        ("[[nodes]]\nname = 'a'\nlabels = {b = 5}", "nodes: 'labels.b' must be text", 1),
        ("[[nodes]]\nname = 'a'\nlabels = 'b=5'", "nodes: 'labels' must be a table of names and values", 1),
        ("[[nodes]]\nname = 'a'\ntaints = 'b:NoSchedule'", "nodes: 'taints' must be a list", 1),
        ("[[nodes]]\nname = 'a'\nresources = {'x/y' = true}", "nodes: the number of x/y must be a whole number", 1),
        ("port = 1\nport = 2", "not valid TOML: ", 2),
        ("port = 1\nmodel = x\n", "not valid TOML: ", 2),
        ("port = 1\nallowed_nodes = ['a',", "not valid TOML: ", 2),
        ("port: 1", "not valid TOML: ", 1),
    ],
)
def test_a_file_is_refused_with_its_line(here: Path, text: str, what: str, line: int) -> None:
    written(here, text)
    with pytest.raises(UsageError) as refused:
        read({})
    assert what in refused.value.what
    assert refused.value.where.split(" and ")[0] == f"signoff.toml:{line}"
    assert refused.value.hint


def test_a_file_that_is_nested_too_deep_is_refused(here: Path) -> None:
    written(here, f"port = {'[' * 20_000}{']' * 20_000}")
    with pytest.raises(UsageError, match="nested too deep"):
        read({})


@pytest.mark.parametrize("kind", ["a folder", "a dangling link", "a link to itself", "a pipe"])
@pytest.mark.parametrize("beside", ["lab", "."])
def test_a_file_that_is_none_is_not_passed_over(kind: str, beside: str, here: Path) -> None:
    (here / "lab").mkdir()
    file = Path(beside) / "signoff.toml"
    match kind:
        case "a folder":
            file.mkdir()
        case "a pipe":
            os.mkfifo(file)
        case _:
            file.symlink_to("gone.toml" if "dangling" in kind else "signoff.toml")
    with pytest.raises(UsageError, match="the settings cannot be read: ") as refused:
        read({"manifests": ["lab"]})
    assert refused.value.where == str(file)


def test_a_name_that_no_file_can_have_is_no_folder_with_settings(here: Path) -> None:
    written(here, "port = 4001")
    assert read({"manifests": ["a" * 5000]}).settings.port == 4001


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('manifests = ["a", "b\\u0000"]', "manifests: 'b\\x00' must be the name of a file"),
        ('reports = "~a\\u0000"', "reports: '~a\\x00' must be the name of a file"),
        ('secrets = {a = "\\u0000"}', "secrets: 'a': '\\x00' must be the name of a file"),
        ('secrets = {"/a" = "a"}', "secrets: '/a' must be the name of a Secret, or NAMESPACE/NAME"),
        ('secrets = {"a/b/c" = "a"}', "secrets: 'a/b/c' must be the name of a Secret, or NAMESPACE/NAME"),
        (f"timeout = {10**29 - 1}", "timeout must be at most 86400"),
        (f"num_retries = {10**29 - 1}", "num_retries must be at most 1000"),
        (f"overhead_pairs = {10**29 - 1}", "overhead_pairs must be at most 100000"),
        ("overhead_limit_ms = 1e300", "overhead_limit_ms must be at most 100000"),
    ],
)
def test_what_nothing_can_be_is_refused_with_its_line(text: str, what: str, here: Path) -> None:
    written(here, f"\n{text}")
    with pytest.raises(UsageError) as refused:
        read({})
    assert refused.value.what.startswith(what)
    assert refused.value.where == "signoff.toml:2"


def test_a_file_that_is_no_utf_8_is_refused(here: Path) -> None:
    (here / "signoff.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(UsageError, match="not UTF-8 text") as refused:
        read({})
    assert refused.value.where == "signoff.toml"


@pytest.mark.parametrize(("path", "what"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_by_what_named_it(
    monkeypatch: pytest.MonkeyPatch, path: str, what: str
) -> None:
    with pytest.raises(UsageError, match=f"the settings cannot be read: {what}") as refused:
        read({}, path)
    assert refused.value.where == f"--settings {path}"
    monkeypatch.setenv("SIGNOFF_SETTINGS", path)
    with pytest.raises(UsageError) as refused:
        read({})
    assert refused.value.where == f"SIGNOFF_SETTINGS={path}"
    with pytest.raises(UsageError, match="--settings names nothing"):
        read({}, " ")


def test_a_mappings_own_place_is_named(here: Path) -> None:
    written(here, "[waive]\na = 'x'\nb = 'y'\n")
    assert read({}).where("waive", "b") == "signoff.toml:3"
    assert read({"waive": ["a=x", "b=y"]}).where("waive", "b") == "--waive b=y"


def test_a_key_is_never_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(here, f"api_key = '{SECRET}'\nport = 0\n")
    with pytest.raises(UsageError) as refused:
        read({})
    assert SECRET not in str(refused.value)
    written(here, f"api_key = '{SECRET}'\n")
    monkeypatch.setenv("SIGNOFF_API_KEY", f"{SECRET}-2")
    found = read({})
    assert found.settings.api_key.get_secret_value() == f"{SECRET}-2"
    assert found.where("api_key") == "SIGNOFF_API_KEY"
    assert SECRET not in repr(found)


def test_every_setting_has_a_variable_and_an_option_of_its_own() -> None:
    assert len({variable_of(name) for name in names()} | {option_of(name) for name in names()}) == 2 * len(
        list(names())
    )


def test_the_storys_values_are_those_of_its_declaration() -> None:
    checks = Declaration.read(ROOT / "features" / "story.yaml").filled(story_values(Settings())).story.checks
    told, wanted = Settings(), checks["configuration"].wants
    assert [told.routing_strategy, told.num_retries, told.timeout] == [
        wanted[name] for name in ("routing_strategy", "num_retries", "timeout")
    ]
