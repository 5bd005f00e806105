"""What the supervisor tells the agent: agent.json."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from signoff.cluster.embedded import socks
from signoff.core.node import Node


@dataclass(frozen=True)
class NodeConfig:
    """One node: its address for the API server, and the first three numbers of its pods' addresses."""

    declared: Node
    address: str
    pod_prefix: str

    @property
    def name(self) -> str:
        """What it registers as."""
        return self.declared.name

    @property
    def pod_range(self) -> str:
        """The first two numbers of the addresses of all pods of the cluster."""
        return self.pod_prefix.rpartition(".")[0]


@dataclass(frozen=True)
class AgentConfig:
    """The API server with this agent's client certificate, the folders, the nodes and the keys for serving logs."""

    server: str
    ca: str
    cert: str
    key: str
    dir: Path
    cache: Path
    namespaces: bool
    nodes: tuple[NodeConfig, ...]
    serving_cert: str
    serving_key: str
    client_ca: str
    relay: str = field(repr=False)
    """The URL of the relay into the pods' network, with its password."""

    @classmethod
    def read(cls, path: Path) -> "AgentConfig":
        """Read agent.json."""
        table = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            server=table["server"],
            ca=table["ca"],
            cert=table["cert"],
            key=table["key"],
            dir=Path(table["dir"]),
            cache=Path(table["cache"]),
            namespaces=table["namespaces"],
            nodes=tuple(
                NodeConfig(Node.parse(each["node"]), each["address"], each["pod_prefix"]) for each in table["nodes"]
            ),
            serving_cert=table["kubelet_serving_cert"],
            serving_key=table["kubelet_serving_key"],
            client_ca=table["kubelet_client_ca"],
            relay=socks.url(*table["relay"]),
        )
