"""The node agent: for each node one asyncio process that runs the containers of its pods as host processes.

What it does is what a kubelet does; where the two differ, the module at hand says so. In short: nothing is isolated.
A container's world is translated when it starts (see `translation`), and limits on memory and processor, users,
read-only roots and network policies are not enforced.
"""
