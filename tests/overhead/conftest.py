"""What the measurements of the doubles share."""

import pytest

from signoff.traffic import blocks, pairs


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests and warm-up are for real servers: a double is as quick after a short one, and warm at once."""
    for module in (pairs, blocks):
        monkeypatch.setattr(module, "REST_SECONDS", 0.002)
    monkeypatch.setattr(pairs, "WARM_UP_WINDOWS", 1)
