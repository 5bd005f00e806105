"""`signoff serve`: the story's deployment for another program, such as Locust."""

import argparse
import json
import os
import threading
from contextlib import suppress
from typing import Any

from signoff.core import interrupts
from signoff.core.paths import free_folder
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.options import ClusterChoice, add_deployment_options, check_deployment, check_reports_of, check_trust
from signoff.settings.arguments import read_from
from signoff.settings.shown import record
from signoff.traffic.keys import GATEWAY


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "serve", help="hold the deployment until standard input closes", description=run.__doc__
    )
    add_deployment_options(parser, "reports")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Hold the story's deployment for another program until that closes our standard input.

    A kept cluster is used and left running, else one is started that ends with this. Writes one line of JSON to
    standard output once LiteLLM and vLLM answer: the URLs of both, the model, the cluster's kubeconfig, and the folder
    with the evidence of what was deployed.
    """
    read = read_from(options)
    choice = ClusterChoice.of(read, options.attach, trust=options.trust)
    manifests = check_deployment(read, choice).without_way_in()
    check_reports_of(read)
    trust = check_trust(choice, manifests)
    settings = {**record(read), **manifests.not_the_storys, "attach": choice.attach.value, "trust": trust}
    folder = free_folder(read.settings.reports, "serve")
    with recording(folder, began("serve", choice.cluster.value, settings)) as evidence:
        closed = _interrupt_when_stdin_closes()
        cluster = None
        try:
            cluster = choice.open_cluster(manifests.images)
            record_cluster(evidence, cluster)
            deployment = Deployment(cluster, manifests, evidence)
            deployment.clear_away()
            deployment.start_both()
            deployment.wait_for_gateway()
            direct, proxied = deployment.wait_for_backend().url, deployment.answering_gateway().url
            models = {"model": manifests.roles.model.asked, "direct_model": manifests.settings.model}
            urls = {"proxied": proxied, "direct": direct, **models, "key": GATEWAY in deployment.keys.given}
            told = {**urls, "kubeconfig": str(cluster.kubeconfig), "evidence": str(evidence.dir)}
            print(json.dumps(told), flush=True)
            threading.Event().wait()  # for an interrupt: nothing else ends it
        except KeyboardInterrupt:
            if not closed.is_set():
                raise
        finally:
            if cluster:
                cluster.close()
    return 0


def _interrupt_when_stdin_closes() -> threading.Event:
    """Interrupt this process as Ctrl-C does once its caller has gone, even while the cluster is still starting.

    The event that is returned tells this end from a real Ctrl-C.
    """
    closed = threading.Event()

    def follow() -> None:
        # Not through sys.stdin, whose lock a daemon thread would still hold when Python ends.
        with suppress(OSError):  # closed from the start
            while os.read(0, 4096):
                pass
        closed.set()
        interrupts.interrupt()

    threading.Thread(target=follow, daemon=True).start()
    return closed
