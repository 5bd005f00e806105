"""Every link leads somewhere: to a file of the project and a heading in it, or to a well-formed address."""

from urllib.parse import unquote, urlsplit

import pytest

from signoff.core.paths import ROOT
from tests.docs.pages import DOCS, PAGES, Page

LINKS = [(page, link) for page in PAGES for link in page.links()]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=lambda each: str(each))
def test_a_link_leads_somewhere(page: Page, link: str) -> None:
    address = urlsplit(link)
    if address.scheme:
        assert address.scheme == "https" and address.hostname and "." in address.hostname and " " not in link
        return
    target = (page.path.parent / unquote(address.path)).resolve() if address.path else page.path
    assert target.exists(), f"{page} links to {link}, and there is no such file"
    assert target.is_relative_to(ROOT)
    if address.fragment:
        assert address.fragment in Page(target).anchors(), f"{page} links to {link}, and there is no such heading"


def test_every_document_is_found_from_the_readme() -> None:
    linked = {(ROOT / urlsplit(link).path).resolve() for link in Page(ROOT / "README.md").links()}
    assert set(DOCS.glob("*.md")) <= linked


def test_nothing_lies_in_docs_that_no_document_shows() -> None:
    shown = {(page.path.parent / urlsplit(link).path).resolve() for page, link in LINKS if not urlsplit(link).scheme}
    assert {path for path in DOCS.rglob("*.*") if path.suffix != ".md"} <= shown
