"""The page and the terminal's table say what the matrix holds."""

from pathlib import Path

from doubles.faulty_gateway import Tampering, drop, put
from signoff.commands.parity import lines
from signoff.parity.known_issues import KnownIssue, KnownIssues
from signoff.parity.matrix import matrix
from signoff.report import parity as page
from signoff.settings import read
from signoff.settings.shown import record
from tests.parity_bench import NOTHING_KNOWN, Bench


def test_page_and_table(bench: Bench, tmp_path: Path) -> None:
    known = KnownIssues((), (KnownIssue("lost-usage", ("body.usage",), "usage is lost", issues=("4711",)),), ())
    results = bench.ask("chat.plain/*", tampering=Tampering(body=drop("usage")), known_issues=known)
    found = matrix(results, known, version="1.80.16", image="an/image:tag", seconds=2)
    page.write(found, tmp_path / page.PAGE)
    drawn = (tmp_path / page.PAGE).read_text()
    for expected in ("chat.plain/plain/hosted_vllm", "usage is lost", "issues/4711", "an/image:tag", "Name a bird."):
        assert expected in drawn
    table = "\n".join(lines(found))
    assert "known lost-usage (1 runs, #4711): usage is lost" in table
    assert "NEW   violation schema.$.usage" in table


def test_page_and_table_name_the_settings_that_are_not_the_storys(bench: Bench, tmp_path: Path) -> None:
    settings = record(read({"namespace": ["ai"], "overhead_pairs": ["800"]}))
    found = matrix(bench.ask("chat.plain/*"), NOTHING_KNOWN, version="1", image="i", seconds=1, settings=settings)
    page.save(found, tmp_path)
    drawn = (tmp_path / page.PAGE).read_text()
    top = drawn[: drawn.index("<h1")]
    for word in ("namespace", "ai", "--namespace ai", "the story's is ml"):
        assert word in top
    assert ">Gate passed; namespace = ai is not the story" in drawn
    assert "overhead_pairs" not in drawn
    told = list(lines(found))
    assert "not the story's: namespace = ai, by --namespace ai; the story's is ml" in told
    assert told[-1].endswith("; gate passed; namespace = ai is not the story's")


def test_a_matrix_of_the_storys_own_settings_says_nothing_of_them(bench: Bench) -> None:
    results = bench.ask("chat.plain/*")
    found = matrix(results, NOTHING_KNOWN, version="1", image="i", seconds=1, settings=record(read({})))
    assert "not_the_storys" not in found
    assert "the story&#39;s own values" not in page.draw(found) and "the story's own values" not in page.draw(found)


def test_what_a_server_says_is_not_markup(bench: Bench, tmp_path: Path) -> None:
    tampering = Tampering(body=put("choices.0.message.content", "<script>alert(1)</script>"))
    results = bench.ask("chat.plain/plain/*", tampering=tampering)
    page.write(matrix(results, KnownIssues((), (), ()), version="1", image="i", seconds=1), tmp_path / page.PAGE)
    assert "<script>alert" not in (tmp_path / page.PAGE).read_text()
