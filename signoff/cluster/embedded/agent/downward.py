"""The downward API: what a pod may read of itself."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from signoff.cluster.embedded.kubeapi import Json

_SUFFIX = {
    "": 1.0,
    "m": 1e-3,
    **{letter: 1000.0**power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)},
}


@dataclass
class PodFacts:
    """A pod as it is now, and the addresses that its processes see: those on loopback, where it really listens."""

    pod: Json
    pod_ip: str
    address: str
    host_address: str

    def field(self, path: str) -> str:
        """The value at a fieldPath.

        Raises:
            ValueError: there is no such field in the downward API.
        """
        meta, spec = self.pod["metadata"], self.pod["spec"]
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str((meta.get(found[1]) or {}).get(found[2], ""))
        if path in ("metadata.labels", "metadata.annotations"):
            table = meta.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{value}"' for key, value in sorted(table.items()))
        simple = {
            "metadata.name": meta["name"],
            "metadata.namespace": meta["namespace"],
            "metadata.uid": meta["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.podIP": self.address,
            "status.podIPs": self.address,
            "status.hostIP": self.host_address,
            "status.hostIPs": self.host_address,
        }
        if path not in simple:
            raise ValueError(f"unsupported fieldPath: {path}")
        return str(simple[path])


def quantity(text: str) -> float:
    """A resource quantity as a number.

    >>> quantity("1500m"), quantity("2Gi")
    (1.5, 2147483648.0)
    """
    number, suffix = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text).groups()  # type: ignore[union-attr]
    return float(number) * _SUFFIX[suffix]


def resource(container: Json, name: str, divisor: str) -> str:
    """The value of a resourceFieldRef such as "limits.memory"; without a limit it is the node's own."""
    kind, _, what = name.partition(".")
    given = container.get("resources", {}).get(kind, {}).get(what)
    if given is None:
        given = machine()[what] if kind == "limits" and what in machine() else "0"
    return str(math.ceil(quantity(given) / (quantity(divisor) or 1)))


def machine() -> dict[str, str]:
    """What this machine has of the resources that the scheduler counts."""
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    return {"cpu": str(os.cpu_count()), "memory": meminfo["MemTotal"].split()[0] + "Ki"}
