"""`signoff init` finds in manifests what the story does not say, and asks for what is not there."""

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from signoff.cli import main
from signoff.core.errors import REFUSED
from signoff.core.paths import ROOT
from signoff.settings.model import PREFIX
from tests.forks import Ended

SETS = Path(__file__).parent / "sets"
Capture = pytest.CaptureFixture[str]
GPU_NODE = "k3s-gpu-worker nvidia.com/gpu=true gpu=true:NoSchedule nvidia.com/gpu:1"
GPU = {"forbidden_by": "labels", "nodes": ["k3s-worker-01", "k3s-worker-02", GPU_NODE]}
IN_ONE_FILE = {"layout": {"all.yaml": ["ConfigMap", "Deployment", "Service"]}}
FOUND: dict[str, dict[str, Any]] = {
    "home": {
        "secrets": {"proxy-keys": "proxy-keys.env"},
        "stand_in": True,
        "host": "ai.house.example",
        "layout": {"proxy.yaml": ["Deployment", "Service", "ConfigMap"], "way-in.yaml": ["IngressRoute"]},
        **GPU,
    },
    "service": {
        "namespace": "llm",
        "stand_in": True,
        "port": 80,
        "layout": {"all.yaml": ["Secret", "ConfigMap", "StatefulSet", "Service"]},
    },
    "shell": {
        "namespace": "ai",
        "stand_in": True,
        "model": "org/other-model",
        "host": "ai.house.example",
        "allowed_nodes": ["nuc-1"],
        "layout": {"all.yaml": ["ConfigMap", "Deployment", "Service", "Ingress"]},
    },
    "list": {
        "secrets": {"router-env": "router-env.env"},
        "stand_in": True,
        "layout": {"gateway.yml": ["ConfigMap", "Deployment", "Service"]},
    },
    "nulls": {"stand_in": True, "forbidden_by": "forbidden-names", **IN_ONE_FILE},
    "replicas": {"stand_in": True, "allowed_nodes": ["nuc-1", "nuc-2"], **IN_ONE_FILE},
    "chart": {
        "namespace": "default",
        "stand_in": True,
        "layout": {"rendered.yaml": ["Secret", "ConfigMap", "Service", "Deployment"]},
    },
    "generated": {
        "stand_in": True,
        "layout": {"kustomization.yaml": ["ConfigMap"], "base.yaml": ["Service", "Deployment"]},
    },
}
"""What the settings of each set say beside where its manifests are."""
SECRETS = ("sk-of-the-service-set", "pass-of-the-set", "sk-of-the-chart-set", "c2stb2YtdGhlLWNoYXJ0LXNldA")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def lab(name: str) -> Path:
    """A copy of a set in the current folder, by its relative path."""
    return Path(shutil.copytree(SETS / name, name))


def settings_in(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "signoff.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.download) if each == "generated" else each for each in FOUND]
)
def test_what_is_found_is_set_and_every_reason_is_a_place(name: str, capfd: Capture) -> None:
    folder = lab(name)
    secrets = FOUND[name].get("secrets", {})
    assert main(["init", name]) == (1 if secrets else 0)
    assert settings_in(folder) == {"manifests": ["."], **FOUND[name]}
    assert len(settings_in(folder)) <= 10
    told = capfd.readouterr()
    assert told.err == ""
    assert str(folder.resolve()) not in told.out  # places are named from there
    lines = told.out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert lines[-1].endswith(f": signoff run --settings {name}/signoff.toml")
    written = (folder / "signoff.toml").read_text()
    for line in written.splitlines():
        if not line.startswith(("#", "manifests", "stand_in = true  # no vLLM")):
            file, _, number = line.rpartition("(")[2].rstrip(")").partition(":")
            assert int(number) <= len((folder / file).read_text().splitlines()), line
    assert not [each for each in SECRETS if each in told.out + written]


@pytest.mark.parametrize("name", [each for each in FOUND if each != "generated"])
def test_what_is_written_is_what_settings_and_a_run_take(name: str, capfd: Capture) -> None:
    folder = lab(name)
    for secret in FOUND[name].get("secrets", {}):
        (folder / f"{secret}.env").write_text("LITELLM_MASTER_KEY=sk-of-the-file\nMASTER=sk-of-the-file\n")
    assert main(["init", name]) == 0
    capfd.readouterr()
    assert main(["settings", "--settings", f"{name}/signoff.toml"]) == 0
    shown = {line.split()[-2 if line.startswith("*") else 0]: line for line in capfd.readouterr().out.splitlines()}
    assert any(f"{name}/signoff.toml:" in line for line in shown.values())


def test_it_says_what_it_found_with_file_and_line(capfd: Capture) -> None:
    lab("home")
    assert main(["init", "home"]) == 1
    told = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert told[:18] == [
        "Found in home:",
        "gateway Deployment/litellm proxy/proxy.yaml:1",
        "ghcr.io/berriai/litellm:main-v1.80.16-stable",
        "Service litellm, port 4000, ClusterIP proxy/proxy.yaml:23",
        "configuration ConfigMap/proxy-config, key config.yaml proxy/proxy.yaml:32",
        "model clients ask for big proxy/proxy.yaml:36",
        "Qwen/Qwen2.5-7B-Instruct-AWQ (openai) proxy/proxy.yaml:36",
        "backend Deployment/vllm-engine, Service engine engine/engine.yaml:1",
        "wants nvidia.com/gpu: the suite's stand… engine/engine.yaml:17",
        "namespace ml proxy/proxy.yaml:3",
        "key LiteLLM asks for none, unless Secret/proxy-keys holds one",
        "missing Secret/proxy-keys proxy/proxy.yaml:18",
        "nodes LiteLLM not where nvidia.com/gpu is set proxy/proxy.yaml:13",
        "vLLM where nvidia.com/gpu=true engine/engine.yaml:10",
        "vLLM tolerates gpu=true:NoSchedule engine/engine.yaml:12",
        "way in IngressRoute/litellm, http://ai.house.exa… proxy/way-in.yaml:6",
        "layout no Certificate of LiteLLM's was found, which the story has",
        "Wrote: home/signoff.toml, 7 settings",
    ]
    assert "Write home/proxy-keys.env with the values of the Secret proxy-keys" in " ".join(told)


def test_hooks_and_the_labels_of_a_chart_are_said_and_not_set(capfd: Capture) -> None:
    folder = lab("chart")
    assert main(["init", "chart"]) == 0
    told = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "not run Job/gw-migrations (pre-install hook) rendered.yaml:37" in told
    assert "Pod/gw-test (test hook) rendered.yaml:42" in told
    assert "key from Secret/gw-key rendered.yaml:13" in told
    written = (folder / "signoff.toml").read_text()
    assert "# Job/gw-migrations is not run: a hook that prepares a database" in written
    suggested = next(line for line in written.splitlines() if line.startswith("# labels"))
    assert tomllib.loads(suggested.removeprefix("# "))["labels"] == {
        "app.kubernetes.io/name": "litellm",
        "app.kubernetes.io/instance": "gw",
    }


def test_where_nothing_leads_to_litellm_a_waiver_is_suggested_and_not_set(capfd: Capture) -> None:
    folder = lab("nulls")
    main(["init", "nulls"])
    told = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "way in none: no IngressRoute, Ingress or HTTPRoute leads to LiteLLM" in told
    written = (folder / "signoff.toml").read_text()
    suggested = next(line for line in written.splitlines() if line.startswith("# waive"))
    assert tomllib.loads(suggested.removeprefix("# "))["waive"] == {"way-in": "no ingress leads to LiteLLM"}
    assert "waive" not in tomllib.loads(written)


def test_the_next_command_is_pytest_where_the_features_are(here: Path, capfd: Capture) -> None:
    (here / "features").mkdir()
    (here / "features" / "story.yaml").touch()
    shutil.copytree(SETS / "nulls", "my lab")
    assert main(["init", "my lab"]) == 0
    assert capfd.readouterr().out.endswith("Next: pytest features/ --settings 'my lab/signoff.toml'\n")


def test_several_folders_and_files_are_named_from_beside_the_first(here: Path) -> None:
    lab("home")
    assert main(["init", "home/proxy/proxy.yaml", "home/engine", "home/proxy/way-in.yaml"]) == 1
    assert settings_in(here / "home" / "proxy")["manifests"] == ["proxy.yaml", "../engine", "way-in.yaml"]


# --- standard input


Piped = Callable[..., Ended]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> Piped:
    """`signoff init -` with this on its standard input."""

    def run(data: bytes, *arguments: str) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return Ended(main(["init", "-", *arguments]), *capfd.readouterr())

    return run


def test_what_opens_litellm_beyond_the_cluster_is_said_and_not_wanted_unasked() -> None:
    folder = lab("service")
    assert main(["init", "service"]) == 0
    (line,) = [each for each in (folder / "signoff.toml").read_text().splitlines() if "NodePort" in each]
    assert re.fullmatch(
        r'# service_type = "NodePort"  # open beyond the cluster, in place of the story\'s \(\S+:\d+\)', line
    )


def test_a_rendered_chart_is_kept_beside_its_settings(here: Path, piped: Piped) -> None:
    rendered = (SETS / "chart" / "rendered.yaml").read_bytes()
    done = piped(rendered)
    assert (done.status, done.stderr) == (0, "")
    assert settings_in(here) == {"manifests": ["rendered.yaml"], **FOUND["chart"]}
    assert (here / "rendered.yaml").read_bytes() == rendered
    assert (here / "rendered.yaml").stat().st_mode & 0o777 == 0o600  # it holds Secrets
    assert "not run        Job/gw-migrations (pre-install hook)  rendered.yaml:37" in done.stdout
    assert sorted(each.name for each in here.iterdir()) == ["rendered.yaml", "signoff.toml"]

    changed = rendered.replace(b"busybox", b"busybox:2")
    other = piped(changed)
    assert other.status == 4 and "there is another rendered.yaml, and it stays" in other.stderr
    assert (here / "rendered.yaml").read_bytes() == rendered
    assert piped(changed, "--force").status == 0
    assert (here / "rendered.yaml").read_bytes() == changed


@pytest.mark.parametrize(
    ("data", "arguments", "said"),
    [
        (b" \n", [], "standard input is empty\n  where: -\n  next:  see whether `helm template"),
        (b"a: [", [], "not valid YAML: expected the node content, but found '<stream end>'\n  where: standard input:1"),
        (b"a: b", ["more"], "standard input is looked at alone\n  where: - more"),
    ],
)
def test_what_is_no_manifest_on_standard_input_is_refused(
    here: Path, piped: Piped, data: bytes, arguments: list[str], said: str
) -> None:
    done = piped(data, *arguments)
    assert done.status == 4
    assert done.stderr.startswith(f"signoff: {said}")
    assert done.stdout == "" and not list(here.iterdir())


# --- what is there already


def test_settings_that_say_something_else_stay(capfd: Capture) -> None:
    folder = lab("service")
    before = "namespace = 'mine'\napi_key = 'sk-my-own-key-of-this-lab'\n"
    (folder / "signoff.toml").write_text(before)
    assert main(["init", "service"]) == 4
    told = capfd.readouterr()
    assert "-namespace = 'mine'" in told.out and '+namespace = "llm"' in told.out
    assert "there are settings that say something else, and they stay\n  where: service/signoff.toml" in told.err
    assert "--force" in told.err
    assert "sk-my-own-key" not in told.out + told.err
    assert (folder / "signoff.toml").read_text() == before

    assert main(["init", "service", "--force"]) == 0
    assert settings_in(folder)["namespace"] == "llm"


def test_of_settings_that_nobody_can_read_no_key_is_shown(capfd: Capture) -> None:
    folder = lab("service")
    for before in (b"api_key = 'sk-my-half-written-key\n", b"\xff"):
        (folder / "signoff.toml").write_bytes(before)
        assert main(["init", "service"]) == 4
        told = capfd.readouterr()
        assert "half" not in told.out + told.err
        assert (folder / "signoff.toml").read_bytes() == before


def test_a_link_that_leads_nowhere_stays(capfd: Capture) -> None:
    file = lab("service") / "signoff.toml"
    file.symlink_to("gone.toml")
    assert main(["init", "service"]) == REFUSED
    assert "there is a file of settings that cannot be read" in capfd.readouterr().err
    assert file.is_symlink()


def test_settings_that_say_the_same_are_left_alone(capfd: Capture) -> None:
    folder = lab("service")
    assert main(["init", "service"]) == 0
    before = (folder / "signoff.toml").stat()
    assert main(["init", "service"]) == 0
    assert "Unchanged: service/signoff.toml, 5 settings" in capfd.readouterr().out
    assert (folder / "signoff.toml").stat() == before


# --- what cannot be told


def second(folder: Path, old: str, new: str, file: str) -> None:
    """Another workload like one that is there."""
    text = (folder / file).read_text()
    (folder / "second.yaml").write_text(
        next(each for each in text.split("---\n") if "kind: Deployment" in each).replace(old, new)
    )


def test_of_several_gateways_none_is_chosen_without_a_person(capfd: Capture) -> None:
    folder = lab("chart")
    second(folder, "gw-litellm", "other-litellm", "rendered.yaml")
    assert main(["init", "chart"]) == 1
    told = capfd.readouterr()
    question = "Several workloads run LiteLLM: Deployment/gw-litellm and"
    assert "Which one is to be judged? Set `gateway`." in " ".join(told.out.split()), question
    written = (folder / "signoff.toml").read_text()
    assert "# Open: Several workloads run LiteLLM: gw-litellm and other-litellm. Which one" in written
    assert '# gateway = "gw-litellm"  # one of gw-litellm, other-litellm (rendered.yaml:21, second.yaml:1)' in written
    assert "gateway" not in settings_in(folder)


def test_of_several_models_the_first_is_taken_and_said(capfd: Capture) -> None:
    folder = lab("shell")
    file = folder / "all.yaml"
    entry = "      - {model_name: x, litellm_params: {model: openai/org/second, api_base: 'http://vllm-api.ml.svc:8000/v1'}}"
    file.write_text(file.read_text().replace("---", f"{entry}\n---", 1))
    assert main(["init", "shell"]) == 0
    assert settings_in(folder)["model"] == "org/other-model"
    assert "Which model does vLLM serve, org/other-model or org/second? Set `model`." in " ".join(
        capfd.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [("nuc-1", "NUC_1", "allowed_nodes"), ("ai.house.example", "'*.house.example'", "host")],
)
def test_what_no_run_would_take_is_for_a_person_to_look_at(old: str, new: str, name: str, capfd: Capture) -> None:
    folder = lab("shell")
    file = folder / "all.yaml"
    file.write_text(file.read_text().replace(old, new))
    assert main(["init", "shell"]) == 0
    assert f"`{name}` cannot be" in " ".join(capfd.readouterr().out.split())
    assert name not in settings_in(folder)
    assert main(["settings", "--settings", "shell/signoff.toml"]) == 0


def test_what_a_run_would_refuse_is_said_and_the_settings_are_there(capfd: Capture) -> None:
    folder = lab("nulls")
    file = folder / "all.yaml"
    file.write_text(file.read_text().replace("image: ghcr.io/berriai/litellm:main-v1.80.16-stable", "image: envoy:v1"))
    assert main(["init", "nulls"]) == 1
    told = " ".join(capfd.readouterr().out.split())
    assert "Before a run: - no recipe for image envoy:v1" in told
    assert told.endswith("Then: signoff run --settings nulls/signoff.toml")
    assert settings_in(folder)["stand_in"] is True


# --- refusals


def test_what_cannot_be_looked_at_is_refused_in_a_sentence(here: Path, capfd: Capture) -> None:
    (here / "empty").mkdir()
    lab("nulls")
    file = here / "nulls" / "all.yaml"
    whole = file.read_text()
    for name, text, said in (
        ("nowhere", whole, "the folder of manifests is not there\n  where: nowhere"),
        ("empty", whole, "there are no manifests here\n  where: empty"),
        ("nulls", "a: [", "not valid YAML: expected the node content, but found '<stream end>'"),
        ("nulls", whole.replace("kind: Deployment", "kind: ConfigMap"), "no manifest is a Deployment or StatefulSet"),
        ("nulls", whole.replace("config.yaml: |", "other.yaml: |"), "LiteLLM's configuration is in no ConfigMap"),
    ):
        file.write_text(text)
        assert main(["init", name]) == 4
        told = capfd.readouterr()
        assert told.err.startswith(f"signoff: {said}") and "\n  next:  " in told.err
        assert told.out == ""
    assert not list(here.rglob("signoff.toml"))


def test_a_folder_that_cannot_be_written_is_refused(capfd: Capture) -> None:
    """One in which root cannot either."""
    assert main(["init", "/proc/self"]) == 4
    told = capfd.readouterr()
    assert told.err.startswith("signoff: the settings cannot be written: nothing can be made in /proc/self (")
    assert "\n  where: /proc/self/signoff.toml\n  next:  copy the manifests" in told.err
    assert told.out == ""


def test_its_help_teaches_by_two_examples(capfd: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["init", "--help"])
    told = " ".join(capfd.readouterr().out.split())
    assert "`signoff init ~/home-lab/apps`" in told and "`helm template gw CHART | signoff init -`" in told


# --- on a terminal


class Terminal:
    """`signoff init` on a terminal, whose keys are pressed one line at a time once it asks."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "signoff.cli", "init", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's & has it ignore
        )
        os.close(theirs)
        self.said = ""

    def until(self, text: str) -> str:
        """What is said until this is."""
        before = len(self.said)
        while text not in self.said[before:]:
            if not (data := self._read()):
                raise AssertionError(f"never says {text!r}: {self.said}")
            self.said += data
        return self.said[before:]

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        """By a second signal too: Python hears one that comes right before a read only when another ends that."""
        self._process.send_signal(signal.SIGINT)
        if not select.select([self._ours], [], [], 3)[0]:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """The exit status, once all is said."""
        while data := self._read():
            self.said += data
        os.close(self._ours)
        return self._process.wait()

    def _read(self) -> str:
        if not select.select([self._ours], [], [], 60)[0]:
            self._process.kill()
            raise AssertionError(f"says no more: {self.said}")
        try:
            return os.read(self._ours, 4096).decode()
        except OSError:  # nobody writes to it any more
            return ""


def answered(terminal: Terminal, answers: Sequence[tuple[str, str]]) -> Iterator[str]:
    for question, answer in answers:
        yield terminal.until(question)
        terminal.press(f"{answer}\n")


def test_on_a_terminal_a_person_is_asked(here: Path) -> None:
    folder = lab("shell")
    file = folder / "all.yaml"
    text = file.read_text().replace(
        "          ports:", "          envFrom: [{secretRef: {name: keys}}]\n          ports:"
    )
    kind = "kind: Deployment\nmetadata: {name: "
    file.write_text(text.replace(f"{kind}litellm", f"{kind}one"))
    second(folder, f"{kind}one", f"{kind}two", "all.yaml")
    (here / "my.env").write_text("A=b\n")
    terminal = Terminal("shell")
    which = "Several workloads run LiteLLM: one and two. Which one is to be judged? [one] "
    answers = [
        (which, "three"),
        (f"There is no three.\r\n{which}", ""),
        ("Which model does vLLM serve? [org/other-model] ", "org/mine"),
        ("Which file has the values of the Secret keys? [shell/keys.env] ", "my.env"),
    ]
    seen = list(answered(terminal, answers))
    assert "Found in shell:" in seen[0] and "missing" in seen[-1]
    assert terminal.end() == 0
    found = settings_in(folder)
    assert (found["gateway"], found["model"], found["secrets"]) == ("one", "org/mine", {"keys": "../my.env"})


def test_enter_takes_each_answer_and_the_end_of_input_leaves_it_open() -> None:
    folder = lab("home")
    terminal = Terminal("home")
    terminal.until("[home/proxy-keys.env] ")
    terminal.press("\x04")
    assert terminal.end() == 1
    assert settings_in(folder)["secrets"] == {"proxy-keys": "proxy-keys.env"}


def test_ctrl_c_leaves_nothing_behind(here: Path) -> None:
    folder = lab("home")
    before = sorted(folder.rglob("*"))
    terminal = Terminal("home")
    terminal.until("[home/proxy-keys.env] ")
    terminal.interrupt()
    assert terminal.end() == 130
    assert sorted(folder.rglob("*")) == before
    assert "Traceback" not in terminal.said


def test_standard_input_that_is_a_terminal_is_not_waited_for(here: Path) -> None:
    terminal = Terminal("-")
    assert terminal.end() == 4
    assert "there are no manifests on standard input" in terminal.said
    assert not list(here.iterdir())
