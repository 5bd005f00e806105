"""What the suite asks of the Kubernetes API, in the words of the steps; on any cluster."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.discovery import LazyDiscoverer
from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError, ResourceNotFoundError
from urllib3.exceptions import HTTPError

from signoff.core import timeouts
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.kube.addons import why_skipped
from signoff.kube.gate import Gate, Request, reaches_in, reads
from signoff.kube.objects import Manifest
from signoff.kube.refusals import refused
from signoff.kube.secrets import values

FIELD_MANAGER = "signoff"

_YES = ("true", "True", "1")
_SUMMARY = "/stats/summary"
_NO_ROOM = re.compile(r"Insufficient (?:cpu|memory|ephemeral-storage)|Too many pods")
HOPELESS_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerError",
    "CreateContainerConfigError",
}


class _Discoverer(LazyDiscoverer):  # type: ignore[misc]
    """Reads the API's kinds afresh each time.

    The library keeps them in a file of the temporary folder, named after the server's address: it would outlive the
    cluster, and be believed by the next one that happens to have the address.
    """

    def _write_cache(self) -> None:
        return


class _Rest(RESTClientObject):  # type: ignore[misc]
    """What each call of the typed clients and of the dynamic one ends in; a server that is silent ends none for ever.

    What follows a log or watches objects may be silent for as long as nothing happens there.
    """

    def request(self, method: str, url: str, headers: Any = None, body: Any = None, **more: Any) -> Any:
        query = dict(parse_qsl(url.partition("?")[2]))
        if not more.get("_request_timeout") and not any(query.get(each) in _YES for each in ("follow", "watch")):
            more["_request_timeout"] = timeouts.REQUEST.seconds
        return super().request(method, url, headers=headers, body=body, **more)


class _Gated(_Rest):
    """Asks a gate before all that may write."""

    def __init__(self, configuration: Any, gate: Gate) -> None:
        super().__init__(configuration)
        self._gate = gate

    def request(self, method: str, url: str, headers: Any = None, body: Any = None, **more: Any) -> Any:
        send = super().request
        server = self.configuration.host
        path, _, query = url.removeprefix(server).partition("?")
        if reads(method, path):
            return send(method, url, headers=headers, body=body, **more)

        def sent(asked: Request) -> Any:
            given = {**(headers or {}), **({"Content-Type": asked.content_type} if asked.content_type else {})}
            to = f"{server}{asked.path}" + (f"?{urlencode(asked.query)}" if asked.query else "")
            return send(asked.method, to, headers=given, body=asked.body, **more)

        kind, asked = (headers or {}).get("Content-Type", ""), dict(parse_qsl(query))
        if reaches_in(path):
            asked.pop("dryRun", None)  # would be handed on as well, and mean nothing there
        return self._gate.passed(Request(method.upper(), path, asked, body, kind), sent)


class Kube:
    """A cluster's API through one kubeconfig; if there is a gate, through that too."""

    def __init__(self, kubeconfig: Path, gate: Gate | None = None) -> None:
        self._client = config.new_client_from_config(str(kubeconfig))
        self._gate = gate
        settings = self._client.configuration
        self._client.rest_client = _Gated(settings, gate) if gate else _Rest(settings)
        self.core = client.CoreV1Api(self._client)
        self.apps = client.AppsV1Api(self._client)
        self.batch = client.BatchV1Api(self._client)
        self.coordination = client.CoordinationV1Api(self._client)
        self.discovery = client.DiscoveryV1Api(self._client)
        self._dynamic: DynamicClient | None = None

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    def apply(self, manifest: Manifest, namespace: str) -> str | None:
        """Apply one object server-side. Returns why it was skipped, or None when it was applied.

        An object of a known add-on whose CRD the cluster lacks is skipped; everything else that the API server does
        not know or refuses is an error.

        Raises:
            SignoffError: the API server refused the object, with its own words; or nobody knows its kind.
        """
        if not self.knows(manifest):
            return why_skipped(manifest)
        self._applied(manifest, namespace)
        return None

    def tried(self, manifest: Manifest, namespace: str) -> dict[str, Any]:
        """What the API server would make of an object that is applied here without force; it keeps nothing of it.

        Raises:
            SignoffError: it would refuse the object, or others keep a field of it.
        """
        return self._applied(manifest, namespace, dry_run="All", force_conflicts=False)

    def _applied(self, manifest: Manifest, namespace: str, **more: Any) -> dict[str, Any]:
        """Apply an object; fields that another keeps are taken only where there is no gate, and all is the suite's."""
        body = _kept_by_the_server(manifest.body)
        resource = self._resource(body["apiVersion"], body["kind"])
        asked = {"field_manager": FIELD_MANAGER, "force_conflicts": self._gate is None, **more}
        try:
            answer = self.dynamic.server_side_apply(
                resource,
                body=body,
                name=body["metadata"]["name"],
                namespace=body["metadata"].get("namespace", namespace) if resource.namespaced else None,
                **asked,
            )
        except DynamicApiError as error:
            raise refused(manifest, error) from None
        made: dict[str, Any] = answer.to_dict()
        return made

    def knows(self, manifest: Manifest) -> bool:
        """Whether the API server has the kind of this object."""
        try:
            self._resource(manifest.body["apiVersion"], manifest.body["kind"])
        except ResourceNotFoundError:
            return False
        return True

    def objects(self, api_version: str, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        """The objects of a kind, of all namespaces if none is named; none where the cluster does not know the kind."""
        try:
            resource = self._resource(api_version, kind)
        except ResourceNotFoundError:
            return []
        within = {"namespace": namespace} if namespace else {}
        found: list[dict[str, Any]] = self.dynamic.get(resource, **within).to_dict()["items"]
        return found

    def object(self, api_version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """One object; None where it is not there, or the cluster does not know the kind."""
        within = {"namespace": namespace} if namespace else {}
        try:
            found = self.dynamic.get(self._resource(api_version, kind), name=name, **within)
        except (NotFoundError, ResourceNotFoundError):
            return None
        body: dict[str, Any] = found.to_dict()
        return body

    def delete(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        """Delete an object with all that it owns; its pods get a second to end. One that is not there is no error."""
        with suppress(NotFoundError, ResourceNotFoundError):
            resource = self._resource(api_version, kind)
            there = self.dynamic.get(resource, name=name, namespace=namespace).to_dict()
            self.dynamic.delete(resource, name=name, namespace=namespace, body={"propagationPolicy": "Foreground"})
            self._hurry_pods_of(there, namespace)

    def _hurry_pods_of(self, workload: dict[str, Any], namespace: str) -> None:
        """Give the pods of a workload that is being deleted a second to end, whatever their grace period."""
        spec = workload.get("spec", {})
        if "template" in spec and (selector := selector_text(spec.get("selector") or {})):
            self.core.delete_collection_namespaced_pod(namespace, label_selector=selector, grace_period_seconds=1)

    def wait_until_deleted(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        """Wait until an object that is being deleted, and all that it owns, is gone.

        A ReplicaSet may have made one more pod before it was told to end: that one gets no more than a second either.
        """

        def look() -> None:
            with suppress(NotFoundError, ResourceNotFoundError):
                there = self.dynamic.get(self._resource(api_version, kind), name=name, namespace=namespace).to_dict()
                if there["metadata"].get("deletionTimestamp"):
                    self._hurry_pods_of(there, namespace)
                raise NotYet("it is still there")

        eventually(f"{kind}/{name} to be gone", timeouts.SCALED_DOWN, look)

    @property
    def dynamic(self) -> DynamicClient:
        """The dynamic client; made on first use, since it reads the API's whole discovery."""
        if self._dynamic is None:
            self._dynamic = DynamicClient(self._client, cache_file="/dev/null/none", discoverer=_Discoverer)
        return self._dynamic

    def _resource(self, api_version: str, kind: str) -> Any:
        return self.dynamic.resources.get(api_version=api_version, kind=kind)

    def kubelet_summary(self, node: str) -> Any:
        """What a node's kubelet tells of the resources that its pods use: its Summary API.

        Raises:
            ApiException: the API server or the kubelet refuses.
        """
        return json.loads(self._ask_node(node, _SUMMARY, timeouts.REQUEST))

    def _ask_node(self, node: str, path: str, timeout: timeouts.Timeout) -> bytes:
        """What a node's kubelet answers.

        The API server passes the question on, which takes the right to `get nodes/proxy`. It refuses to do so to an
        address of loopback: a kubelet there is on this machine, and is asked itself.
        """
        try:
            # The typed client's method for it would escape a slash.
            proxied = f"/api/v1/nodes/{node}/proxy{path}"
            return bytes(self.dynamic.request("get", proxied, serialize=False, _request_timeout=timeout.seconds).data)
        except DynamicApiError as error:
            kubelet = self._kubelet_on_loopback(node) if error.status == HTTPStatus.BAD_REQUEST else None
            if kubelet is None:
                raise
        return self._ask_kubelet(kubelet, path, timeout)

    def _kubelet_on_loopback(self, node: str) -> str | None:
        """The address and port of a node's kubelet, if the node says that these are on loopback."""
        status = self.core.read_node(node).status
        addresses = (ip_address(each.address) for each in status.addresses or [] if each.type == "InternalIP")
        endpoint = status.daemon_endpoints and status.daemon_endpoints.kubelet_endpoint
        own = next((each for each in addresses if each.is_loopback), None)
        return f"{own}:{endpoint.port}" if own and endpoint else None

    def _ask_kubelet(self, kubelet: str, path: str, timeout: timeouts.Timeout) -> bytes:
        """What the kubelet at this address answers this client's certificate, without the API server between them.

        Raises:
            ApiException: it answers otherwise than with 200.
            HTTPError: it does not answer.
        """
        request = self._client.rest_client.pool_manager.request
        answer = request("GET", f"https://{kubelet}{path}", timeout=timeout.seconds, retries=False)
        if answer.status != HTTPStatus.OK:
            raise ApiException(status=answer.status, reason=answer.reason)
        return bytes(answer.data)

    def make_namespace(self, name: str) -> bool:
        """Make a namespace; False if it was there, which takes no right to make one."""
        if self.object("v1", "Namespace", name):
            return False
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        try:
            self.core.create_namespace(body, field_manager=FIELD_MANAGER)
        except ApiException as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def wait_for_namespace(self, name: str) -> None:
        """Wait until pods can be created in the namespace: its default ServiceAccount and root CA are there."""

        def look() -> None:
            try:
                self.core.read_namespaced_service_account("default", name)
                self.core.read_namespaced_config_map("kube-root-ca.crt", name)
            except ApiException as error:
                raise NotYet(reason_of(error)) from None

        eventually(f"namespace {name} to accept pods", timeouts.NAMESPACE_READY, look)

    def workload(self, namespace: str, name: str, kind: str = "Deployment") -> Any:
        """The Deployment, or the StatefulSet, as the API returns it."""
        read = {
            "Deployment": self.apps.read_namespaced_deployment,
            "StatefulSet": self.apps.read_namespaced_stateful_set,
        }
        return read[kind](name, namespace)

    def pod_template(self, namespace: str, name: str, kind: str = "Deployment") -> dict[str, Any]:
        """What a workload's next pod is made from, defaults included, by the API's own names."""
        made: dict[str, Any] = self._client.sanitize_for_serialization(
            self.workload(namespace, name, kind).spec.template
        )
        return made

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Any]:
        """The pods with these labels that are not being deleted."""
        return self._selected_pods(namespace, labels_text(labels))

    def _selected_pods(self, namespace: str, selector: str) -> list[Any]:
        found = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def silent_nodes(self, nodes: Iterable[str]) -> list[str]:
        """Those of the nodes whose kubelet does not answer; long before they count as not Ready.

        Where this user may not ask kubelets, which would be to rule over them, those that count as not Ready.
        """
        return [node for node in sorted(nodes) if not self._kubelet_answers(node)]

    def _kubelet_answers(self, node: str) -> bool:
        try:
            self._ask_node(node, "/healthz", timeouts.KUBELET_ANSWERS)
        except ApiException as error:
            if error.status == HTTPStatus.FORBIDDEN:
                return is_ready(self.core.read_node(node))
            return error.status not in (404, 500, 502, 503, 504)
        except HTTPError:  # no answer in time, as from a process that was stopped
            return False
        return True

    def wait_until_available(
        self, namespace: str, name: str, timeout: timeouts.Timeout, kind: str = "Deployment"
    ) -> None:
        """Wait until the newest pods of a Deployment or a StatefulSet are all available and the old ones are gone.

        Gives up early when a pod is in a state that waiting does not fix, or the Deployment itself has given up.
        """

        def look() -> None:
            workload = self.workload(namespace, name, kind)
            want, status = workload.spec.replicas, workload.status
            if want == 0:
                raise Hopeless("it is scaled to 0, so that nothing of it runs", grace=0)
            done = (
                status.observed_generation == workload.metadata.generation
                and (status.updated_replicas or 0) == want
                and (status.available_replicas or 0) == want
                and (status.replicas or 0) == want
            )
            if not done:
                why = self.why_not(workload, f"{status.available_replicas or 0} of {want} replicas available")
                raise Hopeless(f"progress deadline exceeded: {why}", grace=0) if _gave_up(status) else why

        eventually(f"{kind} {name} to be available", timeout, look)

    def why_not(self, workload: Any, summary: str) -> NotYet:
        """Why a workload is not available: a summary, and what its pods and their nodes say."""
        pods = self._owned_pods(workload)
        states = [f"{pod.metadata.name}: {describe_pod(pod)}" for pod in pods]
        lost = [f"its node {node} is not Ready" for node in sorted(self.lost_nodes(pods))]
        text = "; ".join([summary, *states, *lost])
        return Hopeless(text) if lost or any(is_hopeless(pod) for pod in pods) else NotYet(text)

    def lost_nodes(self, pods: Iterable[Any]) -> set[str]:
        """The nodes of pods that are not Ready whose kubelets have gone silent: a machine that is off, say."""
        nodes = {pod.spec.node_name for pod in pods if pod.spec.node_name and not is_ready(pod)}
        return {node for node in nodes if not is_ready(self.core.read_node(node))}

    def _owned_pods(self, workload: Any) -> list[Any]:
        """The workload's own pods, a Deployment's by way of its ReplicaSets: another pod of the same labels is none."""
        namespace, selector = workload.metadata.namespace, selector_of(workload)
        sets = self.apps.list_namespaced_replica_set(namespace, label_selector=selector).items
        owner = {workload.metadata.uid}
        owners = owner | {each.metadata.uid for each in sets if _owned_by(each, owner)}
        return [pod for pod in self._selected_pods(namespace, selector) if _owned_by(pod, owners)]

    def scale(self, namespace: str, name: str, replicas: int, kind: str = "Deployment") -> None:
        """Set a workload's number of replicas, as `kubectl scale` does."""
        patch = {
            "Deployment": self.apps.patch_namespaced_deployment_scale,
            "StatefulSet": self.apps.patch_namespaced_stateful_set_scale,
        }
        patch[kind](name, namespace, {"spec": {"replicas": replicas}}, field_manager=FIELD_MANAGER)

    def wait_until_gone(self, namespace: str, selector: str) -> None:
        """Wait until no pod is left that this selects, terminating ones included."""

        def look() -> None:
            left = self.core.list_namespaced_pod(namespace, label_selector=selector).items
            if left:
                raise NotYet("still there: " + ", ".join(pod.metadata.name for pod in left))

        eventually(f"the pods of {selector} to be gone", timeouts.SCALED_DOWN, look)

    def cordon(self, node: str, *, cordoned: bool) -> None:
        """Have the node take no new pods, or take them again, as `kubectl cordon` and `uncordon` do."""
        self.core.patch_node(node, {"spec": {"unschedulable": cordoned}}, field_manager=FIELD_MANAGER)

    def mark(self, node: str, labels: Mapping[str, str | None], taints: Mapping[tuple[str, str], str | None]) -> None:
        """Give the node labels, and taints by their key and effect, beside those that it has; None takes one away."""
        new = [
            {"key": key, "effect": effect, "value": value}
            for (key, effect), value in taints.items()
            if value is not None
        ]

        def attempt() -> None:
            there = self.core.read_node(node)
            stay = [taint for taint in there.spec.taints or [] if (taint.key, taint.effect) not in taints]
            metadata = {"labels": dict(labels), "resourceVersion": there.metadata.resource_version}
            try:
                body = {"metadata": metadata, "spec": {"taints": [*stay, *new]}}
                self.core.patch_node(node, body, field_manager=FIELD_MANAGER)
            except ApiException as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                raise NotYet("the cluster has changed the node meanwhile") from None

        eventually(f"the node {node} to be marked", timeouts.CORDON_SHOWS, attempt)

    def advertise(self, node: str, resources: Mapping[str, int]) -> None:
        """Have the node offer extended resources, which its kubelet then goes on to report.

        Source: https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/
        """
        patch = [
            {"op": "add", "path": f"/status/{field}/{name.replace('/', '~1')}", "value": str(amount)}
            for name, amount in resources.items()
            for field in ("capacity", "allocatable")
        ]
        if patch:
            self.core.patch_node_status(node, patch, field_manager=FIELD_MANAGER)

    def wait_until_cordoned(self, node: str, *, cordoned: bool) -> None:
        """Wait for the taint, which shows that the control plane has noticed; before that, pods are still placed."""

        def look() -> None:
            taints = sorted(taint.key for taint in self.core.read_node(node).spec.taints or [])
            if ("node.kubernetes.io/unschedulable" in taints) != cordoned:
                raise NotYet(f"tainted with {taints}")

        eventually(f"the taint of a cordon to show on {node}", timeouts.CORDON_SHOWS, look)


def _kept_by_the_server(body: dict[str, Any]) -> dict[str, Any]:
    """A Secret with all values in `data`, as the API server keeps them: `stringData` is what nobody reads back.

    Whoever applies it takes every value for a change of another's, even of the same value.
    """
    if body["kind"] != "Secret" or not body.get("stringData"):
        return body
    data = {key: b64encode(value).decode() for key, value in values(body).items()}
    return {**{key: each for key, each in body.items() if key != "stringData"}, "data": data}


def selector_of(workload: Any) -> str:
    """A workload's selector as the API takes it for a list."""
    selector = workload.spec.selector
    expressions = [each.to_dict() for each in selector.match_expressions or []]
    return selector_text({"matchLabels": selector.match_labels or {}, "matchExpressions": expressions})


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as the API takes it for a list; empty for one that selects everything.

    >>> selector_text({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]})
    'app=web,tier'
    """
    labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    return ",".join(filter(None, [labels_text(labels), *map(_expression_text, expressions)]))


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as the API takes them for a list."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _expression_text(expression: Mapping[str, Any]) -> str:
    key, values = expression["key"], f"({','.join(expression.get('values') or [])})"
    texts = {"In": f"{key} in {values}", "NotIn": f"{key} notin {values}", "Exists": key, "DoesNotExist": f"!{key}"}
    return str(texts[expression["operator"]])


def condition(body: Any, name: str) -> Any:
    """The condition of this type of a pod or a node, or None."""
    return next((c for c in body.status.conditions or [] if c.type == name), None)


def is_ready(body: Any) -> bool:
    """Whether the Ready condition of a pod or a node is True."""
    ready = condition(body, "Ready")
    return ready is not None and ready.status == "True"


def describe_pod(pod: Any) -> str:
    """Phase and the reason for not being ready, in one line."""
    parts = [pod.status.phase or "Unknown"]
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.status != "True":
        parts.append(f"{scheduled.reason}: {scheduled.message}")
    for status in container_statuses(pod):
        if status.state and status.state.waiting:
            parts.append(
                f"{status.name} {status.state.waiting.reason}: {status.state.waiting.message or ''}".rstrip(": ")
            )
        if status.restart_count:
            parts.append(f"{status.name} restarted {status.restart_count} times")
    return ", ".join(parts)


def describe_end(status: Any) -> str:
    """How a container ended last: its reason and exit code."""
    ended = (status.state and status.state.terminated) or (status.last_state and status.last_state.terminated)
    if not ended:
        return f"{status.name} was restarted"
    signal = f", signal {ended.exit_code - 128}" if ended.exit_code > 128 else ""
    return f"{status.name} {ended.reason or 'ended'} (exit code {ended.exit_code}{signal})"


def is_hopeless(pod: Any) -> bool:
    """Whether the pod is in a state that waiting does not fix."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.reason == "Unschedulable":
        return True
    waiting = [s.state.waiting.reason for s in container_statuses(pod) if s.state and s.state.waiting]
    return any(reason in HOPELESS_REASONS for reason in waiting)


def lacks_room(pod: Any) -> bool:
    """Whether a node that might have taken the pod had too little processor, memory or disk left, or too many pods.

    No field says so; the scheduler's message does, in these words:
    https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/framework/plugins/noderesources/fit.go
    """
    scheduled = condition(pod, "PodScheduled")
    return bool(
        scheduled is not None and scheduled.reason == "Unschedulable" and _NO_ROOM.search(scheduled.message or "")
    )


def _owned_by(body: Any, owners: set[str]) -> bool:
    return any(owner.uid in owners for owner in body.metadata.owner_references or [])


def _gave_up(status: Any) -> bool:
    """Whether the Deployment itself says that its `progressDeadlineSeconds` have passed."""
    return any(each.reason == "ProgressDeadlineExceeded" for each in status.conditions or [])


def container_statuses(pod: Any) -> list[Any]:
    """Those of its init containers and of its main ones."""
    return [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]


def lasting_statuses(pod: Any) -> list[Any]:
    """Those of the containers that are to run as long as the pod does: of its main ones, then of its sidecars."""
    sidecars = {each.name for each in pod.spec.init_containers or [] if each.restart_policy == "Always"}
    beside = [each for each in pod.status.init_container_statuses or [] if each.name in sidecars]
    return [*(pod.status.container_statuses or []), *beside]


def reason_of(error: ApiException) -> str:
    """The API server's own words: the `message` of the Status object that it answered with."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
