"""Which nodes have a GPU: by what they offer, or by the labels and taints with which people mark them."""

import re
from collections.abc import Iterator
from typing import Any

RESOURCE = re.compile(r"(^|\.)(nvidia|amd|intel)\.com/|/(gpu|npu|tpu)")
"""A resource of a device plug-in for GPUs and the like: `nvidia.com/gpu`, `google.com/tpu`."""
_MARK = re.compile(r"(^|[./-])gpus?([./-]|$)")


def gpu_of(node: Any) -> str:
    """By what a node is known to have a GPU: a resource, a label or a taint; empty if by nothing."""
    return next(_marks(node), "")


def _marks(node: Any) -> Iterator[str]:
    offered = node.status.allocatable or {}
    yield from (f"{name}: {amount}" for name, amount in offered.items() if RESOURCE.search(name) and amount != "0")
    labels = (node.metadata.labels or {}).items()
    yield from (f"{key}={value}" for key, value in labels if _MARK.search(key) and value not in ("false", "no", "0"))
    for taint in node.spec.taints or []:
        if _MARK.search(taint.key):
            yield f"{taint.key}={taint.value or ''}:{taint.effect}"
