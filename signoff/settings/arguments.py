"""The options of the settings, for a command and for pytest alike."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from signoff.settings.model import OF_NODES, Settings, default_of, described, form, holds_several, is_secret, names
from signoff.settings.reading import FILE, OPTION, VARIABLE, Read, option_of, read, variable_of
from signoff.settings.shown import text

WITH_OPTION = tuple(name for name in names() if not is_secret(name))
"""The settings that an option sets: everybody on a machine can read its command lines, so that a key is no option."""
DEPLOYMENT = (
    *("manifests", "secrets", "cluster", "kube_context", "cluster_uid", "litellm_image", "vllm_image"),
    *("namespace", "gateway", "service", "backend", "model", "asked_model"),
    *OF_NODES,
    "nodes",
)
"""The settings of what is deployed and where, for commands that judge no story."""
_FILE = "settings_file"


def declare(
    add: Callable[..., Any],
    which: Iterable[str] = WITH_OPTION,
    about: Mapping[str, str] | None = None,
    also: Mapping[str, str] | None = None,
) -> None:
    """Add the option of each setting, and --settings: `add` is `addoption` or `add_argument`, which are alike.

    `about` says more of a setting than its description, and `also` is another option that sets it.
    """
    add(
        OPTION,
        dest=_FILE,
        metavar="FILE",
        help=f"a file of settings (default: {VARIABLE}, or {FILE} beside the manifests or here)",
    )
    for name in which:
        add(
            option_of(name),
            *([also[name]] if also and name in also else []),
            dest=_destination(name),
            action="append",
            metavar=_metavar(name),
            help=(about or {}).get(name) or _help(name),
        )


def read_from(options: argparse.Namespace) -> Read:
    """The settings, with what was given on a command line.

    Raises:
        UsageError: a value or a name is wrong, or the file cannot be read.
    """
    given = {name: getattr(options, _destination(name), None) for name in WITH_OPTION}
    return read(given, getattr(options, _FILE, None))


def _destination(name: str) -> str:
    """One that no other plug-in of pytest has."""
    return f"setting_{name}"


def _metavar(name: str) -> str:
    annotation = Settings.model_fields[name].annotation
    if form(name):
        return form(name)
    if Path in (annotation, *get_args(annotation)):
        return "PATH"
    return "N" if annotation in (int, float) else name.rpartition("_")[2].removesuffix("s").upper()


def _help(name: str) -> str:
    again = "; may be given again" if holds_several(name) else ""
    return f"{described(name)}{again} (default: {variable_of(name)} or {text(name, default_of(name))})"
