"""A real browser for the pages: the distribution's Chromium, driven by Playwright."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts.browser import MISSING, find


def program() -> str:
    """The browser on PATH; without one a person's tests are skipped, and a CI's fail, so that somebody notices."""
    if found := find():
        return found
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: Playwright keeps an event loop, beside which no other test could run its own."""
    path = program()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()
