"""How a load changes over time, as Locust's shapes."""

from collections.abc import Sequence

from locust import LoadTestShape

from signoff.in_cluster.load_generator.stages import ShapeName

MAX_STARTED_PER_SECOND = 100
"""Locust warns above."""


class Stages(LoadTestShape):
    """Goes through stages of equal length, each of so many users beside those that only probe.

    `rate_per_user` is None in a closed loop.
    """

    abstract = True
    name = ""

    def __init__(self, users: Sequence[int], seconds: float, probes: int, rate_per_user: float | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.users, self.seconds, self.probes, self.rate_per_user = users, seconds, probes, rate_per_user

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many of them start in a second; None ends the load."""
        stage = int(self.get_run_time() / self.seconds)  # type: ignore[no-untyped-call]
        if stage >= len(self.users):
            return None
        # As quickly where users go as where they come: what is sent meanwhile belongs to no step.
        return self.users[stage] + self.probes, float(min(MAX_STARTED_PER_SECOND, max(self.users) + self.probes))


def shape(name: ShapeName, users: Sequence[int], seconds: float, probes: int, rate_per_user: float | None) -> Stages:
    """A shape of this name; Locust's page shows the name of its class, such as SweepRate."""
    made = type(name.title().replace("-", ""), (Stages,), {"name": name, "abstract": False})
    return made(users, seconds, probes, rate_per_user)  # type: ignore[no-any-return]
