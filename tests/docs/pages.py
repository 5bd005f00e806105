"""The project's documents as GitHub reads them: their headings, links, code and commands."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

from signoff.core.paths import ROOT

DOCS = ROOT / "docs"
FILES = tuple(sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")]))
MARKDOWN = MarkdownIt().enable(["table", "strikethrough"]).use(anchors_plugin, max_level=6)


@dataclass(frozen=True)
class Fence:
    """A fenced block of code: the words behind its backticks, and what is in it."""

    page: "Page"
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        """As pytest names it."""
        return f"{self.page}:{self.line}"

    @property
    def where(self) -> str:
        """For a failure."""
        return f"{self.page}, line {self.line}"


@dataclass(frozen=True)
class Page:
    """A document."""

    path: Path

    def __str__(self) -> str:
        """As pytest names it."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """Its Markdown."""
        return self.path.read_text(encoding="utf-8")

    def tokens(self) -> Iterator[Token]:
        """Its parts, those of its lines included."""
        for token in parsed(self.path):
            yield token
            yield from token.children or ()

    def anchors(self) -> set[str]:
        """The names of its headings, as a link calls them."""
        return {str(token.attrs["id"]) for token in self.tokens() if token.type == "heading_open"}

    def fences(self) -> list[Fence]:
        """Its blocks of code."""
        found = []
        for token in self.tokens():
            if token.type == "fence" and token.map:
                language, *marks = token.info.split() or [""]
                found.append(Fence(self, token.map[0] + 1, language, tuple(marks), token.content))
        return found

    def code(self) -> list[str]:
        """What stands in backticks within its lines."""
        return [token.content for token in self.tokens() if token.type == "code_inline"]

    def links(self) -> list[str]:
        """Where it leads, pictures included."""
        found = []
        for token in self.tokens():
            if token.type in ("link_open", "image"):
                found.append(str(token.attrs["href" if token.type == "link_open" else "src"]))
            elif token.type in ("html_block", "html_inline"):
                found += links_in(token.content)
        return found


def links_in(html: str) -> list[str]:
    """What a piece of HTML leads to or shows."""
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in ("href", "src", "srcset") and value)

    Links().feed(html)
    return found


@cache
def parsed(path: Path) -> list[Token]:
    """The document's tokens; it doesn't change while tests run."""
    return MARKDOWN.parse(path.read_text(encoding="utf-8"))


PAGES = tuple(map(Page, FILES))
FENCES = tuple(fence for page in PAGES for fence in page.fences())
