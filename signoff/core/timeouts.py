"""The one table of timeouts. Every wait in the suite names one of them; nothing waits without one."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeout:
    """How long to wait, and how often to look, in seconds."""

    seconds: float
    every: float = 0.2


CONTROL_PLANE_READY = Timeout(60, every=0.05)
NODES_READY = Timeout(30, every=0.05)
NAMESPACE_READY = Timeout(20, every=0.1)
NETWORKED_NODES_READY = Timeout(180, every=0.5)
"""Nodes with a network of their own: each is Ready once that is."""
PROCESS_EXIT = Timeout(10, every=0.02)
NAMESPACES_TRIED = Timeout(20)
"""The smallest program in namespaces of its own: a tenth of a second on an idle machine."""

FOUND_OUT = Timeout(300)
"""What an image's program asks once: vLLM imports twice, 17 s of a processor."""
BACKEND_READY = Timeout(900)
"""vLLM imports for half a minute; on a new machine its environment is installed first."""
GATEWAY_READY = Timeout(420)
KINDS_KNOWN = Timeout(30)
"""From a CustomResourceDefinition to its kind among those that the API server has."""
POD_SCHEDULED = Timeout(30)
CORDON_SHOWS = Timeout(30)
UNDONE = Timeout(900)
"""As long as a vLLM that was scaled to 0 may take to come back: nothing that is undone takes longer."""
SCALED_DOWN = Timeout(90)
SERVICE_ANSWERS = Timeout(15)
GATEWAY_NOTICES = Timeout(15)
"""How long the gateway may take to serve again once its backend is back (it cools a failed deployment down)."""

REQUEST = Timeout(60)
HANDSHAKE = Timeout(10)

WAY_IN_LEADS = Timeout(180, every=0.5)
"""A certificate by HTTP-01 takes 15 to 25 s on an idle machine: cert-manager looks five times before it asks."""

HOPELESS_GRACE = Timeout(15)
"""How long a state that does not pass by itself (ErrImagePull, Unschedulable, ...) may last before a wait gives up."""

KUBELET_ANSWERS = Timeout(5)
API_REQUEST = Timeout(30)
TUNNEL_OPENS = Timeout(10)
"""From a look at the Service to a kubelet that knows the port: some milliseconds where nothing hangs."""
TUNNEL_ALIVE = Timeout(15)
"""How often the other end is asked whether it is there; one that is silent for half of this again is gone."""
TUNNEL_CLOSES = Timeout(2)
RIGHTS_TOLD = Timeout(3)
"""How often a line tells how many questions about rights are left: of a cluster at home that is never once."""
CLUSTER_DOWN = Timeout(2, every=0.01)
"""From the order to end a cluster until nothing of it is left."""
DOWNLOAD_CONNECT = Timeout(3)
"""A machine without internet must notice quickly and go on to build."""
BUILD_PROGRAMS = Timeout(3600, every=10)
"""Kubernetes takes five minutes on two idle cores; `every` is the time between two lines of progress."""

KUSTOMIZE_BUILDS = Timeout(120)
"""It may clone a repository that the kustomization names."""

PAIRS_TIMED = Timeout(3600, every=1)
"""The timing job ends by itself: each of its requests is bounded, and the first that fails is its last."""

ASKED_AGAIN = Timeout(600, every=10)
"""Further rounds of the same questions to a model that does not repeat itself: 720 requests, some of them streams of
16 tokens; `every` is the time between two lines of progress."""

COUNTER_GROWS = Timeout(10, every=0.1)
"""vLLM counts a request in the turn of its loop that ends it; a caller may look a moment too early."""
COUNTER_SETTLES = Timeout(0.1, every=0.1)
"""Before the counter is read to begin with: what was answered before has been counted by then."""

LEAVING_NOTICED = Timeout(3, every=0.1)
"""How long it may take vLLM to notice that a client has left."""
RECORDER_DRAINS = Timeout(0.1)
"""What was written must be on its way before the connection is broken off on purpose."""

LOCUST_READY = Timeout(300)
LOCUST_ANSWERS = Timeout(30, every=1)
"""Its master answers while it makes its own report, if late; for longer it is gone."""
LOAD_ENDS = Timeout(math.inf, every=2)
"""A load ends by itself, after the time that was asked for; a master that is gone or never stops ends the wait."""
LOCUST_STOPS = Timeout(300)
"""Locust gives its workers a minute beyond --stop-timeout; a master that has lost them says "stopping" for ever."""

END_SHOWS = Timeout(2, every=0.3)
"""How long it may take until the API shows a container, node or control plane that has just ended."""
INSIDE_ASKED = Timeout(120)
"""A pod that asks from inside the cluster: its start, and two requests that are bounded each."""

READING_TOLD = Timeout(3)
"""When a line tells that a cluster's objects are being read: of one at home, with few kinds, that is seldom."""
WRITTEN = Timeout(20, every=0.1)
"""An object that others change all the time: until a change of ours meets the version that it was made for."""
LEASE_LAPSES = Timeout(30, every=0.5)
"""For how long a Lease that nobody renews is still its holder's. Clocks are not compared: who waits watches it."""
LEASE_WAITED_FOR = Timeout(90, every=0.5)
"""Until a Lease is lapsed, and the namespace of the run before is gone with it."""
LEASE_RENEWED = Timeout(20, every=5)
"""Without a renewal for that long its holder writes no more: before anybody else would take the Lease."""
LEASE_REQUEST = Timeout(5)
NAMESPACE_GONE = Timeout(180, every=0.5)
PUT_BACK = Timeout(60, every=0.2)
"""An object that others change all the time, until it is put back."""
