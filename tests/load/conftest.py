"""What tests of a load share."""

import pytest
from markupsafe import Markup


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts, most of a page's time, stay empty: these tests read verdicts and words, and tests/report draws."""
    monkeypatch.setattr("signoff.report.charts._drawn", lambda *_: Markup())
