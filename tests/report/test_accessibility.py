"""Every page is for everybody: axe-core finds nothing, and nothing sticks out, wide and narrow, light and dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator.run import Sample
from signoff.settings import read
from signoff.settings.shown import record
from tests.evidence import runs
from tests.sampling import sampled

NAMES = ("signed-off.html", "not-signed-off.html", "parity.html", "load.html", "load-with-baseline.html", "soak.html")
SAMPLES = [
    Sample(BEGAN + at * 5, pod, cpu_seconds=at * 2.0, rss_mib=300 + at, restarts=0)
    for pod in ("litellm-0", "vllm-api-0", "generator local")
    for at in range(20)
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all kinds of pages."""
    folder = tmp_path_factory.mktemp("pages")
    waivers = {"way-in": "Traefik is tried by hand"}
    others = record(read({"overhead_limit_ms": ["500"], "allowed_nodes": ["a-worker-01,a-worker-02"]}))
    signed_off = runs.whole_run(folder / "signed-off", waivers, ingress=runs.WAY_IN).evidence.folder
    troubled = runs.troubled_run(
        folder / "troubled", ingress=runs.WAY_IN, ingress_error="status 502: bad gateway", settings=others
    ).evidence.folder
    load = Synthetic(
        loads=(2, 20, 40),
        behaviours=[Behaviour(), Behaviour(error_share=0.05), Behaviour(added_ms=140, capacity=33)],
        seconds=30,
        samples=[*SAMPLES, Sample(BEGAN + 50, "litellm-0", event="Unhealthy: the probe failed")],
        invalid_spans=[InvalidSpan(BEGAN + 65, BEGAN + 70, "local", InvalidKind.BACKLOG, "17 requests late")],
        settings=others,
    ).write(folder / "load")
    before = Synthetic(loads=(2, 20, 40), seconds=30).write(folder / "before")
    soak = Synthetic(loads=(4,), shape="steady", seconds=900, samples=SAMPLES).write(folder / "soak")
    found = {
        "signed-off.html": signed_off / "signoff.html",
        "not-signed-off.html": troubled / "signoff.html",
        "parity.html": troubled / "parity.html",
    }
    for name, run, baseline in (
        ("load.html", load, []),
        ("load-with-baseline.html", load, ["--baseline", str(before)]),
        ("soak.html", soak, []),
    ):
        main(["load-report", str(run), *baseline])
        found[name] = (run / "load-report.html").rename(folder / name)
    for name, path in found.items():
        path.rename(folder / name)
    return folder


@dataclass(frozen=True)
class Window:
    """How wide a person's window is, in pixels, and the colours that they like."""

    width: int
    scheme: Literal["light", "dark"]

    @contextmanager
    def opened(self, browser: Browser) -> Iterator[Page]:
        page = browser.new_page(viewport={"width": self.width, "height": 900}, color_scheme=self.scheme)
        yield page
        page.close()


WINDOWS = (Window(375, "light"), Window(1600, "dark"), Window(1600, "light"), Window(375, "dark"))
EACH_PAGE = [
    pytest.param((name, window), id=f"{name} {window.width} {window.scheme}") for name in NAMES for window in WINDOWS
]


@pytest.fixture
def light(browser: Browser) -> Iterator[Page]:
    """One window, for what is the same in all."""
    with Window(1600, "light").opened(browser) as page:
        yield page


def show(page: Page, file: Path) -> None:
    """Open the file, and in it everything that is folded; of a matrix's runs, which are alike, the first three."""
    page.goto(file.as_uri())
    folded = "details:not(.run), details.run:nth-of-type(-n+3)"
    page.evaluate(f"document.querySelectorAll('{folded}').forEach(each => each.open = true)")


def violations(page: Page) -> list[str]:
    """What axe-core says of the page: the rule, and the element."""
    violations = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in violations for node in each["nodes"]]


# Every day each page is looked at wide and narrow, light and dark: the first of its windows of each width.
@pytest.mark.parametrize("shown", sampled(EACH_PAGE, lambda each: (each[0], each[1].width), every=2))
def test_axe_finds_nothing_and_nothing_sticks_out(browser: Browser, pages: Path, shown: tuple[str, Window]) -> None:
    name, window = shown
    with window.opened(browser) as page:
        show(page, pages / name)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


@pytest.mark.parametrize("name", NAMES)
def test_the_paper_is_of_the_scheme_and_printed_white(light: Page, pages: Path, name: str) -> None:
    show(light, pages / name)
    paper = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(paper) == "rgb(255, 255, 255)"
    light.emulate_media(color_scheme="dark")
    assert light.evaluate(paper) == "rgb(13, 17, 23)"
    light.emulate_media(media="print")
    assert light.evaluate(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("document.querySelector('.soft').style.color = 'var(--line)'", "color-contrast"),
        ("document.querySelector('svg[role=img]').removeAttribute('aria-label')", "svg-img-alt"),
        ("document.querySelector('main').replaceWith(...document.querySelector('main').children)", "landmark-one-main"),
        ("document.querySelector('h2').outerHTML = '<h5>Steps</h5>'", "heading-order"),
    ],
)
def test_axe_sees_what_is_broken(light: Page, pages: Path, broken: str, told: str) -> None:
    show(light, pages / "load.html")
    light.evaluate(broken)
    assert told in {each.partition(":")[0] for each in violations(light)}


def test_what_sticks_out_is_seen(light: Page, pages: Path) -> None:
    show(light, pages / "load.html")
    light.evaluate("document.querySelector('h1').style.width = '200vw'")
    assert light.evaluate("document.documentElement.scrollWidth - window.innerWidth") > 0


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_chart_is_drawn_for_the_window_and_in_the_schemes_colours(
    browser: Browser, pages: Path, window: Window
) -> None:
    with window.opened(browser) as page:
        show(page, pages / "load.html")
        shown = tuple(page.locator(f"svg.{each}").first.is_visible() for each in ("wide", "narrow"))
        assert shown == ((False, True) if window.width == 375 else (True, False))
        colour = "getComputedStyle(document.querySelector('svg.wide path[style*=proxied]')).stroke"
        assert page.evaluate(colour) == {"light": "rgb(176, 74, 0)", "dark": "rgb(255, 154, 77)"}[window.scheme]
