"""What a person knowingly leaves out of a sign-off: a check, and why."""

from collections.abc import Sequence

from signoff.core.errors import UsageError
from signoff.story.declaration import Declaration, Story, nearest

OPTION = "--waive"


def read(told: Sequence[str], declaration: Declaration, cluster: str) -> dict[str, str]:
    """The reasons by check, from texts such as `way-in=no Traefik in this lab`.

    Raises:
        UsageError: one names no check or no reason, is not needed, or leaves a criterion without a check.
    """
    story = declaration.story
    waivers: dict[str, str] = {}
    for text in told:
        name, _, reason = (part.strip() for part in text.partition("="))
        if name not in story.checks:
            raise _refused(text, f"no check is called {name!r}{nearest(name, story.checks)}")
        if not reason:
            raise _refused(text, "a waiver needs its reason", f"""{OPTION} {name}="why it is left out\"""")
        if name in waivers:
            raise _refused(text, f"the check {name!r} is waived twice")
        if name in story.outside_reach(cluster):
            reach = " and ".join(story.checks[name].reach)
            raise _refused(text, f"no waiver is needed: {name!r} is outside reach here ({reach} only)")
        waivers[name] = reason
    outside = story.outside_reach(cluster)
    if bare := _without_a_check(story, outside):
        raise UsageError(
            f"no check of {bare} can be judged on a cluster of kind {cluster!r}",
            where=declaration.where("criteria", bare),
            hint="give it one, or make it a task",
        )
    if bare := _without_a_check(story, outside | set(waivers)):
        raise UsageError(
            f"these waivers leave {bare} without a check, and nothing of it would be judged",
            where=f"{OPTION} {', '.join(sorted(waivers))}",
            hint="waive less",
        )
    return waivers


def _without_a_check(story: Story, left_out: set[str]) -> str | None:
    """The first criterion of which nothing would be judged."""
    return next((key for key, criterion in story.criteria.items() if set(criterion.checks) <= left_out), None)


def _refused(text: str, what: str, hint: str = "") -> UsageError:
    return UsageError(what, where=f"{OPTION} {text}", hint=hint)
