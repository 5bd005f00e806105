"""The options that a run of the features has beside pytest's own."""

from collections.abc import Callable
from typing import Any

from signoff import options
from signoff.core.paths import MANIFESTS, REPORTS
from signoff.story import waivers


def declare(add: Callable[..., Any]) -> None:
    """Add each to pytest, or to the help of `signoff run`: `add` is `addoption` or `add_argument`, which are alike."""
    add(
        "--cluster",
        metavar="NAME",
        default=None,
        help=options.CLUSTER_HELP,
    )
    add("--attach", metavar="NAME", help=options.ATTACH_HELP)
    add(
        "--keep-cluster",
        action="store_true",
        help="leave the cluster running at the end and say how to use and remove it",
    )
    add("--fresh-cluster", action="store_true", help="start a new cluster even where a kept one could be used")
    add("--manifests", metavar="PATH", default=str(MANIFESTS), help=options.MANIFESTS_HELP)
    add(
        "--litellm-image",
        metavar="IMAGE",
        help=f"LiteLLM's image (default: {options.LITELLM_IMAGE} or the manifests' own)",
    )
    add("--vllm-image", metavar="IMAGE", help=f"vLLM's image (default: {options.VLLM_IMAGE} or the manifests' own)")
    add("--reports", metavar="DIR", default=str(REPORTS), help="where to write the run's folder (default: reports)")
    add(
        waivers.OPTION,
        action="append",
        default=[],
        metavar="CHECK=REASON",
        help="leave a check of the story out of the sign-off, which every page then says; may be given several times",
    )
    add(
        "--overhead-pairs",
        metavar="N",
        type=int,
        default=400,
        help="time at most this many pairs of direct and proxied requests; above 400, it ends when the intervals are "
        f"narrow enough (default: 400, at least {options.MIN_PAIRS}; below 400 the story's overhead is not judged)",
    )
