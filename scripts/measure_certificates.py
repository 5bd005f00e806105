"""How long a certificate takes from the word to the wire, again and again, as a Markdown table.

    python -m scripts.measure_certificates --certificates 20

The story's LiteLLM and its way in are deployed, without vLLM. Each certificate is issued anew, since the Secret of the
one before is deleted; it counts when Traefik serves it and the chain holds up to Pebble's root. One that does not come,
or is not served, ends the measurement with its cause.
"""

import argparse
import os
import platform
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from kubernetes.client.exceptions import ApiException

from signoff import way_in
from signoff.cluster.registry import DEFAULT, NAMES, open_cluster
from signoff.core.console import progress
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.core.waiting import NotYet, eventually
from signoff.evidence.recording import began, recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.traffic.certificates import certificate, covers, distrust, names
from signoff.way_in import WayIn, controllers


def main() -> None:
    """Measure on a cluster of its own and print the percentiles."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--certificates", type=int, default=20, help="how many, one after the other (default: 20)")
    parser.add_argument("--cluster", choices=NAMES, default=DEFAULT, help="where (default: %(default)s)")
    options = parser.parse_args()
    manifests = controllers.with_pebble(StoryManifests.read())
    images = {manifests.gateway_image: manifests.settings.allowed_nodes, **controllers.images(manifests)}
    with TemporaryDirectory() as folder, closing(open_cluster(options.cluster, images=images, fresh=True)) as cluster:
        run = began("measure", options.cluster, {})
        with recording(Path(folder) / "run", run) as evidence:
            deployed = Deployment(cluster, manifests, evidence)
            controllers.start(deployed.kube, cluster, manifests)
            deployed.apply([each for each in manifests.backend if each.kind == "Namespace"])
            deployed.apply(manifests.gateway)
            deployed.wait_for_gateway()
            way = way_in.of(deployed)
            assert way is not None
            way.wait()
            seconds = [issued_anew(way, number) for number in range(1, options.certificates + 1)]
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {options.cluster}\n")
    print(f"{len(seconds)} of {options.certificates} certificates were issued and served.\n")
    print("| s | median | p90 | longest |\n| --- | ---: | ---: | ---: |")
    print(f"| a certificate | {np.median(seconds):.1f} | {np.quantile(seconds, 0.9):.1f} | {max(seconds):.1f} |")


def issued_anew(way: WayIn, number: int) -> float:
    """Seconds from the deletion of the certificate's Secret until another one is served and trusted."""
    before = way.handshake(way.host).chain[0]
    begun = time.monotonic()
    way.kube.core.delete_namespaced_secret(way.route.secret, way.route.secret_namespace)
    eventually(f"certificate {number} to be served", WAY_IN_LEADS, lambda: is_another(way, before))
    seconds = time.monotonic() - begun
    progress("certificates", f"{number}: {seconds:.1f} s")
    return seconds


def is_another(way: WayIn, before: str) -> None:
    """See that a new certificate, the one of the Secret, is served under the host name and trusted."""
    try:
        state = way.certificate()
    except ApiException as error:
        raise NotYet(str(error.reason)) from None
    seen = way.handshake(way.host)
    if not state.ready or seen.error or not seen.chain or seen.chain[0] == before:
        raise NotYet("; ".join([seen.error or "the one before is served", *way.trouble()]))
    if seen.chain[0].strip() != state.secret_leaf.strip():
        raise NotYet("what is served is not in the Secret")
    chain = [certificate(each) for each in seen.chain]
    if not any(covers(name, way.host) for name in names(chain[0])):
        raise NotYet(f"it is for {', '.join(names(chain[0]))}")
    if why := distrust(chain, [certificate(each) for each in way.roots()], datetime.now(UTC)):
        raise NotYet(f"it is not trusted: {why}")


if __name__ == "__main__":
    main()
