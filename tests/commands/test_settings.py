"""`signoff settings` shows each value and where it comes from, and no key."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from signoff import cli
from signoff.core.errors import REFUSED
from signoff.core.paths import ROOT
from signoff.settings import Settings, arguments
from signoff.settings.model import PREFIX, described, names
from signoff.settings.reading import option_of, variable_of
from tests.docs.pages import DOCS, Page

KEY = "sk-the-key-of-this-house"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(output: str) -> dict[str, str]:
    """The lines by their setting, each with its mark first."""
    lines = [line for line in output.splitlines()[1:] if not line.startswith("* is")]
    return {line[3:].split()[0]: f"{line[0]}{' '.join(line[3:].split()[1:])}" for line in lines}


def test_each_value_is_shown_with_where_it_comes_from(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "lab").mkdir()
    (here / "lab" / "signoff.toml").write_text("namespace = 'ai'\nreports = 'out'\n")
    monkeypatch.setenv("SIGNOFF_OVERHEAD_LIMIT_MS", "500")
    assert cli.main(["settings", "--manifests", "lab", "--port", "4001", "--waive", "way-in=none here"]) == 0
    output = capsys.readouterr().out
    shown = rows(output)
    assert list(shown) == list(names())
    assert shown["manifests"] == " lab --manifests lab"
    assert shown["namespace"] == "*ai lab/signoff.toml:1 (the story's: ml)"
    assert shown["reports"] == " lab/out lab/signoff.toml:2"
    assert shown["port"] == "*4001 --port 4001 (the story's: 4000)"
    assert shown["overhead_limit_ms"] == "*500 SIGNOFF_OVERHEAD_LIMIT_MS=500 (the story's: 100)"
    assert shown["waive"] == " way-in=none here --waive way-in=none here"
    assert shown["model"] == " Qwen/Qwen2.5-7B-Instruct-AWQ the story"
    assert shown["litellm_image"] == " the manifests' own the default"
    assert output.endswith("* is not the story's\n")
    assert "\x1b" not in output


def test_nothing_is_marked_where_all_is_the_storys(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    assert "*" not in capsys.readouterr().out


def test_it_has_colour_on_a_terminal_alone() -> None:
    ours, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "signoff.cli", "settings", "--port", "4001"]
    with subprocess.Popen(command, stdout=terminal, env={**environment, "PYTHONPATH": str(ROOT)}):
        os.close(terminal)
        output = b"".join(iter(lambda: read_some(ours), b"")).decode()
    os.close(ours)
    coloured = [line for line in output.splitlines() if "\x1b" in line]
    assert len(coloured) == 1 and "port" in coloured[0]


def read_some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody writes to it any more
        return b""


def test_a_key_is_not_shown(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "signoff.toml").write_text(f"api_key = '{KEY}'\n")
    assert cli.main(["settings"]) == 0 and cli.main(["settings", "--json"]) == 0
    monkeypatch.setenv("SIGNOFF_API_KEY", f"{KEY}-2")
    assert cli.main(["settings"]) == 0
    output = capsys.readouterr().out
    assert KEY not in output
    assert "[redacted]" in output and "signoff.toml:1" in output and "SIGNOFF_API_KEY\n" in output


def test_it_is_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "--json", "--port", "4001", "--secret", "a=b.env"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["port"] == {"value": 4001, "origin": "--port 4001", "story": 4000}
    assert told["secrets"] == {"value": {"a": "b.env"}, "origin": "--secret a=b.env"}
    assert told["namespace"] == {"value": "ml", "origin": "the story"}
    assert told["api_key"] == {"value": "", "origin": "the default"}


def test_what_is_wrong_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "signoff.toml").write_text("namespce = 'ai'\n")
    assert cli.main(["settings"]) == REFUSED
    assert "signoff.toml:1" in capsys.readouterr().err


def test_its_help_describes_every_option_with_the_storys_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["settings", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for name in arguments.WITH_OPTION:
        assert f"{option_of(name)} " in told and variable_of(name) in told
    assert "--api-key" not in told
    assert "(default: SIGNOFF_PORT or 4000)" in told


def test_the_document_describes_every_setting_in_its_own_words() -> None:
    lines = Page(DOCS / "settings.md").text.splitlines()
    table = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| `")]
    assert [(name, said) for name, _, said in table] == [(f"`{name}`", described(name)) for name in names()]
    assert len(table) == len(Settings.model_fields)
