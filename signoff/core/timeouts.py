"""The one table of time limits. Every wait in the suite names a row of it; nothing waits without one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """How long to wait, and how often to look, in seconds."""

    seconds: float
    every: float = 0.2


CONTROL_PLANE_READY = Limit(60, every=0.05)
NODES_READY = Limit(30, every=0.05)
NAMESPACE_READY = Limit(20, every=0.1)
KIND_NODES_READY = Limit(180, every=0.5)
"""kind waits for none of them; a node is Ready once its network is."""
PROCESS_EXIT = Limit(10, every=0.02)

BACKEND_READY = Limit(900)
"""vLLM imports for half a minute; on a new machine its environment is installed first."""
GATEWAY_READY = Limit(420)
POD_SCHEDULED = Limit(30)
SCALED_DOWN = Limit(90)
SERVICE_ANSWERS = Limit(15)
GATEWAY_NOTICES = Limit(15)
"""How long the gateway may take to serve again once its backend is back (it cools a failed deployment down)."""

REQUEST = Limit(60)

HOPELESS_GRACE = Limit(15)
"""How long a state that does not mend itself (ErrImagePull, Unschedulable, ...) may last before a wait ends early."""

API_REQUEST = Limit(30)
CLUSTER_DOWN = Limit(2, every=0.01)
"""From the word to end a cluster until nothing of it is left."""
DOWNLOAD_CONNECT = Limit(3)
"""A machine without internet must hear of it quickly and go on to build."""
BUILD_KUBERNETES = Limit(3600, every=10)
"""Five minutes on two idle cores; `every` is the time between two lines of progress."""

PAIRS_TIMED = Limit(3600, every=1)
"""The prober ends by itself: each of its requests is bounded, and the first that fails is its last."""

COUNTER_GROWS = Limit(10, every=0.1)
"""vLLM counts a request in the turn of its loop that ends it; a caller may look a moment too early."""

LEAVING_NOTICED = Limit(3, every=0.1)
"""How long a client's leaving may take to reach vLLM."""
RECORDER_DRAINS = Limit(0.1)
"""What was written must be on its way before the connection is broken off on purpose."""

LOCUST_READY = Limit(300)
LOCUST_ANSWERS = Limit(30, every=1)
"""Its master answers while it makes its own report, if late; for longer it is gone."""
LOCUST_STOPS = Limit(300)
"""Locust gives its workers a minute beyond --stop-timeout; a master that has lost them says "stopping" for ever."""

END_SHOWS = Limit(2, every=0.3)
"""How long it may take until the API tells of a container, node or control plane that has just ended."""
INSIDE_ASKED = Limit(120)
"""A pod that asks from inside the cluster: its start, and two requests that are bounded each."""
