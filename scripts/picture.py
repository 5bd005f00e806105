"""The README's picture of the report: the top of a run's page, light and dark, as a browser draws it.

    python -m scripts.picture reports/<run>      # writes docs/images/report-light.png and report-dark.png

It needs Chromium or Chrome on PATH.
"""

import argparse
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

from scripts import browser
from signoff.core.paths import ROOT
from signoff.report import PAGES

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1000, 760


def main() -> int:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, metavar="RUN")
    page_of_run = parser.parse_args().run_dir.resolve() / PAGES[0]
    program = browser.find()
    if program is None:
        sys.exit(browser.MISSING)
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program)
        for theme in THEMES:
            page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
            page.goto(page_of_run.as_uri())
            page.screenshot(path=IMAGES / f"report-{theme}.png")
        opened.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
