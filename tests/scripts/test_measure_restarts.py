"""Known components of variance are found again, and what a restart deserves follows from them."""

from collections.abc import Iterator

import numpy as np
import pytest

from scripts.measure_restarts import Timed, components, pairs_per_restart, table

PAIRS = 30


def timed(starts: float, blocks: float, pairs: float, count: int = 400, seed: int = 1) -> list[Timed]:
    rng = np.random.default_rng(seed)

    def found() -> Iterator[Timed]:
        for restart in range(count):
            of_start = 10 + rng.normal(0, starts)
            for block in range(3):
                value = of_start + rng.normal(0, blocks) + rng.normal(0, pairs)
                yield Timed(restart, block, 20.0 * restart + block, {"median": (value, pairs)})

    return list(found())


@pytest.mark.parametrize(("starts", "blocks", "pairs"), [(1.0, 0.5, 0.3), (0.2, 1.0, 0.5), (2.0, 0.3, 0.3)])
def test_each_component_is_found(starts: float, blocks: float, pairs: float) -> None:
    found = components(timed(starts, blocks, pairs), "median")
    assert found.mean == pytest.approx(10, abs=0.3)
    assert (found.starts, found.blocks, found.pairs) == pytest.approx((starts, blocks, pairs), rel=0.15, abs=0.12)


def test_starts_that_do_not_differ_deserve_no_number_of_their_own() -> None:
    same = components([Timed(n // 2, n % 2, 0.0, {"median": (10.0 + n % 2, 0.1)}) for n in range(8)], "median")
    assert same.starts == 0
    assert "do not differ" in pairs_per_restart(same, PAIRS, 60)


def test_the_dearer_a_restart_and_the_more_alike_they_are_the_more_pairs_it_deserves() -> None:
    restless, calm = (components(timed(starts, 0.1, 0.5), "median") for starts in (2.0, 0.5))
    assert int(pairs_per_restart(calm, PAIRS, 60)) > int(pairs_per_restart(restless, PAIRS, 60))
    assert int(pairs_per_restart(calm, PAIRS, 240)) > int(pairs_per_restart(calm, PAIRS, 60))


def test_the_table_has_a_row_for_each_start() -> None:
    lines = table(timed(1, 0.5, 0.3, count=4)).splitlines()
    assert len(lines) == 2 + 4
    assert lines[-1].startswith("| 4 | 60 | ")
