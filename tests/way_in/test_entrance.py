"""The entrance of a person's cluster is found by what stands there, or it is told why not: on a real API server."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import yaml

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import SignoffError
from signoff.evidence.causes import cause_of
from signoff.evidence.models import Subject
from signoff.kube import rights
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, routes_in
from signoff.kube.undo import Delete
from signoff.way_in import entrance
from signoff.way_in.entrance import OWN, Entrance, Published
from signoff.way_in.traefik import Traefik
from tests.kube import accounts
from tests.way_in.test_handshake import serving

HOST = "llm.example"
K3S = "rancher/mirrored-library-traefik:3.6.2"
NGINX = "registry.k8s.io/ingress-nginx/controller:v1.14.0@sha256:0"
ARGUMENTS = (
    "--entryPoints.web.address=:8000/tcp",
    "--entryPoints.websecure.address=:8443/tcp",
    "--entryPoints.websecure.transport.respondingTimeouts.readTimeout=90",
    "--entryPoints.websecure.transport.respondingTimeouts.idleTimeout=1m",
    "--providers.kubernetescrd",
    "--providers.kubernetesingress",
    "--certificatesresolvers.le.acme.tlschallenge=true",
)
WEB, WEBSECURE = {"name": "web", "port": 80}, {"name": "websecure", "port": 443}
METRICS = {"name": "metrics", "port": 9100}
Stand = Callable[..., None]
Body = dict[str, Any]


@pytest.fixture
def stand(kube: Kube, namespace: str) -> Iterator[Stand]:
    """Puts pods and Services there, and takes away what would be found by the next test."""
    gone: list[Delete] = []

    def apply(*bodies: Body) -> None:
        for body in bodies:
            within = body["metadata"].setdefault("namespace", namespace) if body["kind"] != "IngressClass" else ""
            kube.apply(Manifest(Path(__file__), "", body), namespace)
            gone.append(Delete(body["apiVersion"], body["kind"], within, body["metadata"]["name"]))

    yield apply
    for each in gone:
        each.make(kube)
    for each in gone:
        each.wait(kube)


def pod(name: str, image: str = K3S, arguments: tuple[str, ...] = ARGUMENTS, **more: Any) -> Body:
    """Of a controller; no scheduler takes it, so that it is there and does not run."""
    container = {"name": "main", "image": image, "args": list(arguments), **more}
    spec = {"containers": [container], "schedulerName": "nobody", "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str, *ports: Body, of: str = "", kind: str = "LoadBalancer") -> Body:
    spec = {"type": kind, "selector": {"app": of or name}, "ports": list(ports)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def ingress_class(name: str, controller: str) -> Body:
    spec = {"controller": controller}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": spec}


def route(namespace: str, **annotations: str) -> Route:
    """An IngressRoute."""
    spec = {"routes": [{"match": f"Host(`{HOST}`)", "services": [{"name": "litellm", "port": 4000}]}]}
    metadata = {"name": "litellm", "namespace": namespace, "annotations": annotations}
    body = {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": metadata, "spec": spec}
    (found,) = routes_in([Manifest(None, "", body)], namespace)
    return found


def ingress(namespace: str, of_class: str) -> Route:
    text = f"""
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata: {{name: litellm, namespace: {namespace}}}
    spec:
      ingressClassName: {of_class}
      rules:
        - host: {HOST}
          http:
            paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: litellm, port: {{number: 4000}}}}}}}}]
    """
    (found,) = routes_in([Manifest(None, "", yaml.safe_load(text))], namespace)
    return found


def balanced(kube: Kube, namespace: str, name: str, address: str) -> None:
    """What a load balancer writes."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
    kube.core.patch_namespaced_service_status(name, namespace, status)


@contextmanager
def refused(subject: Subject) -> Iterator[list[str]]:
    told: list[str] = []
    with pytest.raises(SignoffError) as error:
        yield told
    assert cause_of(error.value).subject is subject
    told.append(error.value.what)


def test_a_traefik_of_k3s_is_found_beside_its_metrics_and_another_image(
    kube: Kube, namespace: str, stand: Stand
) -> None:
    stand(pod("traefik"), pod("other", NGINX), service("traefik", WEB, WEBSECURE))
    stand(service("metrics", METRICS, of="traefik", kind="ClusterIP"), service("other", WEB, WEBSECURE))
    balanced(kube, namespace, "traefik", "192.0.2.7")
    found = entrance.find(kube, route(namespace))
    assert (found.namespace, found.service, found.https, found.http) == (namespace, "traefik", 443, 80)
    assert (found.is_traefik, found.secure, found.api) == (True, "websecure", "")
    assert Published("192.0.2.7", 443, 80) in found.published


def test_its_ports_may_be_others_and_called_as_its_entry_points(kube: Kube, namespace: str, stand: Stand) -> None:
    stand(pod("traefik"), service("traefik", {**WEBSECURE, "port": 8443}, kind="ClusterIP"))
    found = entrance.find(kube, route(namespace))
    assert (found.https, found.http, list(found.published)) == (8443, None, [])


def test_the_service_for_those_outside_comes_before_one_for_those_inside(
    kube: Kube, namespace: str, stand: Stand
) -> None:
    stand(pod("traefik"), service("inside", WEB, WEBSECURE, of="traefik", kind="ClusterIP"))
    stand(service("outside", WEB, WEBSECURE, of="traefik", kind="NodePort"))
    assert entrance.find(kube, route(namespace)).service == "outside"


def test_a_traefik_at_the_ports_of_its_node_needs_no_service(kube: Kube, namespace: str, stand: Stand) -> None:
    taken = {"web": (8000, 80), "secure": (8443, 443)}
    ports = [{"name": name, "containerPort": at, "hostPort": of_node} for name, (at, of_node) in taken.items()]
    stand(pod("traefik", ports=ports))
    kube.core.patch_namespaced_pod_status("traefik", namespace, {"status": {"hostIP": "192.0.2.9"}})
    found = entrance.find(kube, route(namespace))
    assert (found.service, list(found.published)) == ("", [Published("192.0.2.9", 443, 80)])


def test_no_https_is_the_way_ins_own_fault(kube: Kube, namespace: str, stand: Stand) -> None:
    stand(pod("traefik"), service("traefik", WEB))
    with refused(Subject.GATEWAY) as told:
        entrance.find(kube, route(namespace))
    served = f"the Service {namespace}/traefik, by which IngressRoute/litellm is served"
    assert told == [f"https is not led in: {served}, has the ports 80"]


def test_none_is_nobodys_fault(kube: Kube, namespace: str, stand: Stand) -> None:
    stand(pod("other", NGINX), service("other", WEB, WEBSECURE))
    with refused(Subject.CLUSTER) as told:
        entrance.find(kube, route(namespace))
    assert told == ["nothing on this cluster is known for a Traefik, which is to serve IngressRoute/litellm"]


def test_of_two_one_is_named_or_told_by_what_it_reads(kube: Kube, namespace: str, stand: Stand) -> None:
    stand(pod("first"), pod("second"), service("first", WEB, WEBSECURE), service("second", WEB, WEBSECURE))
    with refused(Subject.CLUSTER) as told:
        entrance.find(kube, route(namespace))
    assert told[0].startswith("2 Traefiks may serve IngressRoute/litellm: the Service ")
    assert entrance.find(kube, route(namespace), f"{namespace}/second").service == "second"
    with refused(Subject.CLUSTER) as told:
        entrance.find(kube, route(namespace), f"{namespace}/third")
    assert told == [f"the setting ingress names the Service {namespace}/third, which is not there"]


@pytest.mark.parametrize(
    "of_the_first",
    [
        ("--providers.kubernetescrd.namespaces=elsewhere",),
        ("--providers.kubernetescrd.ingressclass=inside",),
        ("--providers.docker=true",),
    ],
    ids=["namespaces", "class", "provider"],
)
def test_a_traefik_that_does_not_read_the_route_is_none_of_it(
    kube: Kube, namespace: str, stand: Stand, of_the_first: tuple[str, ...]
) -> None:
    stand(pod("first", arguments=of_the_first), pod("second"))
    stand(service("first", WEB, WEBSECURE), service("second", WEB, WEBSECURE))
    assert entrance.find(kube, route(namespace)).service == "second"


def test_an_ingress_of_another_controller_is_found_by_its_address(kube: Kube, namespace: str, stand: Stand) -> None:
    own = ingress(namespace, "outside")
    stand(ingress_class("outside", "k8s.io/ingress-nginx"), own.manifest.body)
    stand(pod("traefik"), service("traefik", WEB, WEBSECURE), pod("nginx", NGINX), service("nginx", WEB, WEBSECURE))
    with refused(Subject.CLUSTER) as told:
        entrance.find(kube, own)
    assert "publishes no address in its status" in told[0]
    balanced(kube, namespace, "nginx", "192.0.2.8")
    written = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}}
    kube.dynamic.resources.get(api_version="networking.k8s.io/v1", kind="Ingress").status.patch(
        body=written, name="litellm", namespace=namespace, content_type="application/merge-patch+json"
    )
    found = entrance.find(kube, own)
    assert (found.service, found.controller, found.is_traefik) == ("nginx", "k8s.io/ingress-nginx", False)
    assert Traefik(kube, cast("Cluster", None), found).timeouts("websecure") == {}


def test_a_class_that_nobody_serves_is_the_way_ins_own_fault(kube: Kube, namespace: str, stand: Stand) -> None:
    stand(ingress_class("inside", "traefik.io/ingress-controller"))
    stand(pod("traefik"), service("traefik", WEB, WEBSECURE))
    assert entrance.find(kube, ingress(namespace, "inside")).service == "traefik"
    with refused(Subject.GATEWAY) as told:
        entrance.find(kube, ingress(namespace, "outside"))
    assert told == ["Ingress/litellm is of the class outside, which no controller of this cluster serves"]


def test_who_may_not_list_is_told_and_names_it(
    kube: Kube, cluster: EmbeddedCluster, namespace: str, stand: Stand, tmp_path: Path
) -> None:
    stand(pod("traefik"), service("traefik", WEB, WEBSECURE))
    limited = Kube(accounts.kubeconfig_of(kube, cluster.kubeconfig, f"entering-{namespace}", tmp_path))
    with refused(Subject.CLUSTER) as told:
        entrance.find(limited, route(namespace))
    assert told[0].startswith("pods of all namespaces may not be listed")
    with refused(Subject.CLUSTER) as told:
        entrance.find(limited, route(namespace), f"{namespace}/traefik")
    assert told[0].startswith(f"Services of the namespace {namespace} may not be listed")
    with pytest.raises(SignoffError, match="and this user may not forward to its pods"):
        entrance.door(limited, cast("Cluster", Forwarding(1)), Entrance(namespace, "traefik", "Traefik", 443, 80), HOST)
    look_only = rights.roles(())[0]
    for body in yaml.safe_load_all(look_only.file.read_text(encoding="utf-8")):
        kube.apply(Manifest(look_only.file, "", body), namespace)
    accounts.bind(kube, look_only, f"entering-{namespace}", namespace)
    accounts.once("the role to grant it", lambda: accounts.refusal(lambda: limited.pods(namespace, {})), 0)
    found = entrance.find(limited, route(namespace), f"{namespace}/traefik")
    assert found.service == "traefik"
    door = entrance.door(limited, cast("Cluster", Forwarding(1)), found, HOST)
    assert door.told.startswith(f"through a forward to the Service {namespace}/traefik")


# What a Traefik's arguments tell


def own_traefik(*arguments: str) -> Traefik:
    told = replace(OWN, api="", arguments=arguments)
    return Traefik(cast("Kube", None), cast("Cluster", None), told)


def test_arguments_tell_entry_points_timeouts_and_resolvers() -> None:
    traefik = own_traefik(*ARGUMENTS)
    assert list(traefik.entry_points()) == ["web", "websecure"]
    assert traefik.timeouts("websecure") == {"readTimeout": 90.0, "writeTimeout": 0.0, "idleTimeout": 60.0}
    assert traefik.timeouts("web") == {"readTimeout": 60.0, "writeTimeout": 0.0, "idleTimeout": 180.0}
    assert (traefik.has_resolver("le"), traefik.has_resolver("letsencrypt")) == (True, False)


def test_without_them_nothing_is_known() -> None:
    assert own_traefik("--configfile=/etc/traefik.yaml").timeouts("websecure") == {}
    assert own_traefik().entry_points() == {}


# How it is reached


class Forwarding:
    """A cluster whose every Service is here."""

    tunnelled = True

    def __init__(self, port: int) -> None:
        self.port = port

    def service_url(self, *_: object) -> str:
        return f"http://127.0.0.1:{self.port}"


def tls(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(made)
    return made


def test_the_published_address_is_taken_if_the_same_answers_there(kube: Kube) -> None:
    context, other = tls(trustme.CA()), tls(trustme.CA())
    with serving(context) as (_, forward), serving(context) as (_, same), serving(other) as (_, another):
        cluster = cast("Cluster", Forwarding(forward))

        def entered(*ports: int) -> entrance.Door:
            published = [Published("127.0.0.1", port, None) for port in ports]
            return entrance.door(
                kube, cluster, Entrance("kube-system", "traefik", "Traefik", 443, None, published), HOST
            )

        by_address = entered(1, same)
        assert (by_address.https, by_address.http) == (f"https://127.0.0.1:{same}", "")
        assert by_address.told == f"at 127.0.0.1:{same}, which the Service kube-system/traefik has for clients outside"
        for ports in ((), (1,), (another,)):
            forwarded = entered(*ports)
            assert forwarded.https == f"https://127.0.0.1:{forward}"
            assert forwarded.told.startswith("through a forward to the Service kube-system/traefik")


def test_without_a_service_and_out_of_reach_there_is_no_door(kube: Kube) -> None:
    nowhere = Entrance("kube-system", "", "Traefik", 443, 80, [Published("127.0.0.1", 1, 80)])
    with pytest.raises(SignoffError, match="this machine does not reach Traefik of kube-system"):
        entrance.door(kube, cast("Cluster", Forwarding(1)), nowhere, HOST)
