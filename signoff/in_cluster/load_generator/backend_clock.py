"""vLLM's own word during a load: how many requests reached it, and how long it took for them."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPParseError

from signoff.in_cluster.load_generator.run import BACKEND_CLOCK, Sample
from signoff.traffic.exposition import parse

_SECONDS = 5.0
_METRICS: Mapping[str, tuple[str, ...]] = {
    "finished": ("vllm:request_success_total",),
    "held": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "timed": ("vllm:e2e_request_latency_seconds_count",),
    "timed_seconds": ("vllm:e2e_request_latency_seconds_sum",),
}
"""What a sample holds, and the metrics that it is the sum of, over engines, models and reasons."""


class BackendClock:
    """Reads the /metrics page of a server whose base URL is given, as far as it has one."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._path = parts.path.rstrip("/") + "/metrics"
        self._http = HTTPClient(
            parts.hostname or "",
            parts.port,
            ssl=parts.scheme == "https",
            connection_timeout=_SECONDS,
            network_timeout=_SECONDS,
        )

    def look(self) -> list[Sample]:
        """A sample; none where the page cannot be read just now, or is not vLLM's."""
        try:
            response = self._http.request("GET", self._path)
            moment = time.time()
            page = response.read().decode(errors="replace") if response.get_code() == 200 else ""
        except (OSError, RuntimeError, HTTPParseError):
            return []
        told: dict[str, Any] = dict(read(page))
        return [Sample(moment, BACKEND_CLOCK, role="backend", **told)] if told else []


def read(page: str) -> dict[str, float]:
    """What a page says; empty where it lacks one of the metrics.

    >>> read("vllm:request_success_total 3.0")
    {}
    """
    sums: dict[str, float] = {}
    for each in parse(page):
        if any(each.name in metrics for metrics in _METRICS.values()):
            sums[each.name] = sums.get(each.name, 0.0) + each.value
    if any(name not in sums for metrics in _METRICS.values() for name in metrics):
        return {}
    return {what: sum(sums[name] for name in metrics) for what, metrics in _METRICS.items()}
