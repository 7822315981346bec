import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import Meter, make_meter

EVERY = pytest.mark.parametrize("algorithm", list(Algorithm))
PERIOD_S = 60.0

# Steps of a meter's life: seconds that pass, and how much is then wanted.
lives = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 12)), max_size=60)
algorithms = st.sampled_from(list(Algorithm))


def meter_of(algorithm: Algorithm, limit: int = 10) -> Meter:
    return make_meter(algorithm, limit, PERIOD_S, now=0.0)


def admitted(meter: Meter, amount: float, now: float) -> bool:
    if meter.wait_for(amount, now) > 0:
        return False
    meter.drain(amount, now)
    return True


@given(algorithm=algorithms, life=lives)
def test_free_stays_between_nothing_and_the_limit(algorithm: Algorithm, life: list[tuple[float, int]]) -> None:
    meter, now = meter_of(algorithm), 0.0

    for passed, wanted in life:
        now += passed
        meter.drain(wanted, now)

        assert 0 <= meter.free(now) <= 10
        assert 0 <= meter.until_full(now) <= PERIOD_S + 1e-6


@given(algorithm=algorithms, life=lives)
def test_no_window_admits_more_than_twice_the_limit(algorithm: Algorithm, life: list[tuple[float, int]]) -> None:
    """Twice: what was free at its start, and what was freed meanwhile. A sliding window admits the limit alone."""
    meter, now, taken = meter_of(algorithm), 0.0, []
    for passed, wanted in life:
        now += passed
        if admitted(meter, wanted, now):
            taken.append((now, wanted))

    ceiling = 10 if algorithm is Algorithm.SLIDING else 20
    for start, _ in taken:
        assert sum(wanted for at, wanted in taken if start <= at < start + PERIOD_S - 1e-6) <= ceiling


@given(algorithm=algorithms, life=lives, wanted=st.integers(1, 10))
def test_what_waited_as_long_as_told_is_admitted(
    algorithm: Algorithm, life: list[tuple[float, int]], wanted: int
) -> None:
    meter, now = meter_of(algorithm), 0.0
    for passed, amount in life:
        now += passed
        admitted(meter, amount, now)

    now += meter.wait_for(wanted, now)

    assert meter.wait_for(wanted, now + 1e-6) == 0


@given(algorithm=algorithms, life=lives)
def test_all_is_free_once_the_reset_has_passed(algorithm: Algorithm, life: list[tuple[float, int]]) -> None:
    meter, now = meter_of(algorithm), 0.0
    for passed, wanted in life:
        now += passed
        meter.drain(wanted, now)

    now += meter.until_full(now) + 1e-6

    assert meter.free(now) == pytest.approx(10)


@EVERY
def test_more_than_the_limit_never_fits(algorithm: Algorithm) -> None:
    assert meter_of(algorithm).wait_for(11, 0.0) == math.inf


@EVERY
def test_clock_that_steps_back_frees_nothing(algorithm: Algorithm) -> None:
    meter = meter_of(algorithm)
    meter.drain(10, 50.0)

    assert meter.free(49.0) == 0


def test_bucket_refills_all_the_time() -> None:
    meter = meter_of(Algorithm.BUCKET)
    meter.drain(10, 0.0)

    assert meter.free(6.0) == pytest.approx(1)
    assert meter.wait_for(2, 6.0) == pytest.approx(6)
    assert meter.until_full(6.0) == pytest.approx(54)


def test_fixed_window_frees_nothing_before_its_end() -> None:
    meter = meter_of(Algorithm.FIXED)
    meter.drain(1, 5.0)
    meter.drain(9, 6.0)

    assert meter.free(64.9) == 0
    assert meter.wait_for(1, 35.0) == 30
    assert meter.free(65.0) == 10


def test_sliding_window_frees_each_taking_after_one_period() -> None:
    meter = meter_of(Algorithm.SLIDING)
    meter.drain(4, 0.0)
    meter.drain(6, 30.0)

    assert meter.wait_for(1, 30.0) == 30
    assert meter.wait_for(5, 30.0) == 60
    assert meter.free(60.0) == 4


def test_a_sliding_window_may_hold_more_than_its_limit() -> None:
    meter = make_meter(Algorithm.SLIDING, 10, 60.0, 0.0, overfills=True)
    meter.drain(10, 0.0)
    meter.drain(2, 30.0)

    assert meter.free(30.0) == 0
    assert meter.wait_for(1, 30.0) == 30
    assert meter.free(60.0) == 8
    assert meter.wait_for(9, 60.0) == 30


@pytest.mark.parametrize(
    ("algorithm", "next_s"),
    [(Algorithm.BUCKET, 1.0), (Algorithm.FIXED, 55.0), (Algorithm.SLIDING, 55.0)],
)
def test_more_is_free_before_all_is(algorithm: Algorithm, next_s: float) -> None:
    meter = meter_of(algorithm)
    assert meter.until_next(0.0) == 0

    meter.drain(1, 0.0)
    meter.drain(1, 5.0)

    assert meter.until_next(5.0) == pytest.approx(next_s)
    assert meter.until_next(5.0) <= meter.until_full(5.0)
