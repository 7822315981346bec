"""What refusals tell of windows and buckets, by upstreams of `gateway.sandbox.limiter`."""

from math import ceil
from random import Random

import pytest

from gateway.core.evidence import ENOUGH, Span
from gateway.core.hearsay import FIRST_ASK, Hearsay
from gateway.core.ids import Instant
from gateway.core.trials import GUARD_S
from gateway.core.uses import Belief
from gateway.core.windows import MOST_CARE, REMEMBERED, SETTLES_S, SURELY_KEPT, Windows, _is_likelier
from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import make_meter


def wait_s(windows, now):
    """Seconds until one call fits."""
    return max(0.0, windows.room_at(1, Instant(now)) - now)


class Upstream:
    """Calls at random moments before one limit; each answer comes at once."""

    def __init__(self, algorithm, *, limit=10, period_s=4.0, seed=1, hearsay=None, delays_to_s=0.001):
        self.delays_to_s = delays_to_s
        self.now = 100.0
        self.meter = make_meter(algorithm, limit, period_s, self.now)
        self.windows = Windows(hearsay)
        self.rng = Random(seed)

    def send(self):
        """Whether it was admitted."""
        now = Instant(self.now)
        self.windows.take(now)
        is_admitted = self.meter.wait_for(1, self.now) <= 0
        self.meter.drain(1, self.now)
        if not is_admitted:
            self.windows.untake(now)
            fits_in_s = self.meter.wait_for(1, self.now)
            told_s = ceil(fits_in_s / self.delays_to_s) * self.delays_to_s if self.delays_to_s else None
            self.windows.refuse(now, now, told_s)
            self.now += fits_in_s + SETTLES_S
        else:
            self.windows.admit(now)
        return is_admitted

    def refused(self, times, *, rate=3.5):
        """Sends at random moments until that many were refused."""
        while times:
            self.now += self.rng.expovariate(rate)
            times -= not self.send()
        wait_s(self.windows, self.now)


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_few_refusals_tell_a_window(algorithm, seed):
    upstream = Upstream(algorithm, seed=seed)

    upstream.refused(5)

    assert upstream.windows.limit == 10
    assert upstream.windows.period_s == pytest.approx(4.0, abs=0.02)


def test_fewer_tell_nothing():
    upstream = Upstream(Algorithm.SLIDING)

    upstream.refused(ENOUGH - 1)

    assert (upstream.windows.limit, upstream.windows.bucket_s) == (0, 0.0)


def test_a_bucket_is_told_by_its_step():
    upstream = Upstream(Algorithm.BUCKET)

    upstream.refused(3)

    assert upstream.windows.limit == 0
    assert upstream.windows.bucket_s == pytest.approx(0.4)


@pytest.mark.parametrize("delays_to_s", [1.0, None])
@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
def test_delays_in_whole_seconds_and_none_at_all_tell_the_pace_too(algorithm, delays_to_s):
    upstream = Upstream(algorithm, delays_to_s=delays_to_s)

    upstream.refused(16)

    windows = upstream.windows
    rate = windows.limit / windows.period_s if windows.limit else 1 / windows.bucket_s
    assert rate == pytest.approx(2.5, rel=0.15)


def test_what_others_met_is_known_at_the_first_refusal():
    hearsay = Hearsay()
    for seed in (1, 2, 3):
        Upstream(Algorithm.SLIDING, seed=seed, hearsay=hearsay).refused(2)
    newcomer = Upstream(Algorithm.SLIDING, seed=4, hearsay=hearsay)

    newcomer.refused(1)

    assert newcomer.windows.limit == 10
    assert newcomer.windows.period_s == pytest.approx(4.0, abs=0.02)


def test_who_has_another_limit_than_the_others_finds_its_own():
    hearsay = Hearsay()
    for seed in (1, 2, 3):
        Upstream(Algorithm.SLIDING, seed=seed, hearsay=hearsay).refused(3)
    larger = Upstream(Algorithm.SLIDING, limit=40, seed=4, hearsay=hearsay)

    larger.refused(4, rate=14.0)

    assert larger.windows.limit == 40
    assert larger.windows.period_s == pytest.approx(4.0, abs=0.02)


def test_nothing_is_sent_until_it_is_known_what_a_refusal_means():
    windows = Windows()
    windows.take(Instant(1.0))
    windows.untake(Instant(1.0))

    windows.refuse(Instant(1.01), Instant(1.0), None)

    assert wait_s(windows, 1.02) == pytest.approx(SETTLES_S - 0.01)
    assert wait_s(windows, 1.1) == 0.0


def test_a_known_window_is_used_to_the_full_and_never_exceeded():
    upstream = Upstream(Algorithm.SLIDING)
    upstream.refused(5)
    began, served = upstream.now, 0

    while served < FIRST_ASK // 2:  # later more is asked for
        upstream.now += wait_s(upstream.windows, upstream.now)
        assert upstream.send()
        served += 1

    assert upstream.now - began <= served / 10 * (4.0 + 2 * GUARD_S)


def test_who_takes_the_last_call_at_the_same_moment_as_another_process_says_nothing_against_the_window():
    windows = Windows()
    windows.adopt(Belief(2.5, 10, 4.0))
    now = 100.0
    for _ in range(20):
        for _ in range(10):
            now += 0.1
            windows.take(Instant(now))
            windows.admit(Instant(now))
        windows.take(Instant(now + 0.01))
        windows.untake(Instant(now + 0.01))
        windows.refuse(Instant(now + 0.02), Instant(now + 0.01), None)
        now += 4.0
        wait_s(windows, now)

    assert windows.limit == 10
    assert windows.period_s == pytest.approx(4.0)
    assert windows._window._slips == 0.0  # else chance would have it judged anew


def test_more_is_asked_for_now_and_then_and_found_when_the_limit_has_risen():
    upstream = Upstream(Algorithm.SLIDING)
    upstream.refused(5)
    upstream.meter = make_meter(Algorithm.SLIDING, 30, 4.0, upstream.now)
    began, served = upstream.now, 0

    while upstream.now < began + 120:
        upstream.now += wait_s(upstream.windows, upstream.now) or 0.001
        served += upstream.send()

    assert served >= 0.8 * 120 / 4 * 30


def test_once_more_than_fits_was_refused_no_more_is_told_to_others():
    windows = Windows()
    windows.adopt(Belief(2.5, 10, 4.0))
    windows._trial.extra = 1
    windows.take(Instant(1.0))
    assert windows.size == 11

    windows.untake(Instant(1.0))
    windows.refuse(Instant(1.0), Instant(1.0), 1.0)

    assert windows.size == 10


@pytest.mark.parametrize(
    ("step", "window", "is_likelier"),
    [
        pytest.param((0.40, 0.52), (3.9, 4.1), True, id="vague-step"),
        pytest.param((0.40, 0.41), (3.9, 4.1), False, id="step-that-is-known"),
        pytest.param((0.40, 0.52), (3.99, 4.0), False, id="but-a-sliver"),
        pytest.param((0.30, 0.40), (3.9, 4.1), False, id="slower"),
    ],
)
def test_a_window_is_likelier_than_a_bucket_that_is_known_but_vaguely(step, window, is_likelier):
    assert _is_likelier(Span(*window, 1.0, 10), Span(*step, 1.0)) is is_likelier
    assert not _is_likelier(Span(*window, 0.9, 10), Span(*step, 1.0))


def test_what_was_sent_before_it_was_noted_counts():
    windows = Windows()
    for sent in (3.0, 4.0):
        windows.take(Instant(sent))
    for sent in (1.0, 2.0):
        windows.note(Instant(sent))

    assert list(windows._sent) == [4.0, 3.0, 2.0, 1.0]


def test_a_call_of_another_that_is_heard_of_late_is_counted_however_many_are_remembered():
    windows = Windows()
    windows.adopt(Belief(rate=0.5, limit=2, period_s=4.0))
    for number in range(2 * REMEMBERED):
        windows.take(Instant(100.0 + 5 * number))
    newest = 100.0 + 5 * 2 * REMEMBERED
    windows.take(Instant(newest))

    windows.hear(Instant(newest - 0.1))

    assert wait_s(windows, newest) == pytest.approx(4.0 - 0.1 + GUARD_S, abs=0.01)


def test_what_others_find_out_of_a_bucket_is_believed_at_the_next_call():
    hearsay = Hearsay()
    upstream = Upstream(Algorithm.BUCKET, hearsay=hearsay, delays_to_s=None)
    upstream.refused(4)
    assert upstream.windows.bucket_s > 0.42

    hearsay.tell_step(Windows(hearsay), (0.39, 0.41))
    upstream.now += 1.0
    upstream.send()

    assert upstream.windows.bucket_s == 0.41
    assert upstream.windows.shortest_bucket_s == 0.39


def test_a_bucket_that_gave_all_back_is_as_fast_as_that_and_others_hear_of_it():
    hearsay = Hearsay()
    upstream = Upstream(Algorithm.BUCKET, hearsay=hearsay, delays_to_s=None)
    upstream.refused(4)
    told = hearsay.told

    for _ in range(60):
        upstream.now += 0.405
        assert upstream.send()

    assert 0.4 <= upstream.windows.bucket_s <= 0.42
    assert hearsay.steps_after(told, Windows(hearsay))[-1][1] <= 0.42


def test_refusals_that_a_pace_since_has_disproved_are_forgotten():
    upstream = Upstream(Algorithm.BUCKET, delays_to_s=None)
    upstream.refused(8)
    assert not upstream.windows.is_young

    upstream.meter = make_meter(Algorithm.BUCKET, 20, 4.0, upstream.now)  # the limit has risen
    for _ in range(60):
        upstream.now += 0.3
        assert upstream.send()

    assert upstream.windows.is_young
    assert 0.3 <= upstream.windows.bucket_s <= 0.32  # one call in sixty may have been saved


def test_the_more_often_refusals_tell_the_same_step_the_more_slowly_more_is_asked_until_it_has_become_another():
    upstream = Upstream(Algorithm.BUCKET)
    upstream.refused(2)
    assert upstream.windows.care == 1.0

    upstream.refused(1)
    assert upstream.windows.care == 2.0
    upstream.refused(4)
    assert upstream.windows.care == MOST_CARE

    upstream.meter = make_meter(Algorithm.BUCKET, 20, 4.0, upstream.now)  # the limit has risen
    for _ in range(60):
        upstream.now += 0.3
        assert upstream.send()
    assert upstream.windows.care == 1.0


def test_calls_of_long_ago_are_forgotten_but_for_some():
    windows = Windows()
    for number in range(SURELY_KEPT + 50):
        windows.take(Instant(number / 10))
    windows.take(Instant(1000.0))

    assert len(windows._sent) == SURELY_KEPT
