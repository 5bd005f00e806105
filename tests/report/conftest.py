"""A real browser for the pages: the distribution's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def program() -> str:
    """The browser on PATH; without one a person's tests are skipped, and a CI's fail, lest nobody notice."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    told = "there is no Chromium or Chrome on PATH: install it, as by apt-get install chromium"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: Playwright keeps an event loop, beside which no other test could run its own."""
    path = program()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()
