"""When requests are sent, how long they are, and when a generator says that it was the limit itself."""

import random
import statistics
import time
from itertools import islice, pairwise
from pathlib import Path

import gevent
import pytest

from signoff.core.errors import SignoffError
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator import stages, workload
from signoff.in_cluster.load_generator.arrivals import Arrivals
from signoff.in_cluster.load_generator.generator_health import GeneratorHealth, reasons
from signoff.in_cluster.load_generator.run import Sample
from signoff.in_cluster.load_generator.workload import Workload

RATE = 200.0


def arrivals(
    *, poisson: bool, seconds: float, answer_seconds: float = 0.0, most: int = 1000, rate: float = RATE
) -> tuple[list[float], int]:
    """The intended moments of some seconds at this rate, and how many were not sent."""
    intended: list[float] = []
    left_out: list[float] = []

    def send(moment: float) -> None:
        intended.append(moment)
        gevent.sleep(answer_seconds)

    source = Arrivals(send, left_out.append, rng=random.Random(1), poisson=poisson, max_in_flight=most)
    source.rate = rate
    gevent.sleep(seconds)
    source.stop(patience=0)
    return intended, len(left_out)


def test_constant_arrivals_have_equal_gaps_whatever_the_answers_take() -> None:
    begun = time.monotonic()
    intended, _ = arrivals(poisson=False, seconds=1.0, answer_seconds=10)
    seconds = time.monotonic() - begun
    assert [b - a for a, b in pairwise(intended)] == pytest.approx([1 / RATE] * (len(intended) - 1), abs=1e-5)
    assert len(intended) / seconds == pytest.approx(RATE, rel=0.3)


def test_poisson_arrivals_have_exponential_gaps() -> None:
    intended, _ = arrivals(poisson=True, seconds=0.5, rate=4 * RATE)
    gaps = [b - a for a, b in pairwise(intended)]
    assert statistics.mean(gaps) == pytest.approx(1 / (4 * RATE), rel=0.25)
    # An exponential distribution's standard deviation is its mean; that of a constant rate is 0.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.35)


def test_a_stall_of_the_generator_moves_no_arrival() -> None:
    intended: list[float] = []
    source = Arrivals(intended.append, intended.append, rng=random.Random(1), poisson=False)
    source.rate = RATE
    gevent.sleep(0.1)
    time.sleep(0.3)  # blocks the event loop
    gevent.sleep(0.1)
    source.stop(patience=0)
    assert max(b - a for a, b in pairwise(intended)) == pytest.approx(1 / RATE, abs=1e-5)
    assert len(intended) > 0.4 * RATE


def test_more_than_may_be_in_flight_is_left_out_and_told() -> None:
    sent, left_out = arrivals(poisson=False, seconds=0.3, answer_seconds=10, most=5)
    assert len(sent) == 5
    assert left_out > 10


def test_equal_seeds_ask_equal_questions_of_lengths_as_published() -> None:
    first = list(islice(Workload(scale=1.0, max_prompt=10**6, max_answer=10**6).questions(random.Random(3)), 3000))
    again = list(islice(Workload(scale=1.0, max_prompt=10**6, max_answer=10**6).questions(random.Random(3)), 3000))
    assert first == again
    assert len({question.prompt[:40] for question in first}) == len(first)
    # The medians of a log-normal distribution are the exponentials of its mus.
    assert statistics.median(question.max_tokens for question in first) == pytest.approx(151, rel=0.1)
    tokens = [len(question.prompt) / workload.CHARACTERS_PER_TOKEN for question in first]
    assert statistics.median(tokens) == pytest.approx(760, rel=0.1)


def test_lengths_are_cut_to_what_the_model_takes() -> None:
    for question in islice(Workload(scale=5.0, max_prompt=100, max_answer=20).questions(random.Random(3)), 200):
        assert len(question.prompt) <= 100 * workload.CHARACTERS_PER_TOKEN
        assert question.max_tokens <= 20


def test_lengths_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt_tokens,answer_tokens\n10,3\n20,7\n")
    asked = list(islice(Workload.read(path).questions(random.Random(3)), 50))
    assert {question.max_tokens for question in asked} == {3, 7}


@pytest.mark.parametrize(
    ("text", "where"),
    [("", ""), ("a,b\n1,2\n", ""), ("prompt_tokens,answer_tokens\n10,3\nten,3\n", "line 3"),
     ("prompt_tokens,answer_tokens\n10\n", "line 2"), ("prompt_tokens,answer_tokens\n0,3\n", "line 2")],
)  # fmt: skip
def test_a_bad_file_of_lengths_says_where_it_is_bad(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(SignoffError) as told:
        Workload.read(path)
    assert where in told.value.where
    assert "prompt_tokens,answer_tokens" in told.value.hint


@pytest.mark.parametrize("rates", [[5.0, 10.0, 20.0], [0.5, 3.0], [7.0], [0.1, 2.5, 33.3]])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_rate_is_an_even_number_of_users_on_each_worker(rates: list[float], workers: int) -> None:
    each = stages.rate_per_user(rates, workers)
    for rate in rates:
        assert rate / each == pytest.approx(round(rate / each))
        assert round(rate / each) % (2 * workers) == 0


def test_stages_must_be_positive_numbers() -> None:
    assert stages.parse_stages("1, 2.5,4") == [1, 2.5, 4]
    for text in ("1,x", "0,1", "1,inf", "nan"):
        with pytest.raises(SignoffError):
            stages.parse_stages(text)


def test_a_generator_at_ease_is_no_reason() -> None:
    assert reasons(0.5, [0.1] * 200 + [300.0], [1.0] * 20 + [25.0, 30.0], 0) == []


@pytest.mark.parametrize(
    ("share", "woke", "sent", "overflows", "kind"),
    [
        (0.9, [], [], 0, InvalidKind.CPU),
        (0.1, [0.1] * 200 + [21.0] * 12, [], 0, InvalidKind.LOOP_LAG),
        (0.1, [], [1.0] * 20 + [25.0] * 4, 0, InvalidKind.SCHEDULE_LAG),
        (0.1, [], [], 1, InvalidKind.BACKLOG),
    ],
)
def test_a_generator_at_its_limit_says_which(
    share: float, woke: list[float], sent: list[float], overflows: int, kind: str
) -> None:
    assert [found for found, _, _ in reasons(share, woke, sent, overflows)] == [kind]


def test_what_was_late_since_the_last_look_is_told_at_the_end() -> None:
    told: list[InvalidSpan | Sample] = []
    health = GeneratorHealth("local", told.append, told.append)
    gevent.sleep(0)
    for _ in range(10):
        health.sent(500.0)
    health.overflowed()
    health.stop()
    spans = [each for each in told if isinstance(each, InvalidSpan)]
    assert [each.kind for each in spans] == [InvalidKind.SCHEDULE_LAG, InvalidKind.BACKLOG]
    (sample,) = (each for each in told if isinstance(each, Sample))
    assert sample.schedule_lag_ms == 500
