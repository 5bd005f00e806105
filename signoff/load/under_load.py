"""What a load is on, as the settings of this machine and their manifests have it; the load's own pods know none."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from signoff.core.errors import refusing
from signoff.in_cluster.load_generator.run import ResourceSampler
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.load.resource_sampler import Note, PageSampler, PodSampler, Watched, watched
from signoff.options import check_reports_of
from signoff.settings import Read, Settings, read
from signoff.settings.shown import record


@dataclass(frozen=True)
class UnderLoad:
    """The settings of the environment and of a signoff.toml, and what their manifests say, which are read if needed."""

    read: Read

    @classmethod
    def here(cls) -> "UnderLoad":
        """As a load that is started here, without options of its own for settings, has it.

        Raises:
            UsageError: a setting is wrong.
        """
        return cls(read({}))

    @property
    def settings(self) -> Settings:
        """What is wanted, without who says so."""
        return self.read.settings

    @cached_property
    def manifests(self) -> StoryManifests:
        """Those of the settings.

        Raises:
            UsageError: one is wrong.
        """
        with refusing():
            return StoryManifests.read(self.settings)

    @property
    def watched(self) -> Watched:
        """Whose pods are watched meanwhile."""
        return watched(self.manifests.roles)

    @property
    def asked_model(self) -> str:
        """What a gateway that is named by its URL is asked for: a person's own manifests know its alias.

        The story's say nothing of another gateway.
        """
        if self.read.where("manifests"):
            return self.manifests.roles.model.asked
        return self.settings.asked_model or self.settings.model

    def check_reports(self) -> None:
        """See that the records can be written where the settings say.

        Raises:
            UsageError: they cannot.
        """
        check_reports_of(self.read)

    def recorded(self, *, deployed: bool) -> Mapping[str, Any]:
        """The settings for the load's evidence; with what was found in the manifests, where these were deployed."""
        return {**record(self.read), **(self.manifests.not_the_storys if deployed else {})}

    def sampler(self, options: Any, note: Note) -> ResourceSampler:
        """Sample the pods, if a kubeconfig says how, else both arms' own pages."""
        if options.kubeconfig:
            return PodSampler(Kube(Path(options.kubeconfig)), self.watched, note)
        return PageSampler({"gateway": options.host or options.proxied, "backend": options.direct}, note)
