"""Counters of a running vLLM, read from its own /metrics page: the proof that a request reached the model.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import math

import httpx

from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.traffic.client import authorities
from signoff.traffic.exposition import Sample, parse

REQUESTS = "vllm:request_success_total"
"""Requests that vLLM's engine finished, by `finished_reason` and `model_name`; one that it refused is not."""


def counter(base_url: str, name: str, **labels: str) -> float:
    """Give the sum of a metric over every sample that has these labels; 0.0 if the metric has none of them yet.

    Raises:
        SignoffError: the page could not be read, or does not know the metric at all.
    """
    found = [sample for sample in samples(base_url) if sample.name == name]
    if not found:
        raise SignoffError(
            f"no metric {name}", where=f"{base_url}/metrics", hint="is this the backend, and vLLM 0.6 or newer?"
        )
    return math.fsum(sample.value for sample in found if labels.items() <= sample.labels.items())


def samples(base_url: str) -> list[Sample]:
    """All samples of the page, which are of one moment.

    Raises:
        SignoffError: the page could not be read.
    """
    return list(parse(_page(base_url)))


def request_count(base_url: str) -> int:
    """Give how many requests the backend's engine has finished since its start.

    vLLM counts a request in the same turn of its event loop that hands out its last token, so that a caller that was
    answered may look a moment too early: wait for the expected value with `eventually`, then see with `consistently`
    that it stays.
    """
    return int(counter(base_url, REQUESTS))


def _page(base_url: str) -> str:
    url = f"{base_url.rstrip('/')}/metrics"
    try:
        response = httpx.get(url, timeout=REQUEST.seconds, trust_env=False, verify=authorities(), follow_redirects=True)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise SignoffError(f"the metrics page cannot be read: {error}", where=url) from error
    return response.text
