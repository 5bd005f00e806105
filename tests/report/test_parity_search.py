"""The parity page's search and filter, as a person uses them in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from doubles.faulty_gateway import Tampering, drop
from signoff.parity.matrix import matrix
from signoff.report import parity
from tests.parity_bench import NOTHING_KNOWN, Bench

PLAIN, STREAMED = "chat.plain/plain/hosted_vllm", "chat.plain/streamed/hosted_vllm"
MODELS = "models.list/plain/hosted_vllm"


@pytest.fixture
def page(bench: Bench, tmp_path: Path, browser: Browser) -> Iterator[Page]:
    results = [*bench.ask("chat.plain/*", tampering=Tampering(body=drop("usage"))), *bench.ask("models.list/*")]
    parity.write(matrix(results, NOTHING_KNOWN, version="1", image="i", seconds=1), tmp_path / parity.PAGE)
    page = browser.new_page()
    page.goto((tmp_path / parity.PAGE).as_uri())
    yield page
    page.close()


def shows(page: Page, *runs: str) -> None:
    expect(page.locator("details.run:visible summary code")).to_have_text(list(runs))


def test_a_person_searches_filters_and_opens_a_run(page: Page) -> None:
    shows(page, PLAIN, STREAMED, MODELS)
    search = page.get_by_label("Search")
    search.press_sequentially("body.USAGE plain")
    shows(page, PLAIN)
    expect(page.get_by_role("status")).to_have_text("1 of 3 runs")
    search.press_sequentially(" nothing")
    shows(page)
    search.fill("")
    shows(page, PLAIN, STREAMED, MODELS)
    page.get_by_label("Class").select_option("defect")
    shows(page, PLAIN)
    page.locator("details.run:visible summary").click()
    expect(page.locator("details[open]")).to_contain_text("Name a bird.")
