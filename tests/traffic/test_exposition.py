"""Pages in Prometheus' text format are read, and what is none of it is passed over."""

from signoff.traffic.exposition import Sample, parse


def test_samples_are_read_with_their_labels() -> None:
    page = '# TYPE a counter\na{b="c\\"d",e="f"} 2.0 1700000000\nbare 1e3\n'
    assert list(parse(page)) == [Sample("a", {"b": 'c"d', "e": "f"}, 2.0), Sample("bare", {}, 1000.0)]


def test_words_are_no_samples() -> None:
    assert list(parse("Not Found\n<html>\nup 1\n")) == [Sample("up", {}, 1.0)]
