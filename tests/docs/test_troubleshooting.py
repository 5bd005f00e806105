"""docs/troubleshooting.md quotes what the suite says: the code has each sentence, whatever its names and numbers."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from signoff.core.paths import ROOT
from tests.docs.pages import DOCS

ANYTHING = "…"
"""What stands for a name or a number, in the document as in a text of the code."""
QUOTED = re.findall(r"^\| `(.+?)` \| ", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)


def texts(code: str) -> Iterator[str]:
    """Every text of a module; what an f-string puts in is `…`."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else ANYTHING for each in node.values)


@cache
def said() -> set[str]:
    """Every text of the suite, read when the first sentence is looked for."""
    return {text for path in (ROOT / "signoff").rglob("*.py") for text in texts(path.read_text(encoding="utf-8"))}


def test_it_quotes_enough() -> None:
    assert len(QUOTED) > 50


def test_the_suite_says_it() -> None:
    unsaid = [sentence for sentence in QUOTED if not is_said(sentence)]
    assert not unsaid, "the code doesn't say this: is it worded otherwise now?"


def is_said(sentence: str) -> bool:
    pattern = re.compile(".*".join(map(re.escape, sentence.split(ANYTHING))), re.DOTALL)
    return any(map(pattern.fullmatch, said()))
