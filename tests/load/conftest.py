"""What tests of a load's figures share."""

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`signoff load-report` judges and draws no page: for tests of the judging; tests/report looks at pages."""
    monkeypatch.setattr("signoff.report.load.page.write", lambda *_: None)
