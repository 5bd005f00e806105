"""What tests of a load's figures share."""

import pytest

from signoff.report.load import page


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`signoff load-report` judges and draws no page: for tests of the judging; tests/report looks at pages."""
    monkeypatch.setattr(page, "write", lambda *_: None)
