"""What a person knowingly leaves out of a sign-off: a check, and why."""

from collections.abc import Callable, Mapping

from signoff.core.errors import UsageError
from signoff.story.declaration import Declaration, Story, nearest


def check(waived: Mapping[str, str], declaration: Declaration, cluster: str, where: Callable[[str], str]) -> None:
    """See that each of these reasons, by check, leaves out something that this story has; `where` is what says so.

    Raises:
        UsageError: one names no check or no reason, is not needed, or leaves a criterion without a check.
    """
    story = declaration.story
    for name, reason in waived.items():
        if name not in story.checks:
            hint = "write CHECK=REASON" if not name else ""
            raise UsageError(f"no check is called {name!r}{nearest(name, story.checks)}", where=where(name), hint=hint)
        if not reason.strip():
            hint = f"""write {name}="why it is left out\""""
            raise UsageError("a waiver needs its reason", where=where(name), hint=hint)
        if why := story.checks[name].beyond(cluster):
            raise UsageError(f"no waiver is needed: {name!r} is outside reach here ({why})", where=where(name))
    outside = story.outside_reach(cluster)
    if bare := _without_a_check(story, outside):
        raise UsageError(
            f"no check of {bare} can be judged on a cluster of kind {cluster!r}",
            where=declaration.where("criteria", bare),
            hint="give it one, or make it a task",
        )
    if bare := _without_a_check(story, outside | story.waived_with(waived)):
        raise UsageError(
            f"these waivers leave {bare} without a check, and nothing of it would be judged",
            where=", ".join(dict.fromkeys(map(where, sorted(waived)))),
            hint="waive less",
        )


def _without_a_check(story: Story, left_out: set[str]) -> str | None:
    """The first criterion of which nothing would be judged."""
    return next((key for key, criterion in story.criteria.items() if set(criterion.checks) <= left_out), None)
