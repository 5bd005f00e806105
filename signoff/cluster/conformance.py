"""What Kubernetes does, each behaviour written once: how it is brought about, what is observed, what is expected.

Everything is observed through the API alone, so that the same behaviours run on a cluster of the suite's own (as tests)
and on any other (`scripts/compare_behaviours.py`). Programs inside pods tell what they see through their logs.
"""

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import Kube, condition, is_ready
from signoff.kube.undo import Cordon, Undo

Body = dict[str, Any]
PATIENCE = Timeout(150, every=0.4)
"""A kubelet shows a changed ConfigMap within its sync period of a minute, and a lost node is noticed after 50 s."""
SIDE_BY_SIDE = 12
LABEL = "signoff/behaviour"

SLEEP = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up'); time.sleep(600)"
SERVER = """
import http.server as h, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Answer(h.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ill = False
    def do_GET(self):
        if self.path == "/turn": Answer.ill = True
        well = {"/until-turned": not self.ill, "/missing": False}.get(self.path, True)
        body = os.environ["HOSTNAME"].encode()
        self.send_response(200 if well else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
h.ThreadingHTTPServer.request_queue_size = 128
h.ThreadingHTTPServer(("0.0.0.0", 8080), Answer).serve_forever()
"""
CLIENT = """
import collections, time, urllib.request as u
seen = collections.Counter()
def ask():
    try:
        return u.urlopen("http://web.{namespace}.svc.cluster.local/", timeout=5).read().decode()
    except OSError as error:
        return type(getattr(error, "reason", error)).__name__
"""


@dataclass(frozen=True)
class Cluster:
    """Where behaviours are observed: nodes for pods in `nodes`, and how to lose one of them for a while."""

    kube: Kube
    image: str
    python: tuple[str, ...]
    nodes: tuple[str, ...]
    lose: Callable[[str], AbstractContextManager[None]]
    spare_node: Lock


class Place:
    """A namespace of one behaviour's own, with the words that behaviours are written in."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.kube, self.namespace = cluster, cluster.kube, namespace

    def container(self, code: str, *, name: str = "main", **more: Any) -> Body:
        """A container that runs this Python."""
        return {"name": name, "image": self.cluster.image, "command": self.python(code), **more}

    def python(self, code: str) -> list[str]:
        return [*self.cluster.python, code.replace("{namespace}", self.namespace)]

    def template(self, *containers: Body, node: str | None = None, **spec: Any) -> Body:
        """Labels and the spec of a pod on the first node, or on that one."""
        place = {"kubernetes.io/hostname": node or self.cluster.nodes[0]}
        defaults = {"nodeSelector": place, "terminationGracePeriodSeconds": 2, "enableServiceLinks": False}
        return {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": list(containers), **defaults, "automountServiceAccountToken": False, **spec},
        }

    def run(self, *containers: Body, name: str = "pod", **spec: Any) -> None:
        """Create a pod."""
        body = self.template(*containers, **spec)
        body["metadata"] = {"name": name, "labels": {"app": name}}
        self.kube.core.create_namespaced_pod(self.namespace, body)

    def deploy(self, *containers: Body, replicas: int = 2, strategy: Body | None = None, **spec: Any) -> None:
        """Create a Deployment `web`."""
        deployment: Body = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}
        deployment |= {"template": self.template(*containers, **spec), "strategy": {"rollingUpdate": strategy or {}}}
        self.kube.apps.create_namespaced_deployment(self.namespace, {"metadata": {"name": "web"}, "spec": deployment})

    def service(self, app: str = "web", **spec: Any) -> None:
        """Create a Service `web` from port 80 to the port named "http"."""
        ports = [{"port": 80, "targetPort": "http"}]
        body = {"metadata": {"name": "web"}, "spec": {"selector": {"app": app}, "ports": ports, **spec}}
        self.kube.core.create_namespaced_service(self.namespace, body)

    def config(self, **data: str) -> None:
        """Create a ConfigMap `settings`."""
        self.kube.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": "settings"}, "data": data})

    def server(self, **more: Any) -> Body:
        """A container that answers HTTP with its pod's name, Ready once it does."""
        probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
        ports = [{"name": "http", "containerPort": 8080}]
        return self.container(SERVER, **{"ports": ports, "readinessProbe": probe, **more})

    def pod(self, name: str = "pod") -> Any:
        return self.kube.core.read_namespaced_pod(name, self.namespace)

    def main(self, name: str = "pod") -> Any:
        """The status of the pod's first container; before there is one, NotYet."""
        return _main(self.pod(name))

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """Wait until `look` gives something true."""

        def looked() -> Any:
            seen = look()
            if not seen:
                raise NotYet(str(seen))
            return seen

        return eventually(f"{what} in {self.namespace}", PATIENCE, looked)

    def running(self, name: str = "pod") -> Any:
        return self.until(f"{name} to run", lambda: self.main(name).state.running and self.pod(name))

    def ready(self, name: str = "pod") -> Any:
        return self.until(f"{name} to be ready", lambda: is_ready(self.pod(name)) and self.pod(name))

    def over(self, name: str = "pod") -> Any:
        """The pod once it is Succeeded or Failed."""
        return self.until(
            f"the end of {name}", lambda: (p := self.pod(name)).status.phase in ("Succeeded", "Failed") and p
        )

    def waiting(self, *reasons: str) -> Any:
        """The pod, as it was when its first container waited for one of these reasons."""

        def look() -> Any:
            pod = self.pod()
            state = _main(pod).state.waiting
            return pod if state and state.reason in reasons else None

        return self.until(" or ".join(reasons), look)

    def why_waiting(self, *reasons: str) -> str:
        """What the first container's waiting state says, once it has one of these reasons."""
        return str(_main(self.waiting(*reasons)).state.waiting.message)

    def available(self, replicas: int = 2) -> None:
        """Wait until the Deployment's newest version is available and nothing else is left."""

        def look() -> bool:
            found = self.kube.apps.read_namespaced_deployment("web", self.namespace)
            status, same = found.status, found.metadata.generation == found.status.observed_generation
            return bool(same and status.updated_replicas == status.available_replicas == status.replicas == replicas)

        self.until("the Deployment to be available", look)

    def log(self, name: str = "pod", **options: Any) -> str:
        try:
            return str(self.kube.core.read_namespaced_pod_log(name, self.namespace, **options))
        except ApiException as error:
            if error.status in (400, 404, 500):
                return ""
            raise

    def said(self, text: str, name: str = "pod") -> str:
        """The pod's log once this is in it."""
        return str(self.until(f"{name} to say {text!r}", lambda: text in (log := self.log(name)) and log))

    def event(self, reason: str) -> Any:
        """The first event with this reason."""
        events = self.kube.core.list_namespaced_event
        return self.until(
            f"an event {reason}", lambda: next((e for e in events(self.namespace).items if e.reason == reason), None)
        )

    def pods(self) -> list[Any]:
        return list(self.kube.core.list_namespaced_pod(self.namespace, label_selector="app=web").items)

    def delete(self, name: str = "pod") -> Any:
        """Delete the pod, and give what it was last."""
        return delete(self.kube, self.namespace, name)


def delete(kube: Kube, namespace: str, name: str) -> Any:
    """Delete the pod, and give what it was last."""
    version = kube.core.list_namespaced_pod(namespace).metadata.resource_version
    kube.core.delete_namespaced_pod(name, namespace)
    events = watch.Watch().stream(
        kube.core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=60
    )
    return next(e["object"] for e in events if e["type"] == "DELETED" and e["object"].metadata.name == name)


@dataclass(frozen=True)
class Behaviour:
    """One behaviour: `observe` brings it about and says what it saw; `expected` is what Kubernetes promises."""

    name: str
    expected: str
    observe: Callable[[Place], str]


BEHAVIOURS: list[Behaviour] = []


def behaviour(name: str, expected: str) -> Callable[[Callable[[Place], str]], Callable[[Place], str]]:
    """Add a behaviour to the table."""

    def add(observe: Callable[[Place], str]) -> Callable[[Place], str]:
        BEHAVIOURS.append(Behaviour(name, expected, observe))
        return observe

    return add


class Observations:
    """All behaviours, observed side by side in namespaces of their own."""

    def __init__(self, cluster: Cluster, run: str, behaviours: list[Behaviour]) -> None:
        self._cluster, self._run = cluster, run
        self._threads = ThreadPoolExecutor(SIDE_BY_SIDE)
        self._futures: dict[str, Future[str]] = {
            each.name: self._threads.submit(self._observe, each, number) for number, each in enumerate(behaviours)
        }

    def of(self, behaviour: Behaviour) -> str:
        """What was seen of it, once it has been; what could not be seen tells why."""
        return self._futures[behaviour.name].result()

    def close(self) -> None:
        """Begin no more."""
        self._threads.shutdown(cancel_futures=True)

    def _observe(self, behaviour: Behaviour, number: int) -> str:
        core, namespace = self._cluster.kube.core, f"{self._run}-{number}"
        core.create_namespace({"metadata": {"name": namespace, "labels": {LABEL: self._run}}})
        try:
            self._cluster.kube.wait_for_namespace(namespace)
            return behaviour.observe(Place(self._cluster, namespace))
        except WaitFailed as failed:
            return f"not seen: {failed.awaited}: {failed.observation}".replace(f" in {namespace}", "")
        except Exception as error:  # one that cannot be observed must not keep the others from being told
            return f"not seen: {type(error).__name__}: {error}"
        finally:
            core.delete_namespace(namespace, grace_period_seconds=0)


def _main(pod: Any) -> Any:
    """The status of the pod's first container; before there is one, NotYet."""
    if not pod.status.container_statuses:
        raise NotYet(str(pod.status.phase))
    return pod.status.container_statuses[0]


def _ended(state: Any) -> str:
    return f"{state.reason} {state.exit_code}"


# Node loss first: it takes longest.


@behaviour(
    "Node loss: its agent stops",
    "Ready Unknown (NodeStatusUnknown), taint unreachable:NoExecute; its pods not Ready, one evicted after its"
    " toleration; node and pod Ready again when the agent is back",
)
def node_loss(at: Place) -> str:
    node = at.cluster.nodes[-1]
    with at.cluster.spare_node:
        for name, seconds in (("pod", 2), ("patient", 600)):
            tolerations = [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
                for key in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
            ]
            at.run(at.container(SLEEP), name=name, node=node, tolerations=tolerations)
            at.ready(name)
        with at.cluster.lose(node):
            at.until("NotReady", lambda: _node_ready(at, node).status == "Unknown")
            reason = _node_ready(at, node).reason
            taints = at.until(
                "the taint",
                lambda: [t for t in at.kube.core.read_node(node).spec.taints or [] if t.effect == "NoExecute"],
            )
            at.until("the pods not to be ready", lambda: not is_ready(at.pod()) and not is_ready(at.pod("patient")))
            at.until("the eviction", lambda: at.pod().metadata.deletion_timestamp)
        at.until("Ready again", lambda: _node_ready(at, node).status == "True")
        at.until("the taint to go", lambda: not at.kube.core.read_node(node).spec.taints)
        at.ready("patient")
    taint = taints[0].key.removeprefix("node.kubernetes.io/")
    return (
        f"Ready Unknown ({reason}), taint {taint}:NoExecute; its pods not Ready, one evicted after its toleration;"
        " node and pod Ready again when the agent is back"
    )


def _node_ready(at: Place, node: str) -> Any:
    return condition(at.kube.core.read_node(node), "Ready")


@behaviour(
    "Cordon, and a drain against a disruption budget",
    "Pending: Unschedulable; evictions 201, 429 Cannot evict pod as it would violate the pod's disruption budget.",
)
def drain(at: Place) -> str:
    node = at.cluster.nodes[-1]
    budget = {"metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    at.kube.dynamic.resources.get(api_version="policy/v1", kind="PodDisruptionBudget").create(budget, at.namespace)
    with at.cluster.spare_node:
        at.deploy(at.server(), node=node)
        at.available()
        at.until("the budget", lambda: _allowed(at) == 1)
        with Undo(at.kube) as undo:
            undo.make(Cordon(node))
            Cordon(node).wait(at.kube)
            said = [_evict(at, pod.metadata.name) for pod in at.pods()]
            pending = at.until(
                "a Pending pod",
                lambda: next((p for p in at.pods() if (c := _scheduled(p)) and c.status == "False"), None),
            )
            return f"{pending.status.phase}: {_scheduled(pending).reason}; evictions {', '.join(said)}"


def _allowed(at: Place) -> int:
    api = at.kube.dynamic.resources.get(api_version="policy/v1", kind="PodDisruptionBudget")
    return int((api.get("web", at.namespace).status or {}).get("disruptionsAllowed") or 0)


def _scheduled(pod: Any) -> Any:
    return condition(pod, "PodScheduled")


def _evict(at: Place, name: str) -> str:
    try:
        at.kube.core.create_namespaced_pod_eviction(name, at.namespace, {"metadata": {"name": name}})
    except ApiException as error:
        return f"{error.status} {json.loads(error.body)['message']}"
    return "201"


@behaviour(
    "A changed ConfigMap: a whole volume, and a subPath", "volume new through ..data, subPath old, environment old"
)
def config_update(at: Place) -> str:
    at.config(colour="old")
    code = (
        "import os, time\nwhile True:\n"
        " links = os.path.islink('/whole/colour') and os.readlink('/whole/colour') == '..data/colour'\n"
        " print(open('/whole/colour').read(), 'through ..data' if links else 'plain', open('/one').read(),"
        " os.environ['COLOUR'], flush=True); time.sleep(1)"
    )
    mounts = [{"name": "v", "mountPath": "/whole"}, {"name": "v", "mountPath": "/one", "subPath": "colour"}]
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}]
    at.run(at.container(code, volumeMounts=mounts, env=env), volumes=[{"name": "v", "configMap": {"name": "settings"}}])
    at.said("old through ..data old old")
    at.kube.core.patch_namespaced_config_map("settings", at.namespace, {"data": {"colour": "new"}})
    whole, _, _, one, variable = at.said("new").strip().splitlines()[-1].split()
    return f"volume {whole} through ..data, subPath {one}, environment {variable}"


@behaviour("Rolling update under load, with a preStop sleep", "new pods only; 0 requests lost")
def rolling_update(at: Place) -> str:
    hook = {"preStop": {"sleep": {"seconds": 3}}}
    surge = {"maxUnavailable": 0, "maxSurge": 1}
    at.deploy(at.server(lifecycle=hook), strategy=surge, terminationGracePeriodSeconds=10)
    at.service()
    at.available()
    code = CLIENT + (
        "while ask().endswith('Error'): time.sleep(0.2)\nlost = 0\nprint('begun', flush=True)\n"
        "while True:\n for _ in range(20):\n  lost += ask().endswith('Error'); time.sleep(0.02)\n"
        " print('lost', lost, flush=True)"
    )
    at.run(at.container(code), name="client")
    at.said("lost", "client")
    before = {pod.metadata.name for pod in at.pods()}
    again = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
    at.kube.apps.patch_namespaced_deployment("web", at.namespace, again)
    at.available()
    at.until("the old pods to be gone", lambda: len(at.pods()) == 2)
    new = before.isdisjoint(pod.metadata.name for pod in at.pods())
    lost = at.log("client").strip().splitlines()[-1].removeprefix("lost ")
    return f"{'new pods only' if new else 'old pods left'}; {lost} requests lost"


@behaviour("Rollout to a version that is never Ready", "old pods stay Ready; ProgressDeadlineExceeded")
def stuck_rollout(at: Place) -> str:
    at.deploy(at.server(), strategy={"maxUnavailable": 0, "maxSurge": 1})
    at.available()
    probe = {"httpGet": {"path": "/missing", "port": "http"}, "periodSeconds": 1}
    spec = {"progressDeadlineSeconds": 5, "template": {"spec": {"containers": [at.server(readinessProbe=probe)]}}}
    at.kube.apps.patch_namespaced_deployment("web", at.namespace, {"spec": spec})

    def gave_up() -> Any:
        found = at.kube.apps.read_namespaced_deployment("web", at.namespace).status
        return next((found for c in found.conditions or [] if c.reason == "ProgressDeadlineExceeded"), None)

    status = at.until("the deadline", gave_up)
    return f"{'old pods stay Ready' if status.available_replicas == 2 else 'old pods gone'}; ProgressDeadlineExceeded"


@behaviour("Scale up and down", "1, 3, 0 pods Ready")
def scale(at: Place) -> str:
    at.deploy(at.server(), replicas=1)
    at.available(1)
    at.kube.scale(at.namespace, "web", 3)
    at.available(3)
    at.kube.scale(at.namespace, "web", 0)
    at.until("none left", lambda: not at.pods())
    return "1, 3, 0 pods Ready"


@behaviour(
    "Crash loop",
    "CrashLoopBackOff: back-off 10s restarting failed container=main; Error 3; 1 restart; Running, not Ready; event"
    " Back-off restarting failed container main in pod",
)
def crash_loop(at: Place) -> str:
    at.run(at.container("raise SystemExit(3)"))
    pod = at.waiting("CrashLoopBackOff")
    found = _main(pod)
    said = found.state.waiting.message.split(" pod=")[0]
    event = at.event("BackOff").message.split(" pod_")[0].removesuffix(f" pod_{at.namespace}").split(" pod pod")[0]
    return (
        f"CrashLoopBackOff: {said}; {_ended(found.last_state.terminated)}; {found.restart_count} restart;"
        f" {pod.status.phase}, {'Ready' if is_ready(pod) else 'not Ready'}; event {event}"
    )


@behaviour("An OOM-like exit (137)", "Error 137, restarted")
def oom(at: Place) -> str:
    at.run(at.container("raise SystemExit(137)"))
    found = at.until("a restart", lambda: (s := at.main()).restart_count and s)
    return f"{_ended(found.last_state.terminated)}, restarted"


@behaviour("More memory than the limit", "OOMKilled 137, restarted")
def out_of_memory(at: Place) -> str:
    code = "import time; time.sleep(1); held = b'x' * (96 << 20); time.sleep(600)"
    limits = {"requests": {"memory": "32Mi", "cpu": "10m"}, "limits": {"memory": "64Mi"}}
    at.run(at.container(code, resources=limits))
    found = at.until("a restart", lambda: (s := at.main()).restart_count and s)
    return f"{_ended(found.last_state.terminated)}, restarted"


@behaviour("restartPolicy OnFailure", "Completed 0 after 1 restart; Succeeded; Ready False: PodCompleted")
def on_failure(at: Place) -> str:
    code = "import os; first = not os.path.exists('/kept/x'); open('/kept/x', 'w'); raise SystemExit(int(first))"
    kept = [{"name": "kept", "mountPath": "/kept"}]
    at.run(at.container(code, volumeMounts=kept), volumes=[{"name": "kept", "emptyDir": {}}], restartPolicy="OnFailure")
    pod = at.over()
    found = pod.status.container_statuses[0]
    ended, ready = f"{_ended(found.state.terminated)} after {found.restart_count} restart", condition(pod, "Ready")
    return f"{ended}; {pod.status.phase}; Ready {ready.status}: {ready.reason}"


@behaviour("A restarted container's file system", "/tmp empty again, emptyDir kept")
def fresh_files(at: Place) -> str:
    code = (
        "import os; kept, fresh = os.path.exists('/kept/x'), not os.path.exists('/tmp/x')\n"
        "print('second' if kept else 'first', fresh); open('/kept/x', 'w'); open('/tmp/x', 'w')\n"
        "raise SystemExit(not kept)"
    )
    kept = [{"name": "kept", "mountPath": "/kept"}]
    at.run(at.container(code, volumeMounts=kept), volumes=[{"name": "kept", "emptyDir": {}}], restartPolicy="OnFailure")
    at.over()
    return "/tmp empty again, emptyDir kept" if at.log().split() == ["second", "True"] else at.log()


@behaviour("Readiness over HTTP", "Ready True, then ContainersNotReady; HTTP probe failed with statuscode: 503")
def readiness(at: Place) -> str:
    probe = {"httpGet": {"path": "/until-turned", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2}
    at.run(at.server(readinessProbe=probe))
    at.service("pod")
    at.ready()
    turn = CLIENT.replace("cluster.local/", "cluster.local/turn") + "while ask().endswith('Error'): time.sleep(0.1)"
    at.run(at.container(turn), restartPolicy="Never", name="client")
    ready = at.until("it to be unready", lambda: (c := condition(at.pod(), "Ready")).status == "False" and c)
    said = at.until("the 503", lambda: [e for e in _unhealthy(at) if "statuscode" in e])[0]
    return f"Ready True, then {ready.reason}; {said.removeprefix('Readiness probe failed: ')}"


def _unhealthy(at: Place) -> list[str]:
    events = at.kube.core.list_namespaced_event(at.namespace).items
    return [event.message for event in events if event.reason == "Unhealthy"]


@behaviour("An exec probe asks localhost, where its own container listens", "Ready")
def exec_probe_of_localhost(at: Place) -> str:
    asks = "import urllib.request as u; u.urlopen('http://localhost:8080/'); u.urlopen('http://127.0.0.1:8080/')"
    at.run(at.server(readinessProbe={"exec": {"command": at.python(asks)}, "periodSeconds": 1, "timeoutSeconds": 5}))
    at.ready()
    return "Ready"


@behaviour(
    "Readiness over TCP, nobody listening", "Readiness probe failed: dial tcp POD:8080: connect: connection refused"
)
def tcp_probe(at: Place) -> str:
    at.run(at.container(SLEEP, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    said = str(at.event("Unhealthy").message)
    return said.replace(str(at.pod().status.pod_ip), "POD")


@behaviour("Liveness by exec", "said no; main failed liveness probe, will be restarted; Completed 0; 1 restart")
def liveness(at: Place) -> str:
    command = at.python("print('said no'); raise SystemExit(1)")
    probe = {"exec": {"command": command}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 15}
    at.run(at.container(SLEEP, livenessProbe={**probe, "initialDelaySeconds": 6}))
    found = at.until("a restart", lambda: (s := at.main()).restart_count and s)
    said = at.event("Unhealthy").message.removeprefix("Liveness probe failed: ").strip()
    killed = at.event("Killing").message.removeprefix("Container ")
    return f"{said}; {killed}; {_ended(found.last_state.terminated)}; {found.restart_count} restart"


@behaviour(
    "A slow start behind a startup probe", "started False, then True; 0 restarts though liveness would have failed"
)
def slow_start(at: Place) -> str:
    slow = f"import time; time.sleep(5)\n{SERVER}"
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    at.run(
        at.server(
            command=at.python(slow),
            startupProbe={**probe, "failureThreshold": 30},
            livenessProbe={**probe, "failureThreshold": 1},
        )
    )
    before = _main(at.running()).started
    at.ready()
    found = at.main()
    return f"started {before}, then {found.started}; {found.restart_count} restarts though liveness would have failed"


@behaviour("A startup probe that never holds", "main failed startup probe, will be restarted; 1 restart")
def startup_fails(at: Place) -> str:
    at.run(at.container(SLEEP, startupProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 2}))
    found = at.until("a restart", lambda: (s := at.main()).restart_count and s)
    return f"{at.event('Killing').message.removeprefix('Container ')}; {found.restart_count} restart"


@behaviour("Init containers", "one after the other, then main; meanwhile PodInitializing; Initialized False, then True")
def init_order(at: Place) -> str:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    code = "import time; time.sleep(2); open('/shared/steps', 'a').write('{}')"
    inits = [at.container(code.format(name), name=name, volumeMounts=shared) for name in ("first", "second")]
    main = at.container("print(open('/shared/steps').read()); import time; time.sleep(600)", volumeMounts=shared)
    at.run(main, initContainers=inits, volumes=[{"name": "shared", "emptyDir": {}}])
    pod = at.waiting("PodInitializing")
    state, before = _main(pod).state.waiting.reason, condition(pod, "Initialized").status
    at.running()
    order = "one after the other, then main" if "firstsecond" in at.said("first") else "in another order"
    return f"{order}; meanwhile {state}; Initialized {before}, then {condition(at.pod(), 'Initialized').status}"


@behaviour("An init container that fails for good", "Failed; main waits: PodInitializing")
def init_fails(at: Place) -> str:
    at.run(
        at.container(SLEEP), initContainers=[at.container("raise SystemExit(1)", name="init")], restartPolicy="Never"
    )
    pod = at.over()
    return f"{pod.status.phase}; main waits: {pod.status.container_statuses[0].state.waiting.reason}"


@behaviour("An init container that crashes", "Pending; init CrashLoopBackOff after 1 restart")
def init_crashes(at: Place) -> str:
    at.run(at.container(SLEEP), initContainers=[at.container("raise SystemExit(1)", name="init")])

    def look() -> Any:
        states = at.pod().status.init_container_statuses or []
        return next((s for s in states if s.state.waiting and s.state.waiting.reason == "CrashLoopBackOff"), None)

    found = at.until("the back-off", look)
    return f"{at.pod().status.phase}; init CrashLoopBackOff after {found.restart_count} restart"


def _sidecar(at: Place, code: str, *, name: str = "beside", **more: Any) -> Body:
    return at.container(code, name=name, restartPolicy="Always", **more)


def _init_status(at: Place, name: str = "beside") -> Any:
    """The status of an init container; before there is one, NotYet."""
    found = at.pod().status.init_container_statuses or []
    if not found:
        raise NotYet("no init containers")
    return next(each for each in found if each.name == name)


FILES = [{"name": "shared", "mountPath": "/shared"}]
FILES_VOLUME = [{"name": "shared", "emptyDir": {}}]
WHEN_ASKED = """
import os, signal, time
def end(*_):
    time.sleep({seconds}); os._exit({code})
signal.signal(signal.SIGTERM, end); print("up", flush=True)
while True: time.sleep(0.1)
"""


@behaviour(
    "A sidecar",
    "the next init container waits for its startup probe; meanwhile Pending, beside not initialized; "
    "then Running, Initialized True, Ready; beside runs, 0 restarts",
)
def sidecar(at: Place) -> str:
    wrote = at.python("import os; raise SystemExit(not os.path.exists('/shared/started'))")
    slow = f"import time; time.sleep(2); open('/shared/started', 'w')\n{SLEEP}"
    probe = {"exec": {"command": wrote}, "periodSeconds": 1, "failureThreshold": 30}
    beside = _sidecar(at, slow, volumeMounts=FILES, startupProbe=probe)
    seen = at.container("import os; print(os.listdir('/shared'))", name="next", volumeMounts=FILES)
    main = at.container(SLEEP)
    at.run(main, initContainers=[beside, seen], volumes=FILES_VOLUME)
    at.until("the sidecar to run", lambda: _init_status(at).state.running)
    before = at.pod()
    unmet = condition(before, "Initialized").message
    after = at.ready()
    found = _init_status(at)
    told = at.log(container="next")
    order = "waits for its startup probe" if "started" in told else f"does not wait: {told}"
    return (
        f"the next init container {order}; meanwhile {before.status.phase}, "
        f"{'beside not initialized' if 'beside' in unmet else unmet}; then {after.status.phase}, "
        f"Initialized {condition(after, 'Initialized').status}, Ready; "
        f"beside {'runs' if found.state.running else 'does not run'}, {found.restart_count} restarts"
    )


@behaviour(
    "A sidecar that ends", "Completed 0, restarted though the pod never is; Running, Initialized True; main runs on"
)
def sidecar_ends(at: Place) -> str:
    beside = _sidecar(at, "import time; time.sleep(3)")
    at.run(at.container(SLEEP), initContainers=[beside], restartPolicy="Never")
    found = at.until("a restart", lambda: (s := _init_status(at)).restart_count and s)
    pod = at.pod()
    main = pod.status.container_statuses[0]
    return (
        f"{_ended(found.last_state.terminated)}, restarted though the pod never is; {pod.status.phase}, "
        f"Initialized {condition(pod, 'Initialized').status}; "
        f"main {'runs on' if main.state.running and not main.restart_count else 'does not run on'}"
    )


@behaviour("A sidecar that is not Ready", "Ready False: containers with unready status: [beside]; then True")
def sidecar_readiness(at: Place) -> str:
    code = f"import time; time.sleep(6); open('/shared/ready', 'w')\n{SLEEP}"
    probe = {"exec": {"command": at.python("open('/shared/ready')")}, "periodSeconds": 1}
    beside = _sidecar(at, SLEEP, volumeMounts=FILES, readinessProbe=probe)
    at.run(at.container(code, volumeMounts=FILES), initContainers=[beside], volumes=FILES_VOLUME)
    before = condition(at.running(), "Ready")
    return f"Ready {before.status}: {before.message}; then {condition(at.ready(), 'Ready').status}"


@behaviour("A sidecar whose liveness fails", "Init container beside failed liveness probe; main 0 restarts")
def sidecar_liveness(at: Place) -> str:
    probe = {"exec": {"command": at.python("raise SystemExit(1)")}, "periodSeconds": 1, "failureThreshold": 2}
    at.run(at.container(SLEEP), initContainers=[_sidecar(at, SLEEP, livenessProbe=probe)])
    at.until("a restart", lambda: _init_status(at).restart_count)
    return f"{at.event('Killing').message}; main {at.main().restart_count} restarts"


@behaviour("A sidecar whose startup fails", "Init container beside failed startup probe; Pending; main waits")
def sidecar_never_starts(at: Place) -> str:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
    at.run(at.container(SLEEP), initContainers=[_sidecar(at, SLEEP, startupProbe=probe)])
    at.until("a restart", lambda: _init_status(at).restart_count)
    waits = at.main().state.waiting
    return f"{at.event('Killing').message}; {at.pod().status.phase}; main {'waits' if waits else 'does not wait'}"


@behaviour("Sidecars of a pod that is deleted", "main ends first, then second, then first: Error 7, Error 6, Error 5")
def sidecars_end(at: Place) -> str:
    inits = [
        _sidecar(at, WHEN_ASKED.replace("{seconds}", "1.2").replace("{code}", code), name=name)
        for name, code in (("first", "5"), ("second", "6"))
    ]
    main = at.container(WHEN_ASKED.replace("{seconds}", "1.2").replace("{code}", "7"))
    at.run(main, initContainers=inits, terminationGracePeriodSeconds=20)
    at.until("all to be up", lambda: all("up" in at.log(container=name) for name in ("main", "first", "second")))
    last = at.delete().status
    ended = {each.name: each.state.terminated for each in (*last.container_statuses, *last.init_container_statuses)}
    order = sorted(ended, key=lambda name: ended[name].finished_at)
    return (
        f"{order[0]} ends first, then {order[1]}, then {order[2]}: {', '.join(_ended(ended[name]) for name in order)}"
    )


@behaviour("A Job with a sidecar", "completes: Succeeded; main Completed 0, beside Completed 0")
def sidecar_of_a_job(at: Place) -> str:
    main = at.container("import time; time.sleep(2)")
    template = at.template(main, initContainers=[_sidecar(at, SLEEP)], restartPolicy="Never")
    jobs = client.BatchV1Api(at.kube.core.api_client)
    job = {"metadata": {"name": "job"}, "spec": {"template": template, "backoffLimit": 0}}
    jobs.create_namespaced_job(at.namespace, job)
    at.until("the Job to complete", lambda: jobs.read_namespaced_job("job", at.namespace).status.succeeded)
    (pod,) = at.pods()
    main, beside = pod.status.container_statuses[0], pod.status.init_container_statuses[0]
    ends = f"main {_ended(main.state.terminated)}, beside {_ended(beside.state.terminated)}"
    return f"completes: {pod.status.phase}; {ends}"


@behaviour("preStop, then SIGTERM", "asked to end after preStop; Completed 0; event Killing: Stopping container main")
def pre_stop(at: Place) -> str:
    code = (
        "import os, signal, sys, time\n"
        "def asked(*_):\n print('after' if os.path.exists('/shared/hook') else 'before', flush=True); time.sleep(5)\n"
        " sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, asked); print('up', flush=True)\nwhile True: time.sleep(0.1)"
    )
    shared, seen = [{"name": "shared", "mountPath": "/shared"}], []
    hook = {"preStop": {"exec": {"command": at.python("open('/shared/hook', 'w')")}}}
    main = at.container(code, volumeMounts=shared, lifecycle=hook)
    at.run(main, volumes=[{"name": "shared", "emptyDir": {}}], terminationGracePeriodSeconds=20)
    at.said("up")
    with ThreadPoolExecutor(1) as side:
        ending = side.submit(at.delete)
        while not ending.done():
            seen.append(at.log())
            time.sleep(0.3)
    when = next((word for log in seen for word in ("after", "before") if word in log), "never")
    ended = ending.result().status.container_statuses[0].state.terminated
    return f"asked to end {when} preStop; {_ended(ended)}; event Killing: {at.event('Killing').message}"


@behaviour("A program that ignores SIGTERM", "killed after its grace period of 2 s: Error 137")
def stubborn(at: Place) -> str:
    at.run(at.container("import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"))
    at.said("up")
    begun = time.monotonic()
    ended = at.delete().status.container_statuses[0].state.terminated
    when = "after" if time.monotonic() - begun >= 2 else "before the end of"
    return f"killed {when} its grace period of 2 s: {_ended(ended)}"


@behaviour("A program without a handler for SIGTERM", "killed after its grace period: Error 137")
def no_handler(at: Place) -> str:
    at.run(at.container("import time; print('up'); time.sleep(600)"))
    at.said("up")
    terminated = at.delete().status.container_statuses[0].state.terminated
    killed = terminated.exit_code == 128 + signal.SIGKILL
    return f"{'killed after its grace period' if killed else 'ended at once'}: {_ended(terminated)}"


@behaviour("postStart that fails", "FailedPostStartHook: PostStartHook failed; container restarted")
def post_start(at: Place) -> str:
    hook = {"postStart": {"exec": {"command": at.python("raise SystemExit(1)")}}}
    at.run(at.container(SLEEP, lifecycle=hook))
    message = at.event("FailedPostStartHook").message
    at.until("a restart", lambda: at.main().restart_count)
    return f"FailedPostStartHook: {message}; container restarted"


@behaviour(
    "Environment",
    "A=1 B=1-$(NO)-$(A) P_colour=blue KEY=s3cret NAME=pod CPU=2 MEM=64 NONE=None argument 1",
)
def environment(at: Place) -> str:
    at.config(colour="blue")
    at.kube.core.create_namespaced_secret(at.namespace, {"metadata": {"name": "keys"}, "stringData": {"key": "s3cret"}})
    env: list[Body] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(NO)-$$(A)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x", "optional": True}}},
    ]
    code = (
        "import os, sys; names = ('A', 'B', 'P_colour', 'KEY', 'NAME', 'CPU', 'MEM', 'NONE')\n"
        "print(*(f'{n}={os.environ.get(n)}' for n in names), 'argument', sys.argv[1])"
    )
    more: Body = {"env": env, "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}], "args": ["$(A)"]}
    limits = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}
    at.run(at.container(code, resources=limits, **more), restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour(
    "Variables of Services", "WEB_SERVICE_HOST WEB_SERVICE_PORT=80 WEB_PORT=tcp://HOST:80 WEB_PORT_80_TCP_PROTO=tcp"
)
def service_links(at: Place) -> str:
    at.service()
    at.kube.core.read_namespaced_service("web", at.namespace)
    time.sleep(2)
    code = (
        "import os; e = os.environ; host = e.get('WEB_SERVICE_HOST', 'none')\n"
        "names = ('WEB_SERVICE_PORT', 'WEB_PORT', 'WEB_PORT_80_TCP_PROTO')\n"
        "print(*(['WEB_SERVICE_HOST'] + [f'{n}={e.get(n)}'.replace(host, 'HOST') for n in names]))"
    )
    at.run(at.container(code), enableServiceLinks=True, restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour("A pod asks the API with its own token", "system:serviceaccount:NS:default; its Secrets: Forbidden")
def own_token(at: Place) -> str:
    code = """
import json, os, ssl, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
if "KUBECONFIG" in os.environ:
    config = json.load(open(os.environ["KUBECONFIG"]))
    server, ca = (config["clusters"][0]["cluster"][each] for each in ("server", "certificate-authority"))
    token = config["users"][0]["user"]["tokenFile"]
else:
    server = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}".format(**os.environ)
    ca, token = folder + "/ca.crt", folder + "/token"
def ask(path, body=None):
    headers = {"Authorization": "Bearer " + open(token).read(), "Content-Type": "application/json"}
    request = urllib.request.Request(server + path, json.dumps(body).encode() if body else None, headers)
    try:
        return json.load(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca)))
    except urllib.error.HTTPError as refused:
        return json.load(refused)
review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
user = ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]["username"]
print(user + "; its Secrets:", ask("/api/v1/namespaces/{namespace}/secrets").get("reason"))
"""
    at.run(at.container(code), automountServiceAccountToken=True, restartPolicy="Never")
    at.over()
    return at.log().strip().replace(at.namespace, "NS")


@behaviour("Modes and items of a Secret's volume", "a 0o400, deep/b 0o440, no c; s3cret")
def secret_volume(at: Place) -> str:
    data = {"a": "s3cret", "b": "x", "c": "x"}
    at.kube.core.create_namespaced_secret(at.namespace, {"metadata": {"name": "keys"}, "stringData": data})
    items = [{"key": "a", "path": "a"}, {"key": "b", "path": "deep/b", "mode": 0o440}]
    volume = {"name": "v", "secret": {"secretName": "keys", "defaultMode": 0o400, "items": items}}
    code = (
        "import os\nmodes = [n + ' ' + oct(os.stat('/v/' + n).st_mode & 0o777) for n in ('a', 'deep/b')]\n"
        "print(', '.join(modes), 'c' if os.path.exists('/v/c') else 'no c', sep=', ', end='; ')\n"
        "print(open('/v/a').read())"
    )
    at.run(at.container(code, volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[volume], restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour("Writing to a mounted ConfigMap", "Read-only file system")
def read_only_mount(at: Place) -> str:
    at.config(x="y")
    code = "try: open('/x/new', 'w'); print('written')\nexcept OSError as error: print(error.strerror)"
    mounts = [{"name": "v", "mountPath": "/x", "readOnly": True}]
    volumes = [{"name": "v", "configMap": {"name": "settings"}}]
    at.run(at.container(code, volumeMounts=mounts), volumes=volumes, restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour("A subPath that its ConfigMap lacks", "an empty folder is mounted")
def missing_sub_path(at: Place) -> str:
    at.config(other="x")
    code = "import os; print('an empty folder is mounted' if os.listdir('/x/file') == [] else 'something else')"
    mounts = [{"name": "v", "mountPath": "/x/file", "subPath": "file"}]
    volumes = [{"name": "v", "configMap": {"name": "settings"}}]
    at.run(at.container(code, volumeMounts=mounts), volumes=volumes, restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour(
    "An image that does not exist", "Pending, ErrImagePull or ImagePullBackOff, 0 restarts, events Failed, BackOff"
)
def no_image(at: Place) -> str:
    at.run({**at.container(SLEEP), "image": "signoff.invalid/nothing:1"})
    at.waiting("ErrImagePull", "ImagePullBackOff")
    reasons = [at.event(reason).reason for reason in ("Failed", "BackOff")]
    phase, count = at.pod().status.phase, at.main().restart_count
    return f"{phase}, ErrImagePull or ImagePullBackOff, {count} restarts, events {', '.join(reasons)}"


@behaviour(
    "A missing key of a ConfigMap",
    "CreateContainerConfigError: couldn't find key x in ConfigMap NS/settings; then runs",
)
def missing_key(at: Place) -> str:
    at.config(other="y")
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x"}}}]
    at.run(at.container(SLEEP, env=env))
    message = at.why_waiting("CreateContainerConfigError").replace(at.namespace, "NS")
    at.kube.core.patch_namespaced_config_map("settings", at.namespace, {"data": {"x": "1"}})
    at.running()
    return f"CreateContainerConfigError: {message}; then runs"


@behaviour(
    "A missing ConfigMap of a volume",
    'ContainerCreating; MountVolume.SetUp failed for volume "v" : configmap "settings" not found; then runs',
)
def missing_config_map(at: Place) -> str:
    volumes = [{"name": "v", "configMap": {"name": "settings"}}]
    at.run(at.container(SLEEP, volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=volumes)
    message = at.event("FailedMount").message
    reason = at.main().state.waiting.reason
    at.config(x="y")
    at.running()
    return f"{reason}; {message}; then runs"


@behaviour("runAsNonRoot with an image of root's", "container has runAsNonRoot and image will run as root")
def non_root(at: Place) -> str:
    at.run(at.container(SLEEP, securityContext={"runAsNonRoot": True}))
    return at.why_waiting("CreateContainerConfigError").split(" (")[0]


@behaviour("Termination messages", "from its file: last words; from its log: broken")
def termination_messages(at: Place) -> str:
    file = at.container("open('/dev/termination-log', 'w').write('last words')", name="file")
    log = at.container(
        "print('broken'); raise SystemExit(1)", name="log", terminationMessagePolicy="FallbackToLogsOnError"
    )
    at.run(file, log, restartPolicy="Never")
    said = {each.name: each.state.terminated.message for each in at.over().status.container_statuses}
    return f"from its file: {said['file']}; from its log: {(said['log'] or '').strip()}"


@behaviour("Logs: previous and tail", "previous: run 1; tail: run 2")
def logs(at: Place) -> str:
    code = (
        "import os, time; run = 1 + os.path.exists('/kept/x'); open('/kept/x', 'w'); print('line'); print('run', run)\n"
        "time.sleep(600 if run == 2 else 0)"
    )
    kept = [{"name": "kept", "mountPath": "/kept"}]
    at.run(at.container(code, volumeMounts=kept), volumes=[{"name": "kept", "emptyDir": {}}])
    at.said("run 2")
    return f"previous: {at.log(previous=True, tail_lines=1).strip()}; tail: {at.log(tail_lines=1).strip()}"


@behaviour("Logs: follow", "first, second, last words")
def follow_logs(at: Place) -> str:
    code = "import time; print('first'); time.sleep(1.5); print('second'); time.sleep(0.5); print('last words')"
    at.run(at.container(code), restartPolicy="Never")
    at.said("first")
    return ", ".join(at.log(follow=True).splitlines())


@behaviour("A Service without endpoints", "ConnectionRefusedError")
def no_endpoints(at: Place) -> str:
    at.service()
    at.run(at.container(CLIENT + "time.sleep(3); print(ask())"), restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour("A Service whose Ready pod does not listen", "ConnectionRefusedError")
def deaf(at: Place) -> str:
    at.run(at.container(SLEEP, ports=[{"name": "http", "containerPort": 8080}]), name="web")
    at.service()
    at.ready("web")
    at.run(at.container(CLIENT + "time.sleep(3); print(ask())"), restartPolicy="Never")
    at.over()
    return at.log().strip()


@behaviour("A Service spreads connections", "60 answers from 2 pods")
def spread(at: Place) -> str:
    at.deploy(at.server())
    at.service()
    at.available()
    code = CLIENT + (
        "while ask().endswith('Error'): time.sleep(0.2)\ntime.sleep(2)\n"
        "for _ in range(60): seen[ask()] += 1\nprint(sum(seen.values()), 'answers from', len(seen), 'pods')"
    )
    at.run(at.container(code), restartPolicy="Never", name="client")
    at.over("client")
    return at.log("client").strip()


@behaviour("A headless Service", "answers at the pod's own port")
def headless(at: Place) -> str:
    at.deploy(at.server(), replicas=1)
    at.service(clusterIP="None")
    at.available(1)
    code = (
        CLIENT.replace("cluster.local/", "cluster.local:8080/")
        + "while ask().endswith('Error'): time.sleep(0.2)\nprint('answers at the pod\\'s own port')"
    )
    at.run(at.container(code), restartPolicy="Never", name="client")
    at.over("client")
    return at.log("client").strip()


@behaviour("The last endpoint terminates", "serves while it terminates, then ConnectionRefusedError")
def terminating_endpoint(at: Place) -> str:
    at.run(at.server(lifecycle={"preStop": {"sleep": {"seconds": 12}}}), name="web", terminationGracePeriodSeconds=20)
    at.service()
    at.ready("web")
    code = CLIENT + "while True:\n print(ask(), flush=True); time.sleep(0.5)"
    at.run(at.container(code), name="client")
    at.said("web\n", "client")
    at.kube.core.delete_namespaced_pod("web", at.namespace)
    time.sleep(3)
    before = at.log("client").strip().splitlines()[-1]
    last = at.until("a refusal", lambda: (s := at.log("client").split()[-1]) == "ConnectionRefusedError" and s)
    return f"{'serves while it terminates' if before == 'web' else before}, then {last}"


@behaviour("An established connection to a pod that is no longer Ready", "kept, while new ones are refused")
def established(at: Place) -> str:
    probe = {"httpGet": {"path": "/until-turned", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    at.run(at.server(readinessProbe=probe), name="web")
    at.service()
    code = (
        CLIENT
        + """
import http.client
while ask().endswith('Error'): time.sleep(0.1)
held = http.client.HTTPConnection("web.{namespace}.svc.cluster.local:80", timeout=5)
def again(path="/"):
    held.request("GET", path); return held.getresponse().read().decode()
again("/turn")
while not ask().endswith('Error'): time.sleep(0.2)
print('kept, while new ones are', 'refused' if ask() == 'ConnectionRefusedError' else ask(), again() == 'web')
"""
    )
    at.run(at.container(code), restartPolicy="Never", name="client")
    at.over("client")
    return at.log("client").strip().removesuffix(" True")
