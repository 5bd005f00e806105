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
    own = story.OVERHEAD_LIMIT_MS
    return f"{limit_ms:g} ms (NFR66{'' if limit_ms == own else f' wants {own:g} ms'})"
