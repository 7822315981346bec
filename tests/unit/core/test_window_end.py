"""A fixed window's end, as resets tell it that are whole seconds."""

import math

import pytest

from gateway.core.freeing import Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.window_end import WindowEnd

PERIOD_S = 20.0


class Upstream:
    """A limit of 10 calls in a window that the first of them opens. Counts what it refuses."""

    def __init__(self, whole):
        self.whole, self.ends_at, self.used, self.refused = whole, 0.0, 0, 0

    def admit(self, now):
        if now >= self.ends_at:
            self.ends_at, self.used = now + PERIOD_S, 0
        is_success = self.used < 10
        self.used += is_success
        self.refused += not is_success
        reset_s = float(self.whole(round(self.ends_at - now, 6)))
        return RateLimits(requests=Quota(10, 10 - self.used, reset_s)), is_success


def play(upstream, headroom, seconds, every_s):
    """Calls every so often, as far as they fit. How many were served."""
    served, now = 0, 1000.0
    while now < 1000.0 + seconds:
        if headroom.wait_s(1, Instant(now)) <= 0:
            sent = headroom.take(10, Instant(now))
            limits, is_success = upstream.admit(now + 0.002)
            headroom.learn(limits, sent, Instant(now + 0.01), is_success=is_success)
            served += is_success
        now += every_s
    return served


@pytest.mark.parametrize("whole", [math.ceil, round, math.floor])
def test_hardly_a_moment_of_a_window_is_lost(whole):
    upstream, headroom = Upstream(whole), Headroom()

    served = play(upstream, headroom, 100 * PERIOD_S, 1.3)

    assert served >= 0.93 * 1000  # 1.3 s pass between two calls: who looks so seldom opens windows late
    assert upstream.refused <= 4
    assert headroom.level_of("requests").kind is Freeing.FIXED


def test_one_fraction_tells_that_resets_are_exact():
    end = WindowEnd()

    slacks = [end.slack_s(reset_s, 0.0) for reset_s in (20.0, 19.0, 18.0, 17.0, 16.25, 15.0)]

    assert slacks == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_a_moment_in_whole_seconds_is_rounded_whatever_is_left_until_it():
    assert WindowEnd().slack_s(19.3, 1.0) == 1.0


def test_while_the_end_is_in_doubt_one_call_goes_ahead():
    headroom = Headroom()
    for second in range(10):
        quota = Quota(10, 9 - second, 20.0 - second)
        now = Instant(1000.0 + second)
        headroom.learn(RateLimits(requests=quota), headroom.take(1, now), now, is_success=True)
    over = Instant(1020.5)
    assert headroom.wait_s(1, over) == 0.0

    first = headroom.take(1, over)

    assert headroom.wait_s(1, over) > 0
    headroom.learn(RateLimits(requests=Quota(10, 9, 20.0)), first, over, is_success=True)
    assert headroom.wait_s(1, over) == 0.0
    assert headroom.level_of("requests").left == 9


def test_a_call_that_opens_no_window_is_asked_again_soon():
    headroom = Headroom()
    for second in range(10):
        now = Instant(1000.0 + second)
        quota = Quota(10, 9 - second, 20.0 - second)
        headroom.learn(RateLimits(requests=quota), headroom.take(1, now), now, is_success=True)
    now = Instant(1020.1)
    first = headroom.take(1, now)

    headroom.learn(RateLimits(requests=Quota(10, 0, 0.0)), first, now, is_success=False)

    assert 0.5 <= headroom.wait_s(1, now) <= 1.0
