"""Void marks of hours stay few, and none of the time that they speak of is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.evidence.voids import (
    LOOK_EVERY_SECONDS,
    MOST_VOIDS,
    TOLD_EVERY_SECONDS,
    Untold,
    Void,
    VoidKind,
    hiding,
    mark,
)
from signoff.load.conclusions import conclude
from signoff.report.load.charts import timeline


def look(number: int, worker: str = "local", kind: VoidKind = VoidKind.CPU, worst: float = 0.9) -> Void:
    """What the look with this number found."""
    began = BEGAN + number * LOOK_EVERY_SECONDS
    return Void(began, began + LOOK_EVERY_SECONDS, worker, kind, f"{worst:.0%} of a core", worst)


def marked(*looks: Void) -> list[Void]:
    voids: list[Void] = []
    for each in looks:
        mark(voids, each)
    return voids


def test_looks_that_follow_one_another_are_one_mark_with_the_worst_of_them() -> None:
    busy = [look(number, worst=0.99 if number == 1000 else 0.9) for number in range(5000)]
    late = [look(number, kind=VoidKind.LOOP_LAG, worst=30) for number in range(5000)]
    other = [look(number, worker="worker-1") for number in range(5000)]
    voids = marked(*(each for three in zip(busy, late, other, strict=True) for each in three))
    assert [(each.worker, each.kind, each.looks) for each in voids] == [
        ("local", VoidKind.CPU, 5000),
        ("local", VoidKind.LOOP_LAG, 5000),
        ("worker-1", VoidKind.CPU, 5000),
    ]
    assert (voids[0].began, voids[0].ended) == (busy[0].began, busy[-1].ended)
    assert (voids[0].worst, voids[0].reason) == (0.99, "99% of a core")


def test_a_pause_parts_two_marks() -> None:
    assert [each.looks for each in marked(look(0), look(1), look(3))] == [2, 1]


def test_marks_beyond_the_most_are_joined_where_least_time_is_between_them() -> None:
    numbers = [2 * number for number in range(1000)]
    numbers = [each if each < 1000 else each + 100 for each in numbers]  # a long quiet time in the middle
    looks = [look(number) for number in numbers]
    voids = marked(*looks)
    assert len(voids) == MOST_VOIDS
    assert sum(each.looks for each in voids) == len(looks)
    for each in looks:
        assert any(void.began <= each.began and each.ended <= void.ended for void in voids)
    assert not any(void.began < look(1050).ended and look(1050).began < void.ended for void in voids)


def test_joined_marks_do_not_make_a_soak_void_that_was_busy_now_and_then(tmp_path: Path) -> None:
    seconds = 250 * 600  # 250 looks of 5 s are a 120th of it
    soak = Synthetic(loads=(0.01,), shape="steady", seconds=seconds, behaviours=[Behaviour(pairs=60)])
    for every, void in ((120, False), (60, True)):
        voids = marked(*(look(number) for number in range(0, seconds // 5, every)))
        found = conclude(replace(soak, voids=voids).write(tmp_path / str(every)))
        assert bool(found.lightest.voids) is void
        assert len(voids) == MOST_VOIDS and sum(each.seconds for each in voids) == seconds / every


def test_time_that_several_workers_cover_counts_once_and_a_joined_mark_hides_none_beside_it() -> None:
    same = [Void(BEGAN, BEGAN + 9, name, VoidKind.CPU, "busy") for name in ("a", "b")]
    assert not hiding(same, BEGAN, BEGAN + 1000)
    joined = Void(BEGAN, BEGAN + 900, "a", VoidKind.CPU, "busy", looks=1, seconds=5)
    assert not hiding([joined], BEGAN, BEGAN + 1000)
    assert hiding([joined, Void(BEGAN + 500, BEGAN + 520, "b", VoidKind.CPU, "busy")], BEGAN, BEGAN + 1000)


def test_a_look_that_a_busy_machine_made_late_covers_all_of_its_time() -> None:
    assert [each.seconds for each in marked(Void(BEGAN, BEGAN + 60, "a", VoidKind.LOOP_LAG, "late"))] == [60]
    apart = [look(0), replace(look(1), began=look(1).began + 0.5, seconds=0)]
    assert [(each.looks, each.seconds) for each in marked(*apart)] == [(2, 10)]


def test_more_workers_than_marks_keep_one_each() -> None:
    many = [look(number, worker=f"worker-{number % 300}") for number in range(900)]
    assert {each.worker for each in marked(*many)} == {f"worker-{number}" for number in range(300)}


def test_a_mark_of_long_hides_all_steps_that_it_touches(tmp_path: Path) -> None:
    run = Synthetic(loads=(2, 10, 20, 40), seconds=40)
    mid = Void(BEGAN + 50, BEGAN + 90, "local", VoidKind.CPU, "97% of a core", 0.97, looks=8)
    found = conclude(replace(run, voids=[mid]).write(tmp_path))
    assert [bool(step.voids) for step in found.ordered] == [False, True, True, False]
    (span,) = next(iter(timeline(found))).spans
    assert list(span[:2]) == pytest.approx([50.0, 90.0])


def test_a_mark_that_goes_on_is_told_now_and_then_and_what_ends_tells_the_rest() -> None:
    untold, told = Untold(), list[Void]()
    for number in range(100):
        for worker in ("a", "b"):
            untold.add(look(number, worker=worker))
        told += untold.due(look(number).ended)
    assert len(told) <= 2 * (100 * LOOK_EVERY_SECONDS / TOLD_EVERY_SECONDS + 1)
    told += untold.rest()
    assert not untold.rest()
    assert [(each.looks, each.seconds) for each in marked(*told)] == [(100, 500), (100, 500)]


def test_kinds_of_a_run_of_before_are_read() -> None:
    assert VoidKind("loop lag") is VoidKind("loop-lag") is VoidKind.LOOP_LAG
    assert VoidKind.SCHEDULE_LAG.words == "schedule lag"
    with pytest.raises(ValueError, match="lag"):
        VoidKind("lag")
