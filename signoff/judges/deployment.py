"""What stands on the cluster: pods, labels, Service, configuration, version, files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from packaging.version import InvalidVersion, Version

from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import (
    ConfigurationSeen,
    EndpointsSeen,
    FilesSeen,
    InsideSeen,
    LabelsSeen,
    ModesSeen,
    Opening,
    PodsSeen,
    ProbesSeen,
    ResourcesSeen,
    ServiceSeen,
    StayedReady,
    Subject,
    VersionSeen,
)
from signoff.judges.registry import Judgement, judge
from signoff.parity.exchange import parse
from signoff.story.declaration import Check
from signoff.traffic import openai_format
from signoff.verdicts.verdict import Code, failed, inconclusive, not_judged, passed

ON_THE_CLUSTER = frozenset({Subject.CLUSTER, Subject.MACHINE})
"""What vLLM does has nothing to do with what these judges look at."""
BY_ITSELF: frozenset[Subject] = frozenset()
_IN_A_TAG = re.compile(r"\d+\.\d+\.\d+(?:[.-]?(?:rc|dev|post)[.-]?\d*)*")
"""A version in a tag: main-v1.80.16-stable has 1.80.16, and main-v1.80.16.dev6 has 1.80.16.dev6."""


def at(file: str) -> str:
    """Where to look, if that is known."""
    return f" (see {file})" if file else ""


@judge("pods-ready", PodsSeen, minima=["pods"], rests_on=ON_THE_CLUSTER)
def pods_ready(seen: Sequence[PodsSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Every pod is Running and Ready."""
    for each in seen:
        waiting = [f"{pod}: {each.states.get(pod, '')}" for pod, ready in each.ready.items() if not ready]
        if waiting:
            yield each.case, failed(f"not Running and Ready: {'; '.join(waiting)}{at(each.file)}")
        elif len(each.ready) < check.min["pods"]:
            least = f"expected at least {check.min['pods']:g}"
            yield each.case, failed(f"{len(each.ready)} pods labelled {each.selector}, {least}{at(each.file)}")
        else:
            yield each.case, passed(f"{len(each.ready)} Running and Ready")


_ASKS_A_MODEL = re.compile(
    r"(?:^|/)health/?(?![\w./-])|/(?:completions|embeddings|responses|messages|health/services)\b"
)
"""What a probe asks for where LiteLLM asks its backends before it answers: GET /health, which is not /health/readiness,
and whatever a model answers. A probe's path may begin without its slash, which the kubelet adds.

Source: litellm 1.80.16, proxy/health_endpoints/_health_endpoints.py, health_endpoint; kubernetes, pkg/probe/http.
"""
_READINESS, _LIVENESS = "/health/readiness", "/health/liveliness"


@judge("probes", ProbesSeen, minima=["pods"], rests_on=ON_THE_CLUSTER)
def probes(seen: Sequence[ProbesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """No probe asks a model, and none ends a container before LiteLLM has started; what is missing is told."""
    for each in seen:
        wrong = [*_asking_a_model(each), *_impatient(each), *_ended(each)]
        if wrong:
            yield each.case, failed("; ".join(wrong))
        elif len(each.starts) < check.min["pods"]:
            yield each.case, not_judged("no LiteLLM pod is Ready, so its start was not timed", Code.TOO_FEW)
        else:
            yield each.case, passed("; ".join([f"Ready within {max(each.starts.values())} s", *_missing(each)]))


def _asking_a_model(seen: ProbesSeen) -> Iterator[str]:
    for probe in seen.probes:
        if asked := _ASKS_A_MODEL.search(probe.asks):
            instead = _LIVENESS if probe.role == "liveness" else _READINESS
            yield (
                f"the {probe.role} probe asks {asked[0]}, which asks the models and so fails without them; "
                f"write {instead}{at(probe.file)}"
            )


def _impatient(seen: ProbesSeen) -> Iterator[str]:
    """The probes that end a container before it has started, at the pace at which it did here."""
    slowest = max(seen.starts.values(), default=0)
    for probe in seen.probes:
        if probe.limits_start and probe.seconds < slowest:
            yield (
                f"the {probe.role} probe ends LiteLLM after {probe.seconds} s, and it took {slowest} s to start; "
                f"write a startupProbe that asks {_READINESS} and leaves it more{at(probe.file)}"
            )


def _ended(seen: ProbesSeen) -> Iterator[str]:
    for pod, end in seen.ends.items():
        files = listed([f"{probe.role} probe: {probe.file}" for probe in seen.probes if probe.limits_start])
        yield f"a container of {pod} has ended: {end}" + (f" (see its {files})" if files else "")


def _missing(seen: ProbesSeen) -> Iterator[str]:
    """What is no failure and should be known."""
    for container, file in seen.unwatched.items():
        yield f"{container} has no liveness probe, so one that hangs stays{at(file)}"
    for container, file in seen.unbounded.items():
        yield f"{container} has no memory limit, so it can take its node's{at(file)}"


@judge("labels", LabelsSeen, wants=dict, rests_on=ON_THE_CLUSTER)
def labels(seen: Sequence[LabelsSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Every object of a kind carries the labels; the feature's table names them all."""
    wanted: dict[str, str] = check.wants
    for each in seen:
        if each.asked != wanted:
            yield (
                each.case,
                not_judged(f"the feature asks for {each.asked}, the story for {wanted}", Code.ASKED_OTHERWISE),
            )
        elif not each.labels:
            yield each.case, failed(f"there is no {each.case} of LiteLLM")
        else:
            wrong = [
                f"{name} has {_seen(lacking, own)}; {_written(lacking)} among its labels{at(each.files.get(name, ''))}"
                for name, own in each.labels.items()
                if (lacking := {label: value for label, value in wanted.items() if own.get(label) != value})
            ]
            yield each.case, failed("; ".join(wrong)) if wrong else passed()


def _seen(wanted: Iterable[str], own: Mapping[str, str]) -> str:
    """What an object has of these labels: "no label app and tier=edge"."""
    return listed([f"{label}={own[label]}" if label in own else f"no label {label}" for label in wanted])


def _written(wanted: Mapping[str, str]) -> str:
    return f"write {listed([f'{label}: {value}' for label, value in wanted.items()])}"


@judge("service", ServiceSeen, wants=dict, keys=["type", "port"], rests_on=ON_THE_CLUSTER)
def service(seen: Sequence[ServiceSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The Service is of the type, and has the port alone; no other Service that selects the pods is open outside, and
    the pods take no port and no network of their node.
    """
    kind, port = check.wants["type"], check.wants["port"]
    for each in seen:
        if each.asked != check.wants:
            yield (
                each.case,
                not_judged(f"the feature asks for {each.asked}, the story for {check.wants}", Code.ASKED_OTHERWISE),
            )
            continue
        wrong = [
            f"a pod of LiteLLM takes port {own} of its node, which leads past the Service and keeps a second pod off "
            f"that node; take hostPort out{at(file)}"
            for own, file in each.host_ports.items()
        ] + [_led_past(opening, port) for opening in each.openings]
        if each.type != kind or port not in each.ports:
            ports = listed(each.ports) or "none"
            write = [f"type: {kind}"] * (each.type != kind) + [f"port: {port}"] * (port not in each.ports)
            wanted = f"expected a {kind} with port {port}: write {listed(write)}{at(each.file)}"
            wrong.insert(0, f"the Service is a {each.type} with port {ports}; {wanted}")
        yield each.case, failed("; ".join(wrong)) if wrong else passed()


def _led_past(opening: Opening, port: int) -> str:
    """What an opening beside the Service's port does, and what to write."""
    told = {
        "port": f"{opening.object} has the port {opening.value} beside {port}; take it out",
        "externalIPs": f"{opening.object} answers at {opening.value} outside of the cluster; take externalIPs out",
        "NodePort": f"{opening.object} opens port {opening.value} of every node; write type: ClusterIP",
        "LoadBalancer": f"{opening.object} opens port {opening.value} outside of the cluster; write type: ClusterIP",
        "hostNetwork": f"{opening.object} takes the ports of its node; take hostNetwork out",
    }
    return told[opening.what] + at(opening.file)


@judge("endpoints", EndpointsSeen, minima=["pods"], rests_on=ON_THE_CLUSTER)
def endpoints(seen: Sequence[EndpointsSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The Service's ready endpoints are the Ready pods, there are some, and LiteLLM answers through it."""
    for each in seen:
        missing = sorted(set(each.ready_pods) - set(each.endpoints))
        strange = sorted(set(each.endpoints) - set(each.ready_pods))
        if len(each.ready_pods) < check.min["pods"]:
            yield each.case, failed(f"no LiteLLM pod is Ready, so that the Service sends to none{at(each.file)}")
        elif missing:
            yield (
                each.case,
                failed(
                    f"the Service does not send to the Ready pod at {listed(missing)}: its selector leaves it out; "
                    f"write labels there that all pods of LiteLLM carry{at(each.file)}"
                ),
            )
        elif strange:
            yield (
                each.case,
                failed(
                    f"the Service sends to {listed(strange)}, where no Ready LiteLLM pod is; "
                    f"write a selector that only LiteLLM's pods match{at(each.file)}"
                ),
            )
        elif each.unanswered:
            yield (
                each.case,
                failed(
                    f"the Service sends to the port {each.target_port} of the pods, where LiteLLM does not answer "
                    f"({each.unanswered}); write the port on which it listens{at(each.target_file)}"
                ),
            )
        else:
            yield each.case, passed(f"{len(each.endpoints)} endpoints")


@judge("file-layout", FilesSeen, wants=dict, rests_on=BY_ITSELF)
def file_layout(seen: Sequence[FilesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Each file is there, and holds at least the objects that the declared layout puts there."""
    for each in seen:
        wrong = [
            f"{file} {'is missing' if file not in each.kinds else f'lacks {listed(lacking)}'}; {_moved(lacking, each)}"
            for file, kinds in check.wants.items()
            if (lacking := [kind for kind in kinds if kind not in each.kinds.get(file, [])])
        ]
        yield (
            each.case,
            failed(f"in {each.folder}: {'; '.join(wrong)}; or declare your own `layout`") if wrong else passed(),
        )


def _moved(kinds: Sequence[str], seen: FilesSeen) -> str:
    """What to do for a file that should hold these kinds: move them there from where they are, or write them."""
    places = {kind: next((file for file, held in seen.kinds.items() if kind in held), "") for kind in kinds}
    moved = [f"the {kind} of {file}" for kind, file in places.items() if file]
    new = [f"the {kind} that no file has" for kind, file in places.items() if not file]
    told = [f"move {listed(moved)} there"] * bool(moved) + [f"write {listed(new)}"] * bool(new)
    return " and ".join(told)


@judge("configuration", ConfigurationSeen, wants=dict, rests_on=ON_THE_CLUSTER)
def configuration(seen: Sequence[ConfigurationSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Each setting has the story's value, and no other one beside it, nor one that nobody can read.

    Of a configuration that was changed since the pods have read it, nobody knows what they go by.
    """
    for each in seen:
        if each.outdated:
            yield each.case, inconclusive("; ".join(each.outdated), Code.PROVES_NOTHING)
            continue
        wrong = []
        unknown = [f"{name} is {told}" for name in check.wants for told in each.unknown.get(name, [])]
        for name, wanted in check.wants.items():
            values = each.values.get(name, [])
            if name in each.unknown and all(_as_wanted(name, value, wanted) for value in values):
                continue
            if len(values) != 1 or not _as_wanted(name, values[0], wanted):
                found = listed([repr(value) for value in values]) or "not set"
                wrong.append(f"{name} is {found}; write {name}: {wanted} ({_where(name, wanted, each)})")
        if wrong or not unknown:
            yield each.case, failed("; ".join([*wrong, *unknown])) if wrong else passed()
        else:
            yield each.case, inconclusive("; ".join(unknown), Code.PROVES_NOTHING)


def _where(name: str, wanted: Any, seen: ConfigurationSeen) -> str:
    """The places of the values that are not as wanted, or of all; of a setting without one, where it would stand."""
    both = list(zip(seen.values.get(name, []), seen.places.get(name, []), strict=False))
    places = [place for value, place in both if not _as_wanted(name, value, wanted)] or [place for _, place in both]
    if places or name in seen.missing:
        return "; ".join(places) or seen.missing[name]
    line = seen.lines.get(name)
    return f"{seen.file}:{line}" if seen.file and line else seen.file or seen.object


def _as_wanted(name: str, value: Any, wanted: Any) -> bool:
    """Whether a setting has the value; the URL of a Service may leave out the end of its host, as DNS lets it.

    Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    if name != "api_base" or not isinstance(value, str):
        return bool(value == wanted)
    try:
        one, other = urlsplit(value), urlsplit(str(wanted))
        same = _beside_the_host(one) == _beside_the_host(other)
    except ValueError:  # a port that is none
        return False
    labels, whole = (one.hostname or "").removesuffix(".").split("."), (other.hostname or "").split(".")
    short = len(whole) == _LABELS_OF_A_SERVICE and len(labels) in _SHORTER_NAMES
    return same and (labels == whole or (short and labels == whole[: len(labels)]))


def _beside_the_host(url: SplitResult) -> tuple[Any, ...]:
    return url.scheme, url.username, url.port, url.path.rstrip("/"), url.query, url.fragment


_LABELS_OF_A_SERVICE = 5
"""service.namespace.svc.cluster.local"""
_SHORTER_NAMES = (1, 2, 3)
"""Of these a pod's resolver completes the first for its own namespace, and the others for all."""


@judge("no-gpu", ResourcesSeen, minima=["containers"], rests_on=ON_THE_CLUSTER)
def no_gpu(seen: Sequence[ResourcesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """No container asks for a GPU."""
    for each in seen:
        asking = [
            f"{container} asks for {name}: {amount}"
            for container, resources in each.requested.items()
            for name, amount in resources.items()
            if _is_extended(name)
        ]
        if asking:
            told = "LiteLLM needs no GPU: take it out of its resources"
            yield each.case, failed(f"{'; '.join(asking)}; {told}{at(each.file)}")
        elif len(each.requested) < check.min["containers"]:
            yield each.case, not_judged("LiteLLM has no container", Code.TOO_FEW)
        else:
            yield each.case, passed(f"{len(each.requested)} containers, none asks for a GPU")


def _is_extended(resource: str) -> bool:
    """Whether it is a device of some vendor's (nvidia.com/gpu, aws.amazon.com/neuron), as all with a domain are.

    Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources
    """
    return "/" in resource and not resource.startswith("kubernetes.io/")


@judge("version", VersionSeen, minima=["pods"], rests_on=ON_THE_CLUSTER)
def version(seen: Sequence[VersionSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The pods run the image of the manifests, and LiteLLM tells the version that its tag names."""
    for each in seen:
        others = {pod: image for pod, image in each.pods.items() if image != each.manifest}
        tag = _IN_A_TAG.search(each.manifest.partition("@")[0].rpartition(":")[2])
        if len(each.pods) < check.min["pods"]:
            yield each.case, not_judged("no pod of LiteLLM was there", Code.TOO_FEW)
        elif others:
            pod, image = next(iter(others.items()))
            yield each.case, failed(f"the pod {pod} runs {image}, the manifests name {each.manifest}{at(each.file)}")
        elif not each.tells:
            yield each.case, failed("LiteLLM's answers name no version (header x-litellm-version)")
        elif tag is None:
            yield (
                each.case,
                inconclusive(
                    f"the tag of {each.manifest} names no version to compare {each.tells} with", Code.PROVES_NOTHING
                ),
            )
        elif _leaves_the_build_out(tag[0], each.tells):
            yield (
                each.case,
                inconclusive(
                    f"LiteLLM reports release {each.tells}; the tag names its development build {tag[0]}",
                    Code.PROVES_NOTHING,
                ),
            )
        elif not _same(tag[0], each.tells):
            told = f"LiteLLM says that it is {each.tells}, the manifests' tag says {tag[0]}"
            yield each.case, failed(f"{told}; write an image whose tag is true{at(each.file)}")
        else:
            yield each.case, passed(f"{each.tells}{_of_the_digest(each)}")


def _of_the_digest(seen: VersionSeen) -> str:
    """What is to be said of a digest that the manifests pin, where the pods do not run it: by a recipe, say."""
    digest = seen.manifest.partition("@")[2]
    others = [pulled for pulled in seen.pulled.values() if digest not in pulled]
    if not digest or (seen.pulled and not others):
        return ""
    ran = f"what ran is {others[0]}" if others else "no node says what it pulled"
    return f", by its tag: {digest[:_SHOWN_OF_A_DIGEST]}... is pinned, and {ran}"


_SHOWN_OF_A_DIGEST = len("sha256:") + 12
"""As many of its digits as Docker shows."""


def _same(tag: str, told: str) -> bool:
    """Whether a tag and a package name the same version: 1.106.0-rc.1 is 1.106.0rc1, and 1.80.16.dev6 isn't 1.80.16."""
    try:
        return Version(tag) == Version(told)
    except InvalidVersion:
        return tag == told


def _leaves_the_build_out(tag: str, told: str) -> bool:
    """Whether a tag names a development build of the very release that the package reports, as LiteLLM's builds do."""
    try:
        build, release = Version(tag), Version(told)
    except InvalidVersion:
        return False
    return build.is_devrelease and str(release) == release.base_version == build.base_version


@judge("model-mode", ModesSeen, wants=dict, rests_on=ON_THE_CLUSTER)
def model_mode(seen: Sequence[ModesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """LiteLLM tells the mode of each model; one that has none is taken for chat.

    Source: litellm 1.80.16, main.py, ahealth_check: `mode = mode or "chat"`.
    """
    for each in seen:
        modes = {model: mode or "chat" for model, mode in each.modes.items()}
        wrong = [
            f"{model} is {modes[model]!r}; write mode: {mode} in its model_info{at(each.file)}"
            if model in modes
            else f"{model} is not among LiteLLM's models; write it into its model_list{at(each.file)}"
            for model, mode in check.wants.items()
            if modes.get(model) != mode
        ]
        if each.status != 200:
            yield each.case, failed(f"LiteLLM answers {each.status} where it tells its models' modes (/model/info)")
        else:
            silent = [model for model in check.wants if not each.modes.get(model)]
            told = f"{listed(silent)} names none, which LiteLLM takes for chat" if silent else ""
            yield each.case, failed("; ".join(wrong)) if wrong else passed(told)


INSIDE_PATHS = {"models": "/models", "chat": "/chat/completions"}
"""What each case asks for inside the cluster, below the base URL."""


@judge("inside-answers", InsideSeen, wants=dict, keys=["base", "model"], cases=True)
def inside_answers(seen: Sequence[InsideSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """From inside a pod the cluster's name leads to LiteLLM: to its models, and to a chat completion with some text."""
    for each in seen:
        wanted = check.wants["base"] + INSIDE_PATHS.get(each.case, "")
        if each.url != wanted:
            yield each.case, not_judged(f"{each.url} was asked, the story names {wanted}", Code.ASKED_OTHERWISE)
        elif each.unresolved:
            told = f"no pod finds {each.url} by its name: {each.error}"
            yield each.case, inconclusive(told, Code.CLUSTER_FAILED)
        elif each.error:
            yield each.case, failed(f"{each.url} gave no answer inside the cluster: {each.error}", Code.NO_ANSWER)
        elif each.status != 200:
            yield each.case, failed(f"{each.url} answered {each.status} inside the cluster: {each.body[:200]}")
        elif problem := _not_inside(each, check.wants["model"]):
            yield each.case, failed(f"{each.url} inside the cluster: {problem}")
        else:
            yield each.case, passed(f"asked on {each.node}")


def _not_inside(each: InsideSeen, model: str) -> str:
    """What is wrong with an answer inside the cluster; empty if nothing is."""
    body = parse(each.body)
    if found := openai_format.violations(body):
        return str(found[0])
    if each.case == "models":
        return "" if model in [offered["id"] for offered in body["data"]] else f"{model} is not among its models"
    return "" if body["choices"][0]["message"]["content"] else "the answer says nothing"


@judge("stays-ready", StayedReady, minima=["seconds", "looks", "pods"], rests_on=ON_THE_CLUSTER)
def stays_ready(seen: Sequence[StayedReady], check: Check, _: Recorded) -> Iterator[Judgement]:
    """All pods were Ready at each look, long enough, while the backend was away."""
    for each in seen:
        if each.not_ready:
            yield each.case, failed(f"not Ready while vLLM was away: {each.not_ready[0]}")
        elif each.backend_pods:
            yield each.case, inconclusive(f"{each.backend_pods} pods of vLLM were still there", Code.PROVES_NOTHING)
        elif each.pods < check.min["pods"]:
            yield each.case, failed("there was no LiteLLM pod")
        elif each.looks < check.min["looks"]:
            yield (
                each.case,
                not_judged(f"looked at {each.looks} times; the story asks for {check.min['looks']:g}", Code.TOO_FEW),
            )
        elif each.seconds < check.min["seconds"]:
            yield (
                each.case,
                not_judged(
                    f"watched for {each.seconds:g} s; the story asks for {check.min['seconds']:g} s", Code.TOO_FEW
                ),
            )
        else:
            yield each.case, passed(f"{each.looks} looks in {each.seconds:g} s")
