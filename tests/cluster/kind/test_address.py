"""Where programs in pods reach a Service: at its ClusterIP; asked of an API that any cluster has."""

import pytest

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.kind import KindCluster
from signoff.core.errors import SignoffError
from signoff.kube.client import Kube
from signoff.story import NODES


def test_a_service_is_reached_at_its_cluster_ip(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> None:
    for name, more in (("web", {}), ("each", {"clusterIP": "None"})):
        body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **more}}
        kube.core.create_namespaced_service(namespace, body)
    as_kind = KindCluster(cluster.dir / "kind", cluster.dir, NODES, owned=False)
    address = kube.core.read_namespaced_service("web", namespace).spec.cluster_ip
    assert as_kind.address_in_pods(namespace, "web", 80) == (address, 80)
    with pytest.raises(SignoffError, match="has no ClusterIP"):
        as_kind.address_in_pods(namespace, "each", 80)
    with pytest.raises(SignoffError, match="no Service default/nobody"):
        as_kind.address_in_pods("default", "nobody", 80)
