"""What a run is asked for, checked in a moment: before a folder is made, a thread begins or a cluster starts."""

import argparse
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff.changes.guard import LookOnly
from signoff.changes.rights import OWN_NAMESPACE, Right
from signoff.changes.target import Named as Changed
from signoff.cluster import registry
from signoff.cluster.access import NO_ACCESS, Access, Use
from signoff.cluster.base import Cluster, Needs
from signoff.cluster.registry import ABOUT, DEFAULT, NAMES
from signoff.core import consent
from signoff.core.console import progress
from signoff.core.errors import SignoffError, UsageError, refusing
from signoff.core.node import Node
from signoff.core.paths import check_cache, check_writable
from signoff.core.words import listed
from signoff.faults.cluster import FAULTS
from signoff.gateway.database import VARIABLE as DATABASE
from signoff.gateway.database import named_at
from signoff.gateway.key import keys_of
from signoff.kube import preflight, standing
from signoff.kube.answering import answering
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import images_of
from signoff.programs import controllers
from signoff.settings import Read, Settings, arguments
from signoff.settings.writing import remember
from signoff.story.declaration import nearest
from signoff.traffic.keys import GATEWAY

ATTACH_HELP = "use the running cluster of this name or folder, and leave it running"
TRUST_HELP = (
    "have the manifests run as this user's processes on a machine where containers cannot be kept apart from it "
    "(default: SIGNOFF_TRUST; no file can say so)"
)
_TRUST = "SIGNOFF_TRUST"
_ALLOW_CONTEXT, _ALLOW = "SIGNOFF_ALLOW_CONTEXT", "SIGNOFF_ALLOW"
ALLOW_CONTEXT_HELP = (
    f"the context that may be used of your kubeconfig, the one that kube_context names (default: {_ALLOW_CONTEXT}; no "
    "file can say so)"
)
ALLOW_HELP = (
    "what may be changed on a cluster of your own, and is put back; may be given again (default: "
    f"{_ALLOW}, or nothing): " + "; ".join(f"{right}: {right.about}" for right in Right)
)
AS_COPY_HELP = "with --allow deploy: judge a copy of LiteLLM in a namespace of the suite's own, and leave yours alone"
DRY_RUN_HELP = "show what a run would change on a cluster of your own, as the API server tells it, and change nothing"
_ABOUT = {"cluster": f"where to run (default: SIGNOFF_CLUSTER or {DEFAULT}). {ABOUT}"}


@dataclass(frozen=True)
class Named:
    """A value and, for a person, what names it: `--attach x`, or `SIGNOFF_VLLM_IMAGE=x`; both empty if nothing does."""

    value: str = ""
    where: str = ""

    @classmethod
    def by_option(cls, option: str, given: str | None) -> "Named":
        """What was given for an option; None if nothing was.

        Raises:
            UsageError: the option names nothing, as an unset variable of a script makes it.
        """
        if given is None:
            return cls()
        if not given.strip():
            raise UsageError(f"{option} names nothing", where=f"{option} {given!r}", hint=f"leave {option} out")
        return cls(given, f"{option} {given}")

    @classmethod
    def by_setting(cls, read: Read, name: str) -> "Named":
        """The value of a setting that is text."""
        return cls(getattr(read.settings, name), read.where(name))


@dataclass(frozen=True)
class ClusterChoice:
    """Which cluster a command was asked for: that of `attach`, else one of the provider `cluster` with these nodes."""

    cluster: Named
    attach: Named
    nodes: tuple[Node, ...]
    trust: Named
    """What says that the manifests may run where nothing keeps them apart; its value is "yes" or empty."""
    access: Access = NO_ACCESS
    """What may be done on a person's own."""

    @classmethod
    def of(
        cls, read: Read, attach: str | None = None, *, trust: bool = False, access: Access | None = None
    ) -> "ClusterChoice":
        """By the settings, and what was given for --attach (None if nothing was) and --trust.

        `access` is what may be done on a person's own cluster; None is of a command that judges none.

        Raises:
            UsageError: there is no such kind of cluster, or none for this command; --attach names nothing, or
                SIGNOFF_TRUST says neither.
        """
        asked = Named.by_setting(read, "cluster")
        if not asked.value:
            asked = Named(DEFAULT, f"--cluster {DEFAULT}")
        if asked.value not in NAMES:
            raise UsageError(
                f"there is no kind of cluster called {asked.value!r}",
                where=asked.where,
                hint=f"name {', '.join(NAMES[:-1])} or {NAMES[-1]}, or nothing for {DEFAULT}",
            )
        if access is None and not registry.provider(asked.value).DEPLOYS:
            raise UsageError(
                "this command is for clusters of the suite's own: on yours nothing is deployed or started unasked",
                where=asked.where,
                hint=f"judge what stands there with `pytest features/`, or take --cluster {DEFAULT} for this command",
            )
        attached = Named.by_option("--attach", attach)
        return cls(asked, attached, read.settings.nodes, _trust(given=trust), access or NO_ACCESS)

    @property
    def attached(self) -> Path | None:
        """The running cluster to use, by its folder or name."""
        return Path(self.attach.value) if self.attach.value else None

    def open_cluster(self, images: Mapping[str, Collection[str]]) -> Cluster:
        """Open it; the images are those that pods will ask for, with the nodes that these may run on.

        Raises:
            SignoffError: it cannot be had.
        """
        return registry.open_cluster(self.cluster.value, self.attached, images, self.nodes)


def declare_settings(add: Callable[..., Any], which: Collection[str] = arguments.WITH_OPTION) -> None:
    """Add the options of settings to a command or to pytest, and say which clusters there are."""
    arguments.declare(add, which, _ABOUT)


def add_deployment_options(parser: argparse.ArgumentParser, *more: str, also: Mapping[str, str] | None = None) -> None:
    """Add the options of what is deployed and where, --attach among them, and of `more` settings."""
    arguments.declare(parser.add_argument, (*arguments.DEPLOYMENT, *more), _ABOUT, also)
    parser.add_argument("--attach", metavar="NAME", help=ATTACH_HELP)
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)


class NoCluster(UsageError):
    """The cluster that was asked for cannot be had, or not for what the manifests deploy, in which nothing is wrong."""

    def __init__(self, what: str, *, where: str, hint: str, manifests: StoryManifests) -> None:
        super().__init__(what, where=where, hint=hint)
        self.manifests = manifests


@dataclass(frozen=True)
class Chosen:
    """What a run of the features was asked for, with what the environment and the defaults add."""

    read: Read
    cluster: str
    attach: Path | None
    keep: bool
    fresh: bool
    manifests: StoryManifests
    trust: str
    """Who vouches for the manifests, as `check_trust` tells it."""
    access: Access = NO_ACCESS

    def use(self, run: Path) -> Use:
        """What a run with this folder is going to do on a person's own cluster."""
        own = self.manifests.settings.namespace
        named = frozenset(Changed.of(each.body, own) for each in self.manifests.applied)
        others = (own, *self.manifests.namespaces)
        return Use(
            self.access,
            [each for each in dict.fromkeys(others) if each != OWN_NAMESPACE],
            run,
            named,
            [str(Changed("", each.kind, each.namespace, each.name)) for each in self.manifests.stood],
            [str(change) for changes in FAULTS.values() for change in changes(self.manifests)],
        )

    @property
    def settings(self) -> Settings:
        """What is wanted, without who says so."""
        return self.read.settings

    @property
    def values(self) -> dict[str, Any]:
        """What a story's declaration may speak of by name."""
        return values_of(self.manifests)


def values_of(manifests: StoryManifests) -> dict[str, Any]:
    """What a story's declaration may speak of by name, of these manifests."""
    return {**manifests.values, "asks_for_key": GATEWAY in keys_of(manifests).given}


@dataclass(frozen=True)
class Allowed:
    """What options say of a person's own cluster; None, and nothing, where one was not given."""

    context: str | None = None
    rights: Sequence[str] = ()
    as_copy: bool = False
    dry_run: bool = False

    @property
    def given(self) -> list[str]:
        """The options as they were given."""
        context = [] if self.context is None else [f"--allow-context {self.context}"]
        flags = {"--as-copy": self.as_copy, "--dry-run": self.dry_run}
        return [*context, *(f"--allow {each}" for each in self.rights), *(name for name in flags if flags[name])]


def remember_cluster(chosen: Chosen) -> None:
    """Have the file of settings say which cluster the context leads to, so that no other is taken for it later.

    Raises:
        UsageError: it cannot be written.
    """
    there = registry.provider(chosen.cluster).standing(chosen.access)
    if there is None or chosen.settings.cluster_uid:
        return
    found = {"kube_context": chosen.access.context, "cluster_uid": there.uid}
    path = remember(chosen.read, found, "by the first run there; another cluster is refused")
    if path is None:
        file, origin = chosen.read.file, chosen.read.where("kube_context")
        told = f"{file} names another context, and stays: {origin} is remembered on this machine alone"
    else:
        told = f"cluster_uid = {there.uid} is now in {path}: another cluster of this context is refused"
    progress("settings", told)


def access_of(read: Read, allowed: Allowed) -> Access:
    """What may be done on a person's own cluster, by the settings, options and variables.

    Raises:
        UsageError: there is no such right, or one option needs another.
    """
    named = {each: f"--allow {each}" for each in _parts(allowed.rights)}
    if not named:
        told = os.environ.get(_ALLOW, "")
        named = dict.fromkeys(_parts([told]), f"{_ALLOW}={told}")
    for right, where in named.items():
        if right not in list(Right):
            raise UsageError(
                f"{right!r} is nothing that can be allowed{nearest(right, list(Right))}",
                where=where,
                hint=f"allow {listed(list(Right))}",
            )
    if allowed.as_copy and Right.DEPLOY not in named:
        raise UsageError("a copy has to be deployed", where="--as-copy", hint=f"say --allow {Right.DEPLOY} as well")
    context = Named.by_option("--allow-context", allowed.context).value or os.environ.get(_ALLOW_CONTEXT, "").strip()
    settings = read.settings
    return Access(
        settings.kube_context,
        context,
        settings.cluster_uid,
        frozenset(map(Right, named)),
        settings.namespace,
        as_copy=allowed.as_copy,
        dry_run=allowed.dry_run,
    )


def _parts(told: Iterable[str]) -> list[str]:
    return [part.strip() for each in told for part in each.split(",") if part.strip()]


def check(
    read: Read,
    *,
    attach: str | None,
    keep: bool,
    fresh: bool,
    trust: bool = False,
    allowed: Allowed = Allowed(),
) -> Chosen:
    """Check what `pytest features/` is asked for; None is an option that was not given. Writes and starts nothing.

    Raises:
        UsageError: it cannot be done.
    """
    choice = ClusterChoice.of(read, attach, trust=trust, access=access_of(read, allowed))
    _check_attach(choice.attach, keep=keep, fresh=fresh)
    _check_allowed(choice, allowed, keep=keep, fresh=fresh)
    check_reports_of(read)
    manifests = check_deployment(read, choice)
    if registry.provider(choice.cluster.value).DEPLOYS:
        check_way_in(manifests)
    elif not choice.access.dry_run:
        check_applicable(choice, manifests)
    return Chosen(
        read=read,
        cluster=choice.cluster.value,
        attach=choice.attached,
        keep=keep,
        fresh=fresh,
        manifests=manifests,
        trust=check_trust(choice, manifests),
        access=choice.access,
    )


def check_reports_of(read: Read) -> None:
    """See that the folder that the settings name for reports can be written, or made.

    Raises:
        UsageError: it cannot.
    """
    folder = read.settings.reports
    hint = "name a folder that you may write to with --reports"
    check_writable(folder, "the report's folder", read.where("reports") or str(folder), hint)


def check_deployment(read: Read, choice: ClusterChoice, more_images: Mapping[str, str] | None = None) -> StoryManifests:
    """The manifests, if the cluster that was asked for can be had and can have their images.

    `more_images` are others that are needed, each with what names it. Nothing is started or written.

    Raises:
        UsageError: a manifest is wrong, or the cache cannot be written.
        NoCluster: the cluster cannot be had.
    """
    check_cache()
    provider = registry.provider(choice.cluster.value)
    with refusing():
        manifests = _judged(read, choice)
        keys_of(manifests)
    images = {
        image: where for manifest in (*manifests.backend, *manifests.gateway) for image, where in images_of(manifest)
    }
    named = [Named.by_setting(read, name) for name in ("litellm_image", "vllm_image")]
    images |= {each.value: each.where for each in named if each.value}
    database = named_at(manifests.roles.configuration)
    variables = {DATABASE: database} if database else {}
    needs = Needs(images | dict(more_images or {}), variables, manifests.namespaces)
    try:
        provider.precheck(choice.attached, needs, choice.access)
    except SignoffError as error:
        places = {choice.attach.value: choice.attach.where, "": choice.cluster.where}
        where = places.get(error.where, error.where)
        raise NoCluster(error.what, where=where, hint=error.hint, manifests=manifests) from error
    return manifests


def _judged(read: Read, choice: ClusterChoice) -> StoryManifests:
    """What is judged: the manifests that are deployed, or what stands on a person's own cluster.

    There, too, manifests that somebody has named are deployed if that is allowed; the story's own never are.
    """
    there = registry.provider(choice.cluster.value).standing(choice.access)
    if there is None or (Right.DEPLOY in choice.access.allow and read.where("manifests")):
        found = StoryManifests.read(read.settings)
    else:
        with answering(choice.access.context):
            found = standing.read(Kube(there.kubeconfig), read.settings)
    return found.copied_into(OWN_NAMESPACE) if choice.access.as_copy else found


def check_way_in(manifests: StoryManifests) -> None:
    """See that the controllers can be had from where the user says that they are, if a way in needs them.

    Raises:
        UsageError: a folder that a variable names lacks one.
    """
    if manifests.way_in:
        with refusing():
            controllers.check_named_folders()


def check_applicable(choice: ClusterChoice, manifests: StoryManifests) -> None:
    """See that a person's own cluster takes all that is to be applied there, before any of it is.

    Raises:
        UsageError: it does not.
    """
    there = registry.provider(choice.cluster.value).standing(choice.access)
    if there is not None and not manifests.copy_of:  # its namespace is still to be made, and is the suite's own
        with answering(choice.access.context):
            preflight.check(Kube(there.kubeconfig, LookOnly()), manifests.applied, manifests.settings.namespace)


def check_trust(choice: ClusterChoice, manifests: StoryManifests) -> str:
    """Who vouches for the manifests where nothing keeps their containers apart; empty where something does.

    A person is asked where there is one. Nothing that lies beside manifests can vouch for them.

    Raises:
        UsageError: nobody does.
    """
    why = registry.provider(choice.cluster.value).unconfined(choice.attached)
    if not why:
        return ""
    if manifests.are_the_projects:
        return "they are the project's own manifests"
    if choice.trust.value:
        return f"trusted by {choice.trust.where}"
    what = "these manifests would run on this machine as you, and nothing would keep them from your files"
    shown = "\n".join([*manifests.commands, f"{what}: {why}"])
    if consent.given(shown, "Run these images and commands, and what ConfigMaps and Secrets hold for them?"):
        return "trusted on the terminal"
    raise UsageError(
        f"{what}: {why}",
        where=manifests.source.whole,
        hint=f"read the commands above; if you trust them, pass --trust or set {_TRUST}=yes; kind keeps them apart",
    )


def _trust(*, given: bool) -> Named:
    said = os.environ.get(_TRUST, "").strip()
    if given:
        return Named("yes", "--trust")
    if said.lower() not in ("", "yes", "no"):
        raise UsageError(f"{_TRUST} is neither yes nor no", where=f"{_TRUST}={said}", hint="set it to one, or unset it")
    return Named("yes", f"{_TRUST}={said}") if said.lower() == "yes" else Named()


def _check_allowed(choice: ClusterChoice, allowed: Allowed, *, keep: bool, fresh: bool) -> None:
    """See that what is asked of a cluster can be had of that kind: one of the suite's own, or a person's.

    Raises:
        UsageError: it cannot.
    """
    flags = {"--keep-cluster": keep, "--fresh-cluster": fresh}
    if not registry.provider(choice.cluster.value).DEPLOYS:
        if said := [name for name, asked in flags.items() if asked]:
            what = "a cluster of your own is neither started nor ended here"
            raise UsageError(what, where=" ".join(said), hint="leave it out")
    elif allowed.given:
        raise UsageError(
            "this is about a cluster of your own, and one of the suite's is used",
            where=" ".join(allowed.given),
            hint=f"name your own with --cluster ({ABOUT}), or leave it out",
        )


def _check_attach(attach: Named, *, keep: bool, fresh: bool) -> None:
    """See that nothing is asked for that a running cluster, which belongs to whoever started it, cannot give."""
    contrary = {"--fresh-cluster starts a new one": fresh, "--keep-cluster is about one that this run starts": keep}
    if attach.value and (said := [text for text, asked in contrary.items() if asked]):
        raise UsageError(
            f"--attach uses a cluster that runs already and is left running, and {' and '.join(said)}",
            where=" ".join([attach.where, *(text.partition(" ")[0] for text in said)]),
            hint="leave out one or the other",
        )
