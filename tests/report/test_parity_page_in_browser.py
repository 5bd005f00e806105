"""The page's search and filter, as a person uses them in a real browser."""

from pathlib import Path

import pytest

from signoff.parity.matrix import matrix
from signoff.report import parity as page
from tests.doubles.bench import NOTHING_KNOWN, Bench
from tests.doubles.faulty_gateway import Tampering, drop
from tests.report.browser import PROGRAM, Page, browse

SHOWN = (
    "[...document.querySelectorAll('details.run')].filter(run => run.getBoundingClientRect().height)"
    ".map(run => run.querySelector('code').textContent)"
)
PLAIN, STREAMED = "chat.plain/plain/hosted_vllm", "chat.plain/streamed/hosted_vllm"
MODELS = "models.list/plain/hosted_vllm"


@pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium or Chrome on PATH")
def test_a_person_searches_filters_and_opens_a_run(bench: Bench, tmp_path: Path) -> None:
    results = [*bench.ask("chat.plain/*", tampering=Tampering(body=drop("usage"))), *bench.ask("models.list/*")]
    page.write(matrix(results, NOTHING_KNOWN, version="1", image="i", seconds=1), tmp_path / page.PAGE)
    with browse(tmp_path / page.PAGE, tmp_path / "browser") as opened:
        searches(opened)
        filters(opened)
        opens(opened)


def searches(opened: Page) -> None:
    opened.shows(SHOWN, [PLAIN, STREAMED, MODELS])
    opened.click("#find")
    opened.type("body.USAGE plain")
    opened.shows(SHOWN, [PLAIN])
    opened.shows("document.getElementById('count').textContent", "1 of 3 runs")
    opened.type(" nothing")
    opened.shows(SHOWN, [])
    opened.click("#find", times=3)
    opened.type(" ")
    opened.shows(SHOWN, [PLAIN, STREAMED, MODELS])


def filters(opened: Page) -> None:
    opened.read("document.getElementById('class').focus()")
    opened.type("def")
    opened.shows("document.getElementById('class').value", "defect")
    opened.shows(SHOWN, [PLAIN])


def opens(opened: Page) -> None:
    opened.click("details.run:not([hidden]) summary")
    opened.shows("document.querySelector('details[open]')?.innerText.includes('Name a bird.')", True)
