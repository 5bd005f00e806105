"""What the documents tell a reader to type: it is run here, or in the workflow, or at least has those options.

A block of `sh` is run as it stands. The word behind `sh` says why one is not: `cluster` (it needs a cluster, Docker or
the internet) or `ci` (it is a job of its own in continuous integration).
"""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pytest

from signoff import cli
from signoff.core.paths import ROOT
from tests.docs.pages import FENCES, PAGES, Fence

SHELL = [fence for fence in FENCES if fence.language == "sh"]
LANGUAGES = {"sh", "text", "yaml", "toml", "json", "gherkin", "python", "mermaid"}
OPTIONS_OF_LOCUST = (
    Path(str(distribution("locust").locate_file("locust/argument_parser.py"))),
    ROOT / "signoff" / "in_cluster" / "load_generator" / "options.py",
)
"""Its own, and bench/'s. Nothing of it is imported or started: it patches sockets, and takes seconds."""
CI = (ROOT / ".ci" / "run", *sorted((ROOT / ".github" / "workflows").glob("*.yml")))
BETWEEN = {"&&", "||", "|", ";"}
INHERITED = {name: value for name, value in os.environ.items() if not name.startswith("SIGNOFF_")}
ENVIRONMENT = {**INHERITED, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""A reader's, whose virtual environment is active and who has set nothing of the suite's."""
OURS = re.compile(r"signoff (?P<arguments>[^|&;<>$#\\]+)(?P<fails>\|\| true)?\s*(#.*)?")
"""A line that is run in this process, where its imports are paid for once, and that may fail if it says so."""


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_a_block_says_what_it_is(fence: Fence) -> None:
    assert fence.language in LANGUAGES, f"{fence.where}: is it a command? Then it is `sh`"
    assert fence.marks in ([(), ("cluster",), ("ci",)] if fence.language == "sh" else [()]), fence.where


@pytest.mark.parametrize("fence", [each for each in SHELL if not each.marks], ids=str)
def test_a_command_without_a_cluster_works(
    fence: Fence, desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in set(os.environ) - set(INHERITED):
        monkeypatch.delenv(name)
    monkeypatch.chdir(desk)
    ours = [OURS.fullmatch(line) for line in fence.text.splitlines()]
    if all(ours):
        failed = [
            each[0] for each in filter(None, ours) if cli.main(shlex.split(each["arguments"])) and not each["fails"]
        ]
    else:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", fence.text], env=ENVIRONMENT, timeout=300, check=False)
        failed = [fence.text] if done.returncode else []
    assert not failed, f"{fence.where}: {failed}\n{''.join(capfd.readouterr())}"


@pytest.mark.parametrize("fence", [each for each in SHELL if "ci" in each.marks], ids=str)
def test_a_command_of_continuous_integration_is_run_there(fence: Fence) -> None:
    jobs = "\n".join(path.read_text(encoding="utf-8") for path in CI)
    for words in commands(fence.text):
        assert " ".join(words) in jobs, f"{fence.where}: no job of .ci/run or the workflow runs it"


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a script, each as its words, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.replace('"$(', "").replace(')"', ""), posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in BETWEEN:
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


SHOWN = [(fence.where, words) for fence in SHELL for words in commands(fence.text)] + [
    (str(page), words)
    for page in PAGES
    for code in page.code()
    if page.path.name != "CHANGELOG.md"  # which speaks of the past
    if code.split() and code.split()[0] in ("signoff", "pytest", "locust", "make", "python")
    for words in commands(code)
]


def test_a_command_has_the_options_that_a_document_gives_it() -> None:
    assert [f"{where}: {lacking}" for where, words in SHOWN for lacking in lacking_in(words)] == []


def lacking_in(words: list[str]) -> Iterator[str]:
    """The options of a command that its program has not."""
    program = called(words)
    options = [word.partition("=")[0] for word in words[len(program) :] if word.startswith("--")]
    ours = options[: options.index("--")] if "--" in options else options
    for option in ours if program else []:
        if option not in help_of(program):
            yield f"{' '.join(program)} has no {option}"


def called(words: list[str]) -> tuple[str, ...]:
    """The program with its subcommand, as help is asked for; empty for one that isn't ours."""
    match words:
        case ["signoff", ("parity" | "cluster") as command, str(verb), *_] if verb.isalpha():
            return ("signoff", command, verb)
        case ["signoff", str(command), *_] if not command.startswith("-"):
            return ("signoff", command)
        case ["pytest", str(what), *_] if what.startswith("features"):
            return ("pytest", "features")
        case ["locust", *_]:
            return ("locust", "-f", "bench/")
        case ["python", "-m", str(module), *_] if module.startswith("scripts."):
            return ("python", "-m", module)
    return ()


@cache
def help_of(program: tuple[str, ...]) -> str:
    """Where its options are written: what it says of itself, or its source."""
    match program:
        case ("python", "-m", module):
            return Path(ROOT, *module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        case ("signoff", *command):
            return help_of_command(command)
        case ("pytest", "features"):
            return help_of_command(["run"])
        case ("locust", "-f", _):
            return "".join(each.read_text(encoding="utf-8") for each in OPTIONS_OF_LOCUST)
    raise AssertionError(f"nobody knows the options of {' '.join(program)}")


def help_of_command(command: Sequence[str]) -> str:
    """In this process, where its imports are paid for once."""
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        sys.exit(cli.main([*command, "--help"]))
    assert ended.value.code == 0, f"signoff has no {' '.join(command)}"
    return printed.getvalue()


@pytest.mark.parametrize("target", sorted({words[1] for _, words in SHOWN if words[0] == "make" and len(words) > 1}))
def test_a_target_of_make_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
