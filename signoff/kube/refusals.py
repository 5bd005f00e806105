"""Why the API server does not take an object, in one sentence each, with what a person does next."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from kubernetes.client.exceptions import ApiException

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.kube.objects import Manifest

AS_COPY = "judge a copy of LiteLLM instead: --as-copy"
_OTHERS = "FieldManagerConflict"
QUOTA = "the ResourceQuota"
_NO_RIGHT = re.compile(r"cannot \w+ resource")
_MANAGER = re.compile(r'conflict with "([^"]*)"')
_IMMUTABLE = re.compile(r"field is immutable|may not change once set|updates to \w+ spec for fields other than")
_ADMISSION = (
    (re.compile(r"ValidatingAdmissionPolicy '([^']*)'.*? denied request: (.*)", re.S), "the ValidatingAdmissionPolicy"),
    (re.compile(r'admission webhook "([^"]*)" denied the request(?:: (.*))?', re.S), "the admission webhook"),
    (re.compile(r"exceeded quota: ([^,]*), (.*)", re.S), QUOTA),
    (re.compile(r'violates PodSecurity "([^"]*)": (.*)', re.S), "PodSecurity"),
    (re.compile(r'admission webhook "([^"]*)" (does not support dry run)'), "the admission webhook"),
    (re.compile(r'failed calling webhook "([^"]*)": (.*)', re.S), "the admission webhook"),
)
"""How admission says no: whose name, and why (k8s.io/apiserver: pkg/admission; k8s.io/pod-security-admission)."""


class Refused(SignoffError):
    """The API server does not take an object."""


class Denied(Refused):
    """Admission does not, by a policy, a quota or a webhook."""


def refused(manifest: Manifest, error: ApiException) -> Refused:
    """What is wrong with an object, by the API server's answer; the manifest's place where it tells no field."""
    answer = _status(error)
    message = str(answer.get("message") or f"{error.status} {error.reason}")
    causes = [each for each in (answer.get("details") or {}).get("causes") or [] if isinstance(each, dict)]
    if conflicts := [each for each in causes if each.get("reason") == _OTHERS]:
        return _conflicting(manifest, conflicts)
    for form, who in _ADMISSION:
        if found := form.search(message):
            return _denied(manifest, f"{who} {found[1]}", " ".join((found[2] or "").split()))
    if error.status == HTTPStatus.UNPROCESSABLE_ENTITY and _IMMUTABLE.search(message):
        fields = [str(each["field"]) for each in causes if _IMMUTABLE.search(str(each.get("message")))]
        return Refused(
            f"{manifest.name} is there, and {listed(list(dict.fromkeys(fields))) or 'what differs'} of it cannot be "
            "changed",
            where=manifest.place(*_path(fields)),
            hint=f"write what is there, or {AS_COPY}",
        )
    is_forbidden = error.status == HTTPStatus.FORBIDDEN and _NO_RIGHT.search(message)
    hint = "grant it (manifests/rbac/), or leave the object out" if is_forbidden else "fix the manifest"
    return Refused(f"the API server refused {manifest.name}: {message}", where=_where(manifest), hint=hint)


def _status(error: ApiException) -> Mapping[str, Any]:
    try:
        read = json.loads(error.body)
    except (TypeError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _where(manifest: Manifest) -> str:
    return str(manifest.file or manifest.place())


def _conflicting(manifest: Manifest, causes: list[dict[str, Any]]) -> Refused:
    """All conflicts of an object, by those who have set its fields."""
    fields: dict[str, list[str]] = {}
    for each in causes:
        found = _MANAGER.search(str(each.get("message")))
        fields.setdefault(found[1] if found else "another", []).append(str(each.get("field", "")).removeprefix("."))
    told = "; ".join(f"{manager} has set {listed(several)}" for manager, several in fields.items())
    first = next(iter(fields.values()))
    return Refused(
        f"{manifest.name} would be changed where others keep it: {told}",
        where=manifest.place(*_path(first)),
        hint=f"leave that to {listed(list(fields))} and write in the manifest what is there, or {AS_COPY}",
    )


def _denied(manifest: Manifest, who: str, why: str) -> Denied:
    return Denied(
        f"{manifest.name} is not let in by {who}" + (f": {why}" if why else ""),
        where=_where(manifest),
        hint="change the manifest so that it is, or ask whoever has set that",
    )


def _path(fields: list[str]) -> list[str]:
    """The part of a field's path that has no index and no key of a list, for its line."""
    plain = next(iter(fields), "").partition("[")[0]
    return plain.split(".") if plain else []
