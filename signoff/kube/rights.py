"""What the suite needs to be allowed on a cluster that is a person's own, asked for all at once and beforehand.

manifests/rbac/ says what that is, in the words in which it is granted; nothing here repeats it.
"""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import UsageError
from signoff.core.paths import MANIFESTS
from signoff.core.words import listed
from signoff.kube.client import Kube, reason_of

FOLDER = MANIFESTS / "rbac"
LOOK_ONLY, JOB = "look-only", "job"
"""The files of what every run needs, and of what every run needs that writes."""

_BIND_WITH, _WITHOUT = "signoff/bind-with", "signoff/without"
_IN_NAMESPACES = "RoleBinding"
_AT_ONCE = 8
_NAMES_SHOWN = 3
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Question:
    """Whether something is allowed: in the words of RBAC, with `pods/log` for a subresource."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    @property
    def review(self) -> dict[str, Any]:
        """It as the API takes it."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource}
        return {"spec": {"resourceAttributes": {**asked, "namespace": self.namespace, "name": self.name}}}

    @property
    def about(self) -> str:
        """The resource as kubectl writes it."""
        return f"{self.resource}.{self.group}" if "." in self.group else self.resource


@dataclass(frozen=True)
class Role:
    """A role as a file of manifests/rbac/ has it."""

    file: Path
    kind: str
    name: str
    namespace: str
    rules: Sequence[Mapping[str, Any]]
    bind_with: str
    without: str
    """What a run does without that lacks it; empty for one that a run cannot do without."""

    @classmethod
    def of(cls, file: Path, body: Mapping[str, Any]) -> "Role":
        """The role of this manifest."""
        metadata = body["metadata"]
        noted = metadata["annotations"]
        return cls(
            file=file,
            kind=body["kind"],
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            rules=body["rules"],
            bind_with=noted[_BIND_WITH],
            without=noted.get(_WITHOUT, ""),
        )

    def namespaces(self, own: Iterable[str]) -> list[str]:
        """Where it is bound of a person's `own` namespaces; "" stands for the whole cluster."""
        if self.namespace:
            return [self.namespace]
        return list(own) if self.bind_with == _IN_NAMESPACES else [""]

    def questions(self, own: Iterable[str]) -> Iterator[Question]:
        """All that it grants, one by one, where it is bound."""
        for namespace, rule in product(self.namespaces(own), self.rules):
            names = rule.get("resourceNames") or [""]
            for group, resource, verb, name in product(rule["apiGroups"], rule["resources"], rule["verbs"], names):
                within = name if (group, resource) == ("", "namespaces") and name else namespace
                yield Question(verb, group, resource, within, name or (namespace if resource == "namespaces" else ""))

    def binding(self, namespace: str, user: str) -> str:
        """The command that binds it to a user, in this namespace or in all of the cluster."""
        role = "role" if self.kind == "Role" else "clusterrole"
        command = ["kubectl", "create", self.bind_with.lower(), f"{self.name}-{_slug(user)}", f"--{role}={self.name}"]
        return shlex.join([*command, _subject(user), *([f"--namespace={namespace}"] if namespace else [])])


@dataclass(frozen=True)
class Lack:
    """What is not allowed of a role, and where the role would be bound."""

    role: Role
    questions: Sequence[Question]

    @property
    def namespaces(self) -> list[str]:
        """Where the role has to be bound; "" stands for the whole cluster."""
        if self.role.namespace or self.role.bind_with != _IN_NAMESPACES:
            return self.role.namespaces(())
        return list(dict.fromkeys(each.namespace for each in self.questions))


def roles(rights: Collection[str]) -> list[Role]:
    """All that a run needs that may look, and has these rights beside it: "job", "deploy", "disruption"."""
    return [Role.of(file, body) for file in files(rights) for body in _documents(file) if body["kind"] != "Namespace"]


def files(rights: Collection[str]) -> list[Path]:
    """The files of these rights; whatever writes needs what "job" does."""
    needed = [LOOK_ONLY, *([JOB] if rights else []), *(each for each in sorted(rights) if each != JOB)]
    return [FOLDER / f"{each}.yaml" for each in needed]


def own_namespace() -> str:
    """The namespace of the suite's own, by its name."""
    return str(
        next(each for each in _documents(FOLDER / f"{JOB}.yaml") if each["kind"] == "Namespace")["metadata"]["name"]
    )


def check(kube: Kube, namespaces: Sequence[str], rights: Collection[str] = ()) -> None:
    """See that a run may do in LiteLLM's and vLLM's namespaces, and in the cluster, what these rights ask for.

    What it can do without is told, with what is then not judged or not written.

    Raises:
        UsageError: something is not allowed, or the API server does not tell.
    """
    needed = roles(rights)
    with _telling(kube):
        lacking = lacks(kube, needed, namespaces)
        if rights and not any(each.role.namespace for each in lacking):
            lacking += _without_own_namespace(kube, needed)
    required = [each for each in lacking if not each.role.without]
    if required:
        raise _not_granted(required, _user(kube))
    for each in lacking:
        progress("rights", f"may not {told(each.questions)} (see {each.role.name}): {each.role.without}")


def lacks(kube: Kube, needed: Sequence[Role], namespaces: Sequence[str]) -> list[Lack]:
    """What is not allowed of these roles; of an API that the cluster does not have, nothing that can be done without.

    Raises:
        ApiException, HTTPError: the API server does not tell.
    """
    served = groups(kube)
    asked = [
        (role, [each for each in role.questions(namespaces) if not role.without or each.group in served])
        for role in needed
    ]
    allowed = _answers(kube, list(dict.fromkeys(each for _, several in asked for each in several)))
    denied = [(role, [each for each in several if not allowed[each]]) for role, several in asked]
    return [Lack(role, several) for role, several in denied if several]


def told(questions: Iterable[Question]) -> str:
    """What is asked for, in as few words as that takes.

    >>> told([Question("get", "", "pods", "ml"), Question("list", "", "pods", "ml"), Question("patch", "", "nodes")])
    'get/list pods in ml, patch nodes'
    """
    verbs: dict[tuple[str, str], dict[str, list[str]]] = {}
    for each in questions:
        within = "" if each.resource == "namespaces" else each.namespace
        what = verbs.setdefault((each.about, within), {}).setdefault(each.verb, [])
        what += [each.name] if each.name else []
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (about, namespace), by_verb in verbs.items():
        for together, names in _alike(by_verb):
            alike.setdefault((together, namespace), []).append(about + (f" {_shown(names)}" if names else ""))
    where: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (together, namespace), what in alike.items():
        where.setdefault((together, tuple(what)), []).append(namespace)
    return ", ".join(
        f"{'/'.join(together)} {listed(what)}" + (f" in {listed(places)}" if any(places) else "")
        for (together, what), places in where.items()
    )


def _alike(by_verb: Mapping[str, Sequence[str]]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The verbs of a resource together that are about the same names."""
    found: dict[tuple[str, ...], list[str]] = {}
    for verb, names in by_verb.items():
        found.setdefault(tuple(names), []).append(verb)
    yield from ((tuple(verbs), names) for names, verbs in found.items())


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return " ".join(names[:_NAMES_SHOWN]) + more


# The API server


def _answers(kube: Kube, questions: Sequence[Question]) -> dict[Question, bool]:
    """What the API server answers, asked side by side; one that asks nobody's rights says yes to all."""
    api = client.AuthorizationV1Api(kube.core.api_client)

    def answer(question: Question) -> bool:
        return bool(
            api.create_self_subject_access_review(
                question.review, _request_timeout=timeouts.API_REQUEST.seconds
            ).status.allowed
        )

    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rights")
    try:
        asked = {each: pool.submit(answer, each) for each in questions}
        _wait_for(list(asked.values()))
        return {each: found.result() for each, found in asked.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _telling(kube: Kube) -> Iterator[None]:
    """Has an API server that does not tell what is asked in this block be told of.

    Raises:
        UsageError: it does not.
    """
    server = kube.core.api_client.configuration.host
    try:
        yield
    except ApiException as error:
        raise UsageError(
            f"the API server does not tell what this user may do: {reason_of(error)}",
            where=server,
            hint="let this user create selfsubjectaccessreviews, as Kubernetes does unless that was taken away: "
            "`kubectl describe clusterrolebinding system:basic-user`",
        ) from None
    except HTTPError as error:
        raise UsageError(
            f"the API server does not answer what this user may do: {error}",
            where=server,
            hint="see whether it is overloaded, and try again",
        ) from None


def _wait_for(asked: Collection[Future[bool]]) -> None:
    """Wait for all answers or the first error; each is bounded by itself."""
    left: Collection[Future[bool]] = asked
    while left and not any(each.done() and each.exception() for each in asked):
        left = wait(left, timeout=timeouts.RIGHTS_TOLD.seconds).not_done
        if left:
            progress("rights", f"the API server is asked what this user may do: {len(left)} of {len(asked)} to go")


def groups(kube: Kube) -> set[str]:
    """The API groups that the cluster has."""
    return {"", *(each.name for each in client.ApisApi(kube.core.api_client).get_api_versions().groups)}


def _user(kube: Kube) -> str:
    """Who this user is to the cluster; empty where it does not say."""
    try:
        review = client.AuthenticationV1Api(kube.core.api_client).create_self_subject_review({})
    except ApiException:  # before 1.28 there is none
        return ""
    return str(review.status.user_info.username or "")


def _without_own_namespace(kube: Kube, needed: Sequence[Role]) -> list[Lack]:
    """That the suite's own namespace is not there and may not be made; then its role cannot be there either."""
    name = own_namespace()
    try:
        kube.core.read_namespace(name)
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        asked = [Question("create", "", "namespaces"), Question("delete", "", "namespaces", name, name)]
        allowed = _answers(kube, asked)
        role = next(each for each in needed if each.namespace)
        denied = [each for each in asked if not allowed[each]]
        return [Lack(role, denied)] if denied else []
    return []


# What a person does


def _not_granted(lacking: Sequence[Lack], user: str) -> UsageError:
    who = user or "USER"
    paths = dict.fromkeys(each.role.file for each in lacking)
    apply = shlex.join(["kubectl", "apply", *(part for path in paths for part in ("-f", _relative(path)))])
    bound = [each.role.binding(namespace, who) for each in lacking for namespace in each.namespaces]
    return UsageError(
        f"{user or 'this user'} is not allowed to {told(each for lack in lacking for each in lack.questions)}",
        where=", ".join(_relative(each) for each in paths),
        hint="have whoever may grant it say this:\n" + "\n".join(f"    {each}" for each in (apply, *bound)),
    )


def _subject(user: str) -> str:
    if user.startswith(_SERVICE_ACCOUNT):
        return f"--serviceaccount={user.removeprefix(_SERVICE_ACCOUNT)}"
    return f"--user={user}"


def _slug(user: str) -> str:
    """A user's name as part of an object's, which may hold what a path may."""
    return user.removeprefix(_SERVICE_ACCOUNT).replace("/", "-").replace("%", "-")


def _relative(path: Path) -> str:
    """The path from where a person stands, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _documents(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]
