"""Invalid spans of hours stay few, and none of the time that they speak of is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.evidence.invalid import (
    LOOK_EVERY_SECONDS,
    MAX_SPANS,
    RECORD_EVERY_SECONDS,
    InvalidKind,
    InvalidSpan,
    Unrecorded,
    add,
    invalidating,
)
from signoff.load.conclusions import conclude
from signoff.report.load.charts import timeline


def look(number: int, worker: str = "local", kind: InvalidKind = InvalidKind.CPU, worst: float = 0.9) -> InvalidSpan:
    """What the look with this number found."""
    began = BEGAN + number * LOOK_EVERY_SECONDS
    return InvalidSpan(began, began + LOOK_EVERY_SECONDS, worker, kind, f"{worst:.0%} of a core", worst)


def joined(*looks: InvalidSpan) -> list[InvalidSpan]:
    spans: list[InvalidSpan] = []
    for each in looks:
        add(spans, each)
    return spans


def test_looks_that_follow_one_another_are_one_span_with_the_worst_of_them() -> None:
    busy = [look(number, worst=0.99 if number == 1000 else 0.9) for number in range(5000)]
    late = [look(number, kind=InvalidKind.LOOP_LAG, worst=30) for number in range(5000)]
    other = [look(number, worker="worker-1") for number in range(5000)]
    spans = joined(*(each for three in zip(busy, late, other, strict=True) for each in three))
    assert [(each.worker, each.kind, each.looks) for each in spans] == [
        ("local", InvalidKind.CPU, 5000),
        ("local", InvalidKind.LOOP_LAG, 5000),
        ("worker-1", InvalidKind.CPU, 5000),
    ]
    assert (spans[0].began, spans[0].ended) == (busy[0].began, busy[-1].ended)
    assert (spans[0].worst, spans[0].reason) == (0.99, "99% of a core")


def test_a_pause_parts_two_spans() -> None:
    assert [each.looks for each in joined(look(0), look(1), look(3))] == [2, 1]


def test_spans_beyond_the_most_are_joined_where_least_time_is_between_them() -> None:
    numbers = [2 * number for number in range(1000)]
    numbers = [each if each < 1000 else each + 100 for each in numbers]  # a long quiet time in the middle
    looks = [look(number) for number in numbers]
    spans = joined(*looks)
    assert len(spans) == MAX_SPANS
    assert sum(each.looks for each in spans) == len(looks)
    for each in looks:
        assert any(span.began <= each.began and each.ended <= span.ended for span in spans)
    assert not any(span.began < look(1050).ended and look(1050).began < span.ended for span in spans)


def test_joined_spans_do_not_make_a_soak_invalid_that_was_busy_now_and_then(tmp_path: Path) -> None:
    seconds = 250 * 600  # 250 looks of 5 s are a 120th of it
    soak = Synthetic(loads=(0.01,), shape="steady", seconds=seconds, behaviours=[Behaviour(pairs=60)])
    for every, invalid in ((120, False), (60, True)):
        spans = joined(*(look(number) for number in range(0, seconds // 5, every)))
        found = conclude(replace(soak, invalid_spans=spans).write(tmp_path / str(every)))
        assert bool(found.lightest.invalid_spans) is invalid
        assert len(spans) == MAX_SPANS and sum(each.seconds for each in spans) == seconds / every


def test_time_that_several_workers_cover_counts_once_and_a_joined_span_hides_none_beside_it() -> None:
    same = [InvalidSpan(BEGAN, BEGAN + 9, name, InvalidKind.CPU, "busy") for name in ("a", "b")]
    assert not invalidating(same, BEGAN, BEGAN + 1000)
    joined = InvalidSpan(BEGAN, BEGAN + 900, "a", InvalidKind.CPU, "busy", looks=1, seconds=5)
    assert not invalidating([joined], BEGAN, BEGAN + 1000)
    assert invalidating(
        [joined, InvalidSpan(BEGAN + 500, BEGAN + 520, "b", InvalidKind.CPU, "busy")], BEGAN, BEGAN + 1000
    )


def test_a_look_that_a_busy_machine_made_late_covers_all_of_its_time() -> None:
    assert [each.seconds for each in joined(InvalidSpan(BEGAN, BEGAN + 60, "a", InvalidKind.LOOP_LAG, "late"))] == [60]
    apart = [look(0), replace(look(1), began=look(1).began + 0.5, seconds=0)]
    assert [(each.looks, each.seconds) for each in joined(*apart)] == [(2, 10)]


def test_more_workers_than_spans_keep_one_each() -> None:
    many = [look(number, worker=f"worker-{number % 300}") for number in range(900)]
    assert {each.worker for each in joined(*many)} == {f"worker-{number}" for number in range(300)}


def test_a_long_span_invalidates_all_steps_that_it_touches(tmp_path: Path) -> None:
    run = Synthetic(loads=(2, 10, 20, 40), seconds=40)
    mid = InvalidSpan(BEGAN + 50, BEGAN + 90, "local", InvalidKind.CPU, "97% of a core", 0.97, looks=8)
    found = conclude(replace(run, invalid_spans=[mid]).write(tmp_path))
    assert [bool(step.invalid_spans) for step in found.ordered] == [False, True, True, False]
    (span,) = next(iter(timeline(found))).spans
    assert list(span[:2]) == pytest.approx([50.0, 90.0])


def test_a_span_that_goes_on_is_recorded_now_and_then_and_the_end_records_the_rest() -> None:
    unrecorded, told = Unrecorded(), list[InvalidSpan]()
    for number in range(100):
        for worker in ("a", "b"):
            unrecorded.add(look(number, worker=worker))
        told += unrecorded.due(look(number).ended)
    assert len(told) <= 2 * (100 * LOOK_EVERY_SECONDS / RECORD_EVERY_SECONDS + 1)
    told += unrecorded.rest()
    assert not unrecorded.rest()
    assert [(each.looks, each.seconds) for each in joined(*told)] == [(100, 500), (100, 500)]


def test_kinds_of_an_older_run_are_read() -> None:
    assert InvalidKind("loop lag") is InvalidKind("loop-lag") is InvalidKind.LOOP_LAG
    assert InvalidKind.SCHEDULE_LAG.words == "schedule lag"
    with pytest.raises(ValueError, match="lag"):
        InvalidKind("lag")
