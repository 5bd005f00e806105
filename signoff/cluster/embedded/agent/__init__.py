"""The node agent: one asyncio process that plays the three nodes and runs each pod's containers as host processes.

What it does is what a kubelet does; where the two differ, the module at hand says so. In short: nothing is isolated.
A container's world is translated when it starts (see `translation`), limits on memory and processor, users, read-only
roots and network policies are not enforced, and a ConfigMap that changes is seen when a container starts again.
"""
