"""`signoff run`: the features, wherever the suite is installed, as `pytest features/` runs them in a checkout."""

import argparse
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from signoff.bdd import arguments
from signoff.bdd.steps import add_steps, own_steps
from signoff.core.errors import UsageError
from signoff.core.paths import FEATURES, SUITE
from signoff.story.declaration import FILE, features_at, file_above

_OWN = Path("features")
_HELP = ("-h", "--help")


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    # No argument begins with a NUL: all of them go to pytest as they are, in their order.
    parser = commands.add_parser("run", help="judge the story: run its features", prefix_chars="\0", add_help=False)
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the features; returns the verdict's exit status, or pytest's own where nothing was judged."""
    if not set(_HELP).isdisjoint(options.arguments):
        _explained().print_help()
        return 0
    return int(pytest.main(_for_pytest(options.arguments)))


def _explained() -> argparse.ArgumentParser:
    """What only has a help: pytest reads the command line."""
    parser = argparse.ArgumentParser(
        prog="signoff run",
        usage="signoff run [FEATURES ...] [option of pytest ...]",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"""\
Run features and end with the verdict on their story: like `pytest features/` in a checkout.

FEATURES, which come first, are .feature files and folders of them:
  none               features/ of this folder if it has a {FILE}, else those that come with the suite
  with a {FILE}  beside or above them, they are run and judged as that story
  without            they are run together with the suite's, and count for its story

All of them can use the suite's steps. Your own are the modules of every folder steps/ beside your features or above
them, up to this folder (to their story's, if that lies elsewhere), else of the one beside their story's folder; they
can import the suite's as `steps.chat`. pytest reads conftest.py as always.""",
        epilog=f"""\
Every other option is pytest's: -x, -k placement, -m AC3, --collect-only -q, ... `pytest --help` lists them. Its
settings are those of {SUITE / "pyproject.toml"}; -c names others.

For example: signoff run --keep-cluster -k placement""",
    )
    parser.add_argument("features", nargs="*", metavar="FEATURES", help=argparse.SUPPRESS)
    group = parser.add_argument_group("options of the suite")
    group.add_argument(*_HELP, action="help", help="show this help and exit")
    arguments.declare(group.add_argument)
    return parser


def _for_pytest(asked: Sequence[str]) -> list[str]:
    """The command line of pytest: where everything is, what is run, and the options that were given."""
    named = list(takewhile(lambda each: not each.startswith("-"), asked))
    given = asked[len(named) :]
    if not named and (_OWN / FILE).is_file():
        named = [str(_OWN)]
    here = Path.cwd()
    own = {each: _features(here, each) for each in named}
    features = [feature for found in own.values() for feature in found]
    if not any(map(file_above, features)):
        # By their files: a folder around the virtual environment would take in the suite's, which pytest skips there.
        named = [str(FEATURES), *(str(file) for each in named for file in ([each] if "::" in each else own[each]))]
    of_the_suite = all(each.is_relative_to(SUITE) for each in features)
    root = SUITE if of_the_suite else Path(os.path.commonpath([here, *features]))
    for folder in own_steps(features, here):
        add_steps(folder)
    return [
        *("-c", str(SUITE / "pyproject.toml")),
        *("--rootdir", str(root), "--confcutdir", str(root)),
        *("-o", f"cache_dir={here / '.pytest_cache'}"),  # below the root it would be within the wheel
        *("-p", "signoff.bdd.suite"),
        *named,
        *given,
    ]


def _features(here: Path, named: str) -> list[Path]:
    """The features of a file, one scenario of it or a folder, as named from here."""
    found = features_at(here / named.partition("::")[0])
    if not found:
        raise UsageError(
            "there is no feature", where=named, hint="name .feature files or folders of them, and then options"
        )
    return found
