"""Puts back what a run has changed, by its journal: the last change first, and only what the run itself has changed.

It may be broken off at any moment, and be called again: each time it looks what is left to do.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError

from signoff.changes import api, state
from signoff.changes.fields import Object, Undoing, at_version_of, differences, shown, told
from signoff.changes.guard import MADE_BY, made
from signoff.changes.journal import Before, Intent, Journal
from signoff.changes.managed_fields import given_back
from signoff.changes.rights import OWN_NAMESPACE, NotAllowed
from signoff.changes.target import Named, Target
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import FIELD_MANAGER, Kube, reason_of
from signoff.kube.gate import Request, Response, Send

_OF_CONTROL_PLANE = "[node.kubernetes.io/"
"""How the taints are called that the control plane derives, from a cordon say, with a moment's delay."""
_ERRORS = (ApiException, DynamicApiError, HTTPError, OSError, SignoffError, WaitFailed)


@dataclass
class Outcome:
    """What came of it. `differences` are sentences on what is not as before the run."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What of the run's own changes could not be put back, and why."""
    differences: list[str] = field(default_factory=list)
    of_the_run: list[str] = field(default_factory=list)
    """Those of the differences that the run itself has made; the others have come about meanwhile."""

    @property
    def of_others(self) -> list[str]:
        """Those of the differences that others have made meanwhile: they are told, and are nobody's fault."""
        return [each for each in self.differences if each not in self.of_the_run]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left of what the run has written; what others have done meanwhile may be."""
        return not self.problems and not self.of_the_run

    @property
    def is_as_before(self) -> bool:
        """Whether nothing is left of the run, and all that is compared is as it was."""
        return not self.problems and not self.differences


@dataclass(frozen=True)
class _Write:
    """One change of an object: what was there before it, and as it was left, as far as that is known."""

    before: Object
    after: Object


class Restorer:
    """A gate for those who put things back: lets through only what undoes what a run has done."""

    def __init__(self, journal: Journal, check: Callable[[], None]) -> None:
        self._journal, self._check = journal, check
        self._paths = {each.path for each in journal.intents if each.before}
        self._made = {each.path for each in journal.intents if not each.before}

    def passed(self, request: Request, send: Send) -> Response:
        """Send what undoes something.

        Raises:
            NotAllowed: it does not.
            SignoffError: the cluster is another's to write to.
        """
        target = Target.of(request.path)
        if target.is_within(OWN_NAMESPACE) and not target.is_namespace(OWN_NAMESPACE):
            return send(request)
        is_own = target.path in self._made and "preconditions" in (request.body or {})
        if not (is_own if request.method == "DELETE" else request.method == "PUT" and target.path in self._paths):
            raise NotAllowed(f"{request.method} {target} while things are put back")
        self._check()
        return send(request)


def put_back(kube: Kube, journal: Journal, outcome: Outcome) -> None:
    """Undo all that the run has done but its own namespace, and wait until the cluster shows it.

    Raises:
        Away: the API server does not come back.
    """
    by_path: dict[str, list[Intent]] = {}
    for each in journal.intents:
        by_path.setdefault(each.path, []).append(each)
    last_first = [*reversed(by_path.values())]
    for intents in sorted(last_first, key=_turn):
        if intents[0].name != Named("", "Namespace", "", OWN_NAMESPACE):
            _tried(partial(_undo, kube, journal, intents, outcome), str(intents[0].name), outcome)
    for intents in by_path.values():
        if any(each.before for each in intents):
            _tried(partial(_wait_for_workload, kube, intents), str(intents[0].name), outcome)


def _turn(intents: Sequence[Intent]) -> int:
    """When an object is put back: configuration before the pods that read it as they start, then what the run has made.

    Until they are of the former template again, pods may need what the run has made.
    """
    before = intents[0].before
    if before is None or not all(each.before for each in intents):
        return 2
    return 1 if "template" in (before.get("spec") or {}) else 0


def remove_own_namespace(kube: Kube, journal: Journal, outcome: Outcome) -> None:
    """Delete the suite's own namespace with all in it, and wait until it is gone."""
    name = Named("", "Namespace", "", OWN_NAMESPACE)
    path = f"/api/v1/namespaces/{OWN_NAMESPACE}"
    if any(each.path == path for each in journal.intents):
        _tried(lambda: _delete_made(kube, journal, path, name, outcome, timeouts.NAMESPACE_GONE), str(name), outcome)


def judge(kube: Kube, journal: Journal, outcome: Outcome) -> None:
    """Compare the cluster with how it was before the run; what controllers are still about to do is waited for."""
    if (before := journal.before) is None:
        return
    header, own = journal.header, _written_fields(journal)
    compared: list[Before] = []
    named = {*header.named, *(each.name for each in journal.intents)}
    if hidden := state.uncompared(before):
        progress("restore", f"not compared with how they were, since they could not be listed: {hidden}")

    def look() -> None:
        after = api.answered(lambda: state.read(kube, header.namespaces, named, header.salt))
        found = state.found(before, after, named)
        compared.append(after)
        outcome.differences = state.differing(before, after, named)
        outcome.of_the_run = [each.sentence for each in (*found, *state.lost(before, after)) if _is_among(each, own)]
        if late := [each.sentence for each in found if any(_OF_CONTROL_PLANE in part for part in each.path)]:
            raise NotYet(late[0])

    def judged() -> None:
        awaited = "the control plane to notice what was put back"
        with suppress(WaitFailed):  # what differs is told
            eventually(awaited, timeouts.CORDON_SHOWS, look)
        if not compared:
            raise api.Away("the API server is away")

    _tried(judged, "the comparison", outcome)


def _written_fields(journal: Journal) -> dict[str, list[tuple[str, ...]]]:
    """The fields that the run has changed, by their object; of one that it has made, the whole."""
    fields: dict[str, list[tuple[str, ...]]] = {}
    for each in journal.intents:
        paths = fields.setdefault(state.key_of(each.name), [])
        if each.before is None or each.expected is None:
            paths.append(())
        else:
            paths += [change.path for change in differences(told(each.before), told(each.expected))]
    return fields


def _is_among(found: state.Found, fields: dict[str, list[tuple[str, ...]]]) -> bool:
    paths = fields.get(found.key, [])
    return any(found.path[: len(each)] == each or each[: len(found.path)] == found.path for each in paths)


def _tried(do: Callable[[], None], name: str, outcome: Outcome) -> None:
    """Go on with the others, whatever one fails of, but not without an API server."""
    try:
        do()
    except api.Away:
        raise
    except _ERRORS as error:
        why = reason_of(error) if isinstance(error, ApiException) else " ".join(str(error).split())
        outcome.problems.append(f"{name}: {why}")


def _undo(kube: Kube, journal: Journal, intents: Sequence[Intent], outcome: Outcome) -> None:
    """Undo what the run has done to one object."""
    first, answers = intents[0], journal.answers
    new = [each for each in intents if each.before is None]
    if any(each.number in answers and answers[each.number].status == HTTPStatus.OK for each in new):
        outcome.problems.append(f"{first.name} was made by another in the moment in which the run was to make it")
    if new:
        _delete_made(kube, journal, first.path, first.name, outcome, timeouts.SCALED_DOWN)
    if writes := _writes(journal, intents):
        _put_back_fields(kube, intents, writes, outcome)


def _delete_made(
    kube: Kube, journal: Journal, path: str, name: Named, outcome: Outcome, timeout: timeouts.Timeout
) -> None:
    """Delete an object that the run has made, if it is still that one, and wait until it is gone."""
    there = api.read(kube, path)
    if there is None:
        return
    uid = there["metadata"]["uid"]
    if uid not in made(journal) and not _is_of_unknown_answer(journal, path, there):
        return  # another's
    progress("restore", f"delete {name}")
    api.delete(kube, path, uid)

    def look() -> None:
        still = api.read(kube, path)
        if still and still["metadata"]["uid"] == uid:
            raise NotYet(f"it is still there{_held_by(still)}")

    eventually(f"{name} to be gone", timeout, look)
    outcome.done.append(f"deleted {name}")


def _is_of_unknown_answer(journal: Journal, path: str, there: Object) -> bool:
    """Whether the run was killed before it knew whether it has made this.

    Nothing was there just before; what has the run's mark has been made by it since.
    """
    asked = [each for each in journal.intents if each.path == path and each.before is None]
    unknown = any(each.number not in journal.answers for each in asked)
    return unknown and (there["metadata"].get("annotations") or {}).get(MADE_BY) == journal.run


def _held_by(body: Object) -> str:
    finalizers = body["metadata"].get("finalizers") or []
    return f", held by {', '.join(finalizers)}" if finalizers else ""


def _writes(journal: Journal, intents: Sequence[Intent]) -> list[_Write]:
    """The changes of an object that were made, or may have been; those that followed each other as one."""
    writes: list[_Write] = []
    for each in intents:
        answer = journal.answers.get(each.number)
        if each.before is None or each.expected is None or (answer and not answer.after):
            continue
        part = _status_alone if each.subresource == "status" else _but_status
        write = _Write(part(told(each.before)), part(told(answer.after if answer and answer.after else each.expected)))
        if answer and writes and writes[-1].after == write.before:  # what was perhaps never sent stands alone
            write = _Write(writes.pop().before, write.after)
        writes.append(write)
    return writes


def _put_back_fields(kube: Kube, intents: Sequence[Intent], writes: Sequence[_Write], outcome: Outcome) -> None:
    """Put the fields of an object back that the run has changed, and then their owners."""
    before = next(each.before for each in intents if each.before)
    name, path = intents[0].name, intents[0].path
    changed: list[str] = []

    def attempt() -> list[str] | None:
        live = api.read(kube, path)
        if live is None or live["metadata"]["uid"] != before["metadata"]["uid"]:
            return None
        undoing = Undoing()
        wanted = told(live)
        for each in reversed(writes):
            wanted = undoing.undone(each.before, each.after, wanted)
        for part, to in ((_but_status, path), (_status_alone, f"{path}/status")):
            if part(wanted) != part(told(live)):
                changed.append(to)
                live = api.replace(kube, to, at_version_of(live, wanted))
        _give_back_ownership(kube, path, before, live)
        return undoing.kept

    kept = eventually(f"{name} to hold still", timeouts.PUT_BACK, attempt)
    if kept is None:
        outcome.problems.append(f"{name} is gone, or was made anew by another: it is left so")
    elif kept:
        fields = shown([*dict.fromkeys(kept)])
        outcome.problems.append(f"{fields} of {name} was changed by another since: it is left so")
    if changed:
        progress("restore", f"put back {name}")
        outcome.done.append(f"put back {name}")


def _but_status(body: Object) -> Object:
    """What the object's own path takes."""
    return {key: value for key, value in body.items() if key != "status"}


def _status_alone(body: Object) -> Object:
    """What the path of its status takes."""
    return {key: value for key, value in body.items() if key == "status"}


def _give_back_ownership(kube: Kube, path: str, before: Object, live: Object) -> None:
    """Have the fields belong to whom they did, so that their owner's next apply meets no conflict with the run."""
    there = live["metadata"].get("managedFields", [])
    wanted = given_back(before["metadata"].get("managedFields", []), there, FIELD_MANAGER)
    if sorted(map(str, wanted)) != sorted(map(str, there)):
        api.replace(kube, path, {**live, "metadata": {**live["metadata"], "managedFields": wanted or [{}]}})


@dataclass(frozen=True)
class _Rollout:
    """How far the pods of a workload are, as its controller tells."""

    wanted: int
    new: int
    """Those of its present template."""
    every: int
    available: int

    @classmethod
    def of(cls, body: Object) -> "_Rollout":
        """What its status says."""
        status, spec = body.get("status") or {}, body.get("spec") or {}
        if body.get("kind") == "DaemonSet":
            fields = ("desiredNumberScheduled", "updatedNumberScheduled", "currentNumberScheduled", "numberAvailable")
            return cls(*(status.get(each, 0) for each in fields))
        counts = (status.get(each, 0) for each in ("updatedReplicas", "replicas", "availableReplicas"))
        return cls(spec.get("replicas", 1), *counts)


def _wait_for_workload(kube: Kube, intents: Sequence[Intent]) -> None:
    """Wait until its pods are those of the former template, and as many of them available as before."""
    before = next(each.before for each in intents if each.before)
    name, path = intents[0].name, intents[0].path
    had = _Rollout.of(before)
    if "template" not in (before.get("spec") or {}) or not had.available:
        return

    def look() -> None:
        live = api.read(kube, path)
        if live is None or live["metadata"]["uid"] != before["metadata"]["uid"]:
            return
        has = _Rollout.of(live)
        wanted = min(had.available, has.wanted)
        is_seen = live["status"].get("observedGeneration") == live["metadata"]["generation"]
        is_rolled_out = has.new >= min(had.new, has.wanted) and has.every - has.new <= had.every - had.new
        if not (is_seen and is_rolled_out and has.available >= wanted):
            told = f"{has.new} of {has.wanted} pods are of the former template, {has.available} of {wanted} available"
            raise _why_not(kube, name, told)

    try:
        if _holds(look):
            return
        progress("restore", f"waits until the pods of {name} are as before")
        eventually(f"the pods of {name} to be as before", timeouts.UNDONE, look)
    except WaitFailed as error:
        see = f"kubectl -n {name.namespace} describe {name.kind.lower()} {name.name}"
        raise error.with_more(f"it is put back, but not ready; see `{see}`") from None


def _holds(look: Callable[[], None]) -> bool:
    with suppress(NotYet):
        look()
        return True
    return False


def _why_not(kube: Kube, name: Named, told: str) -> NotYet:
    """Why a workload's pods are not as before, with what they say where they may be read."""
    if name.kind in ("Deployment", "StatefulSet"):
        with suppress(ApiException, HTTPError, OSError):
            return kube.why_not(kube.workload(name.namespace, name.name, name.kind), told)
    return NotYet(told)
