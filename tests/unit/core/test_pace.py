"""The even steps: what is kept up, what is refused, and what lies between."""

from itertools import pairwise

import pytest

from gateway.core.even_steps import SLOWEST
from gateway.core.ids import Instant
from gateway.core.pace import MOST_REST_S, Pace
from gateway.core.uses import Belief
from gateway.sandbox.limiter import Bucket, SlidingWindow


class Caller:
    """Sends as soon as it may, to a limit that names no delay."""

    def __init__(self, meter):
        self.now = 100.0
        self.meter = meter
        self.pace = Pace(Instant(self.now))
        self.served = self.refused = 0

    def step(self, most_s=0.25):
        self.now += max(0.0, min(self.pace.wait_s(Instant(self.now)), 60.0)) or most_s * (not self.pace.rate) + 0.001
        now = Instant(self.now)
        if self.pace.wait_s(now) > 0.0005:
            return
        self.pace.take(now)
        if self.meter.wait_for(1, self.now) <= 0:
            self.meter.drain(1, self.now)
            self.pace.admit(now)
            self.served += 1
        else:
            self.meter.drain(1, self.now)
            self.pace.refuse(now, now, None)
            self.refused += 1

    def keep_on(self, seconds):
        ends = self.now + seconds
        self.served = self.refused = 0
        while self.now < ends:
            self.step()


def test_unknown_lets_everything_through():
    pace = Pace(Instant(0.0))
    for moment in range(100):
        pace.take(Instant(moment / 100))

    assert pace.wait_s(Instant(1.0)) == 0.0
    assert pace.rate == 0.0


@pytest.mark.parametrize("meter", [Bucket(10, 4.0, 100.0), SlidingWindow(10, 4.0, 100.0)], ids=["bucket", "sliding"])
def test_even_steps_find_the_limit_and_keep_to_it(meter):
    caller = Caller(meter)
    caller.keep_on(120)

    caller.keep_on(400)

    assert caller.served >= 0.97 * 400 * 2.5
    assert caller.refused <= 0.02 * caller.served


def test_a_limit_that_has_fallen_is_found_and_one_that_has_risen_too():
    caller = Caller(Bucket(10, 4.0, 100.0))
    caller.keep_on(120)

    caller.meter = Bucket(5, 4.0, caller.now)
    caller.keep_on(200)
    caller.keep_on(400)
    assert caller.served >= 0.95 * 400 * 1.25

    caller.meter = Bucket(20, 4.0, caller.now)
    caller.keep_on(4000)
    assert caller.pace.rate > 2.0


def test_a_bucket_that_is_well_known_is_asked_for_more_more_slowly():
    paces = [Pace(Instant(0.0)), Pace(Instant(0.0))]
    for pace, care in zip(paces, (1.0, 4.0), strict=True):
        pace.windows.adopt(Belief(2.5, is_bucket=True))
        pace.windows.care = care
        for number in range(120):
            pace.take(Instant(number * 0.4))
            pace.admit(Instant(number * 0.4))

    assert paces[0].rate > 2.75
    assert 2.4 < paces[1].rate < 2.55


def test_refused_bursts_count_once():
    pace = Pace(Instant(0.0))
    for moment in range(20):
        pace.take(Instant(moment / 10))
    pace.refuse(Instant(2.5), Instant(1.5), None)
    rate = pace.rate

    for sent in (1.6, 1.7, 1.8):
        pace.refuse(Instant(2.6), Instant(sent), None)

    assert pace.rate == rate


def test_a_pace_never_falls_to_nothing():
    pace = Pace(Instant(0.0))
    for moment in range(1, 200):
        pace.take(Instant(float(moment)))
        pace.refuse(Instant(moment + 0.5), Instant(float(moment)), None)

    assert pace.rate >= SLOWEST
    assert 0.0 < pace.wait_s(Instant(199.5)) <= 2 / SLOWEST


def test_a_delay_that_was_named_is_waited_for():
    pace = Pace(Instant(0.0))
    pace.take(Instant(0.0))

    pace.refuse(Instant(0.1), Instant(0.0), 2.0)

    assert pace.wait_s(Instant(0.1)) == pytest.approx(2.0)


def test_refusals_in_a_row_rest_longer_each_until_something_comes_through():
    pace, now, rested = Pace(Instant(0.0)), 0.0, []
    for _ in range(4):
        pace.take(Instant(now))
        pace.refuse(Instant(now), Instant(now), 1.5)
        rested.append(pace.wait_s(Instant(now)) / 1.5)
        now += rested[-1] * 1.5
    pace.take(Instant(now))
    pace.admit(Instant(now))
    pace.refuse(Instant(now + 1), Instant(now + 1), 1.5)

    assert all(later >= 2 * before - 0.01 for before, later in pairwise(rested))
    assert pace.wait_s(Instant(now + 1)) < rested[-1] * 1.5


def test_a_rest_without_a_named_delay_is_a_calls_time_once_that_is_known_and_doubles():
    pace, now = Pace(Instant(0.0)), Instant(2.0)
    assert pace.rest_s(None, now) is None

    pace.windows.adopt(Belief(5.0, 10, 2.0))
    pace.refuse(Instant(1.0), Instant(0.9), None)
    assert pace.rest_s(None, now) == pytest.approx(0.2)
    pace.refuse(Instant(2.0), Instant(1.9), None)
    assert pace.rest_s(None, now) == pytest.approx(0.4)

    pace.windows.adopt(Belief(0.01, 1, 100.0))
    assert pace.rest_s(None, now) == 2 * MOST_REST_S


@pytest.mark.parametrize(
    ("period_s", "named_s", "rest_s"),
    [
        pytest.param(2.5, 2.0, 1.5, id="there-is-room-in-its-last-second"),
        pytest.param(1.1, 2.0, 1.0, id="sooner-than-was-said"),
        pytest.param(5.0, 2.0, 2.0, id="later-than-was-said"),
        pytest.param(2.5, 1.75, None, id="exact"),
    ],
)
def test_of_a_delay_in_whole_seconds_the_window_tells_when_in_its_last_second_there_is_room(period_s, named_s, rest_s):
    pace = Pace(Instant(0.0))
    pace.windows.adopt(Belief(2 / period_s, 2, period_s))
    for at in (0.0, 0.5):
        pace.take(Instant(at))
        pace.admit(Instant(at))

    pace.take(Instant(1.0))
    pace.refuse(Instant(1.0), Instant(1.0), named_s)

    assert pace.rest_s(named_s, Instant(1.0)) == (rest_s if rest_s is None else pytest.approx(rest_s, abs=0.02))


def test_the_second_of_two_refusals_in_a_row_rests_as_long_as_was_named():
    pace = Pace(Instant(0.0))
    pace.windows.adopt(Belief(10.0, 10, 1.0))
    for at in (1.0, 2.0):
        pace.take(Instant(at))
        pace.refuse(Instant(at), Instant(at), 3.0)

    assert pace.rest_s(3.0, Instant(2.0)) is None
