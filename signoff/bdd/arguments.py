"""The options that a run of the features has beside pytest's own."""

from collections.abc import Callable
from typing import Any

from signoff import options


def declare(add: Callable[..., Any]) -> None:
    """Add each to pytest, or to the help of `signoff run`: `add` is `addoption` or `add_argument`, which are alike."""
    options.declare_settings(add)
    add("--attach", metavar="NAME", help=options.ATTACH_HELP)
    add("--trust", action="store_true", help=options.TRUST_HELP)
    add("--allow-context", metavar="NAME", help=options.ALLOW_CONTEXT_HELP)
    add("--allow", action="append", default=[], metavar="RIGHT", help=options.ALLOW_HELP)
    add("--as-copy", action="store_true", help=options.AS_COPY_HELP)
    add("--dry-run", action="store_true", help=options.DRY_RUN_HELP)
    add(
        "--keep-cluster",
        action="store_true",
        help="leave the cluster running at the end and say how to use and remove it",
    )
    add("--fresh-cluster", action="store_true", help="start a new cluster even where a kept one could be used")
