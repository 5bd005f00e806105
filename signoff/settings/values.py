"""What a story's declaration may speak of by name: the settings, and what follows from them."""

from typing import Any

from signoff import story
from signoff.settings.model import Settings, is_secret, names


def story_values(settings: Settings) -> dict[str, Any]:
    """The value of each name, as JSON has it; no secret is among them. What is found in the manifests comes on top."""
    known: dict[str, Any] = settings.model_dump(mode="json", exclude=set(filter(is_secret, names())))
    here = f"{settings.namespace}.svc.cluster.local"
    return {
        **known,
        "asked_model": settings.asked_model or settings.model,
        "asks_for_key": bool(settings.api_key.get_secret_value()),
        "gateway_url": f"http://{story.GATEWAY}.{here}:{settings.port}",
        "backend_url": f"http://{story.BACKEND}.{here}:{story.BACKEND_PORT}/v1",
        "overhead_limit": overhead_limit(settings.overhead_limit_ms),
    }


def overhead_limit(limit_ms: float) -> str:
    """The limit in words: only the story's own is NFR66's.

    >>> overhead_limit(100.0), overhead_limit(500.0)
    ('100 ms (NFR66)', '500 ms (NFR66 wants 100 ms)')
    """
    return f"{limit_ms:g} ms ({_of_nfr66(limit_ms)})"


def overhead_requirement(limit_ms: float) -> str:
    """What is asked of the overhead, at the beginning of a sentence.

    >>> overhead_requirement(100.0), overhead_requirement(500.0)
    ('NFR66 (overhead below 100 ms)', 'Overhead below 500 ms (NFR66 wants 100 ms)')
    """
    if is_nfr66(limit_ms):
        return f"NFR66 (overhead below {limit_ms:g} ms)"
    return f"Overhead below {limit_ms:g} ms ({_of_nfr66(limit_ms)})"


def is_nfr66(limit_ms: float) -> bool:
    """Whether this is the story's limit of the overhead."""
    return limit_ms == story.OVERHEAD_LIMIT_MS


def _of_nfr66(limit_ms: float) -> str:
    return "NFR66" if is_nfr66(limit_ms) else f"NFR66 wants {story.OVERHEAD_LIMIT_MS:g} ms"
