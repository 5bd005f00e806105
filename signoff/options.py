"""What a run is asked for, checked in a moment: before a folder is made, a thread begins or a cluster starts.

Some options that are not given are set by a variable of the environment, unless that is empty.
"""

import argparse
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from signoff.cluster import registry
from signoff.cluster.base import Cluster
from signoff.cluster.registry import ABOUT, DEFAULT, NAMES
from signoff.core.errors import SignoffError, UsageError, refusing
from signoff.core.paths import check_cache, check_reports
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import containers
from signoff.stats.estimate import MIN_OBSERVATIONS

MIN_PAIRS = MIN_OBSERVATIONS
CLUSTER, LITELLM_IMAGE, VLLM_IMAGE = "SIGNOFF_CLUSTER", "SIGNOFF_LITELLM_IMAGE", "SIGNOFF_VLLM_IMAGE"
"""The variables."""
CLUSTER_HELP = f"where to run (default: {CLUSTER} or {DEFAULT}). {ABOUT}"
MANIFESTS_HELP = "the manifests of vLLM and LiteLLM: a file, or a folder of any layout (default: manifests)"
ATTACH_HELP = "use the running cluster of this name or folder, and leave it running"


@dataclass(frozen=True)
class Setting:
    """A value and, for a person, where it comes from: `--vllm-image x` or `SIGNOFF_VLLM_IMAGE=x`.

    The value is empty, and so is where it comes from, if neither the option nor the variable is set.
    """

    value: str = ""
    where: str = ""

    @classmethod
    def of(cls, option: str, given: str | None, variable: str = "") -> "Setting":
        """What was given for an option; None if nothing was, and then its variable counts, if it has one.

        Raises:
            UsageError: the option names nothing, as an unset variable of a script makes it.
        """
        if given is not None:
            if not given.strip():
                raise UsageError(f"{option} names nothing", where=f"{option} {given!r}", hint=f"leave {option} out")
            return cls(given, f"{option} {given}")
        value = os.environ.get(variable, "").strip()
        return cls(value, f"{variable}={value}") if value else cls()


@dataclass(frozen=True)
class ClusterChoice:
    """Which cluster a command was asked for: that of `attach`, else one of the provider `cluster`."""

    cluster: Setting
    attach: Setting

    @classmethod
    def of(cls, cluster: str | None, attach: str | None = None) -> "ClusterChoice":
        """What was given for --cluster and --attach; None if nothing was.

        Raises:
            UsageError: there is no such kind of cluster, or an option names nothing.
        """
        return cls(cluster_of(cluster), Setting.of("--attach", attach))

    @property
    def attached(self) -> Path | None:
        """The running cluster to use, by its folder or name."""
        return Path(self.attach.value) if self.attach.value else None

    def open_cluster(self, images: Mapping[str, Collection[str]]) -> Cluster:
        """Open it; the images are those that pods will ask for, with the nodes that these may run on.

        Raises:
            SignoffError: it cannot be had.
        """
        return registry.open_cluster(self.cluster.value, self.attached, images)


def add_cluster_option(parser: argparse.ArgumentParser) -> None:
    """Add --cluster; its value is for `ClusterChoice.of`."""
    parser.add_argument("--cluster", choices=NAMES, help=CLUSTER_HELP)


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add --cluster and --attach; their values are for `ClusterChoice.of`."""
    add_cluster_option(parser)
    parser.add_argument("--attach", metavar="NAME", help=ATTACH_HELP)


@dataclass(frozen=True)
class Chosen:
    """What a run of the features was asked for, with what the environment and the defaults add."""

    cluster: str
    attach: Path | None
    keep: bool
    fresh: bool
    manifests: StoryManifests
    litellm_image: str
    """Empty: the manifests' own."""
    vllm_image: str
    reports: Path
    overhead_pairs: int


def check(  # noqa: PLR0913 - one for each option
    *,
    cluster: str | None,
    attach: str | None,
    keep: bool,
    fresh: bool,
    manifests: Path,
    litellm_image: str | None,
    vllm_image: str | None,
    reports: Path,
    overhead_pairs: int,
) -> Chosen:
    """Check what `pytest features/` is asked for; None is an option that was not given. Writes and starts nothing.

    Raises:
        UsageError: it cannot be done.
    """
    choice = ClusterChoice.of(cluster, attach)
    _check_attach(choice.attach, keep=keep, fresh=fresh)
    if overhead_pairs < MIN_PAIRS:
        raise UsageError(
            f"--overhead-pairs must be at least {MIN_PAIRS}",
            where=f"--overhead-pairs {overhead_pairs}",
            hint="leave it out for 400: the interval of fewer pairs is wide, and p95 is judged from 400",
        )
    gateway = Setting.of("--litellm-image", litellm_image, LITELLM_IMAGE)
    backend = Setting.of("--vllm-image", vllm_image, VLLM_IMAGE)
    check_reports(reports)
    read = check_deployment(manifests, choice, gateway=gateway, backend=backend)
    return Chosen(
        cluster=choice.cluster.value,
        attach=choice.attached,
        keep=keep,
        fresh=fresh,
        manifests=read,
        litellm_image=gateway.value,
        vllm_image=backend.value,
        reports=reports,
        overhead_pairs=overhead_pairs,
    )


def cluster_of(given: str | None) -> Setting:
    """The kind of cluster: that of `--cluster` if it was given, else of SIGNOFF_CLUSTER, else the default.

    Raises:
        UsageError: there is no such kind.
    """
    asked = Setting.of("--cluster", given, CLUSTER)
    if not asked.value:
        return Setting(DEFAULT, f"--cluster {DEFAULT}")
    if asked.value not in NAMES:
        raise UsageError(
            f"there is no kind of cluster called {asked.value!r}",
            where=asked.where,
            hint=f"name {', '.join(NAMES[:-1])} or {NAMES[-1]}, or nothing for {DEFAULT}",
        )
    return asked


def check_deployment(
    manifests: Path,
    choice: ClusterChoice,
    *,
    gateway: Setting | None = None,
    backend: Setting | None = None,
    more_images: Mapping[str, str] | None = None,
) -> StoryManifests:
    """The manifests, if the cluster that was asked for can be had and can have their images.

    `gateway` and `backend` are images that replace the manifests', `more_images` others that are needed, each with
    what names it. Nothing is started or written.

    Raises:
        UsageError: a manifest is wrong, the cache cannot be written, or the cluster cannot be had.
    """
    gateway, backend = gateway or Setting(), backend or Setting()
    check_cache()
    with refusing():
        read = StoryManifests.read(manifests, gateway.value or None, backend.value or None)
    images = {
        container["image"]: str(manifest.file)
        for manifest in (*read.backend, *read.gateway)
        for container in containers(manifest.body)
    }
    images |= {each.value: each.where for each in (gateway, backend) if each.value}
    try:
        registry.provider(choice.cluster.value).precheck(choice.attached, images | dict(more_images or {}))
    except SignoffError as error:
        named = {choice.attach.value: choice.attach.where, "": choice.cluster.where}
        raise UsageError(error.what, where=named.get(error.where, error.where), hint=error.hint) from error
    return read


def _check_attach(attach: Setting, *, keep: bool, fresh: bool) -> None:
    """See that nothing is asked for that a running cluster, which belongs to whoever started it, cannot give."""
    contrary = {"--fresh-cluster starts a new one": fresh, "--keep-cluster is about one that this run starts": keep}
    if attach.value and (said := [text for text, asked in contrary.items() if asked]):
        raise UsageError(
            f"--attach uses a cluster that runs already and is left running, and {' and '.join(said)}",
            where=" ".join([attach.where, *(text.partition(" ")[0] for text in said)]),
            hint="leave out one or the other",
        )
