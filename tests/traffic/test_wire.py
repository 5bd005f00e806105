"""Events are those that were sent, however the network cuts the stream; what is no event is none."""

from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from signoff.traffic.wire import Event, EventSplitter

DATA = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"])).filter(
    lambda text: not text.endswith("\r")
)
"""A line of an event's data: all that JSON may hold, U+2028 and lone carriage returns included."""
LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b": comment", b"event: x", b"id", b"", b"", b"dat: a", b"\xff"]
)


def events(pieces: Iterable[bytes]) -> list[str]:
    splitter = EventSplitter()
    found = [event for at, piece in enumerate(pieces) for event in splitter.feed(piece, at)]
    return [event.data for event in (*found, *splitter.close(0))]


def by_the_standard(lines: list[bytes]) -> list[str]:
    """The data of each event, by the algorithm of the HTML standard, but what the stream's end leaves over counts."""
    found, data = [], ""
    for line in (*lines, b""):
        field, _, value = line.decode("utf-8", errors="backslashreplace").partition(":")
        if field == "data":
            data += value.removeprefix(" ") + "\n"
        elif not line and data:
            found.append(data.removesuffix("\n"))
            data = ""
    return found


@given(st.lists(DATA), st.data())
def test_what_was_sent_arrives_wherever_the_stream_is_cut(sent: list[str], draw: st.DataObject) -> None:
    stream = "".join(f"data: {text}\n\n" for text in sent).encode()
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events(pieces) == sent


@given(st.lists(LINES), st.sampled_from([b"\n", b"\r\n"]))
@example([b"data", b""], b"\n")
def test_an_event_is_what_the_standard_calls_one(lines: list[bytes], end: bytes) -> None:
    assert events([end.join(lines)]) == by_the_standard(lines)


@given(st.binary(), st.binary())
def test_any_bytes_are_read_and_the_same_in_one_piece_as_in_two(first: bytes, second: bytes) -> None:
    assert events([first, second]) == events([first + second])


def test_an_event_has_come_when_its_last_byte_has() -> None:
    splitter = EventSplitter()
    found = [*splitter.feed(b"data: a\n", 1.0), *splitter.feed(b"\ndata: b\n\n", 2.0), *splitter.close(3.0)]
    assert found == [Event("a", 2.0), Event("b", 2.0)]
