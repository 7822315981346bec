"""What a scope's headroom says against upstreams that keep real limits: `gateway.sandbox.limiter`."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dimensions import LONGEST_SHARER_S
from gateway.core.freeing import Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.level import SOONEST_S
from gateway.core.uses import Audience, Reading, Totals, Use
from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import make_meter


class Upstream:
    """One limit of requests, and the headroom that is learned from it. Answers come at once."""

    def __init__(self, algorithm, limit=10, period_s=4.0, *, tells=True):
        self.now = 100.0
        self.meter = make_meter(algorithm, limit, period_s, self.now)
        self.headroom = Headroom()
        self.tells = tells
        self.served = self.refused = 0

    def send(self, *, tokens=1):
        """Whether it was admitted."""
        now = Instant(self.now)
        sent = self.headroom.take(tokens, now)
        is_admitted = self.meter.wait_for(1, self.now) <= 0
        self.meter.drain(1, self.now)
        self.served += is_admitted
        self.refused += not is_admitted
        if self.tells:
            free = math.floor(self.meter.free(self.now) + 1e-9)
            quota = Quota(int(self.meter.limit), free, round(self.meter.until_full(self.now), 3))
            self.headroom.learn(RateLimits(requests=quota), sent, now, is_success=is_admitted)
        if is_admitted:
            self.headroom.admit(now, sent)
        elif not self.tells or self.wait_s() <= 0:
            self.headroom.refuse(now, sent)
        return is_admitted

    def wait_s(self, tokens=1):
        return self.headroom.wait_s(tokens, Instant(self.now))

    def keep_busy(self, seconds):
        """Sends whenever the headroom lets it."""
        end = self.now + seconds
        while self.now < end:
            wait_s = self.wait_s()
            if wait_s > 0:
                self.now += max(wait_s, 0.0005)
            else:
                self.send()


def known(algorithm, limit=10):
    """An upstream whose way of freeing the headroom has found out."""
    upstream = Upstream(algorithm, limit)
    rng = Random(3)
    while upstream.served < limit:
        upstream.now += rng.expovariate(limit / 3.0)
        if upstream.wait_s() <= 0:
            upstream.send()
    upstream.keep_busy(20.0)
    return upstream


def sent_once(headroom, *, now=0.0, tokens=1):
    return headroom.take(tokens, Instant(now))


def told(limit=60, remaining=0, reset_s=60.0):
    return RateLimits(requests=Quota(limit, remaining, reset_s))


def test_unknown_limits_let_everything_through():
    headroom = Headroom()
    for _ in range(1000):
        sent_once(headroom)

    assert headroom.wait_s(1_000_000, Instant(0.0)) == 0.0
    assert headroom.refill(1) == 0.0
    assert not headroom.is_known


def test_call_fits_long_before_a_bucket_is_full():
    headroom = Headroom()
    headroom.learn(told(), sent_once(headroom), Instant(0.5), is_success=True)

    assert headroom.wait_s(1, Instant(0.0)) == pytest.approx(1.0, rel=0.03)
    assert headroom.wait_s(1, Instant(1.1)) == 0.0


def test_slower_dimension_counts():
    headroom = Headroom()
    limits = RateLimits(requests=Quota(60, 30, 30.0), tokens=Quota(6000, 100, 59.0))
    headroom.learn(limits, sent_once(headroom), Instant(0.0), is_success=True)

    assert headroom.wait_s(100, Instant(0.0)) == 0.0
    assert headroom.wait_s(200, Instant(0.0)) == pytest.approx(1.0, rel=0.03)


def test_call_larger_than_the_limit_fits_when_it_is_full():
    headroom = Headroom()
    headroom.learn(RateLimits(tokens=Quota(6000, 0, 60.0)), sent_once(headroom), Instant(0.0), is_success=True)

    assert headroom.wait_s(50_000, Instant(0.0)) == pytest.approx(60.0, rel=0.03)


def test_calls_sent_since_are_counted_off():
    headroom = Headroom()
    first = sent_once(headroom)
    for _ in range(5):
        sent_once(headroom)

    headroom.learn(told(remaining=5), first, Instant(0.0), is_success=True)

    assert headroom.wait_s(1, Instant(0.0)) > 0


def test_answer_of_an_older_call_changes_nothing():
    headroom = Headroom()
    older, newer = sent_once(headroom), sent_once(headroom)
    headroom.learn(told(remaining=10), newer, Instant(0.0), is_success=True)

    headroom.learn(told(remaining=0), older, Instant(0.0), is_success=True)

    assert headroom.wait_s(1, Instant(0.0)) == 0.0


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(RateLimits(), id="nothing"),
        pytest.param(told(limit=None, remaining=5), id="no-limit"),
        pytest.param(told(remaining=None), id="no-remaining"),
    ],
)
def test_headers_that_tell_half_degrade_to_unknown(limits):
    headroom = Headroom()

    headroom.learn(limits, sent_once(headroom), Instant(0.0), is_success=True)

    assert headroom.wait_s(1, Instant(0.0)) == 0.0


def test_forgotten_limits_let_everything_through():
    headroom = Headroom()
    sent = sent_once(headroom)
    headroom.learn(told(), sent, Instant(0.0), is_success=True)
    headroom.refuse(Instant(0.0), sent)

    headroom.forget()

    assert headroom.wait_s(1, Instant(0.0)) == 0.0


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(Algorithm.BUCKET, Freeing.BUCKET), (Algorithm.FIXED, Freeing.FIXED), (Algorithm.SLIDING, Freeing.SLIDING)],
)
@pytest.mark.parametrize("limit", [5, 10, 200])
def test_ways_of_freeing_are_told_apart(algorithm, kind, limit):
    upstream = known(algorithm, limit)

    assert upstream.headroom.level_of("requests").kind is kind


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("limit", [4, 10, 60, 500])
def test_limit_is_used_to_the_full_and_hardly_ever_refuses(algorithm, limit):
    upstream = Upstream(algorithm, limit)

    upstream.keep_busy(400.0)

    assert upstream.served >= 0.985 * limit * 400 / 4
    assert upstream.refused <= 0.02 * upstream.served


@pytest.mark.parametrize("limit", [4, 10, 60])
def test_without_headers_the_pace_is_learned(limit):
    upstream = Upstream(Algorithm.BUCKET, limit, tells=False)

    upstream.keep_busy(2000.0)

    assert upstream.served >= 0.8 * limit * 2000 / 4
    assert upstream.refused <= 0.02 * upstream.served


def test_processes_that_share_a_scope_share_what_is_left_and_what_comes():
    headroom = Headroom()
    headroom.learn(told(remaining=3), sent_once(headroom), Instant(0.0), is_success=True)
    headroom.heard("other", Use(headroom.scope, is_hungry=True), Instant(0.0))

    assert headroom.sharers(Instant(0.0)) == 2
    assert headroom.wait_s(1, Instant(0.0)) == 0.0  # one for each, and one that is left
    sent_once(headroom)
    assert headroom.wait_s(1, Instant(0.0)) > 0
    assert headroom.sharers(Instant(LONGEST_SHARER_S)) == 1


def test_what_another_process_sent_is_missing_here_as_well():
    headroom = Headroom()
    headroom.learn(told(limit=10, remaining=8, reset_s=20.0), sent_once(headroom), Instant(0.0), is_success=True)
    headroom.heard("other", Use(headroom.scope, Totals(100, 1000)), Instant(0.0))

    headroom.heard("other", Use(headroom.scope, Totals(105, 1050)), Instant(0.0))

    assert headroom.level_of("requests").level(Instant(0.0)) == 3
    assert headroom.use(Instant(0.0), Audience.REPLICAS).sent == Totals(1, 1)  # its own, and nothing of what it heard


def test_who_is_heard_of_first_says_how_much_is_left():
    headroom = Headroom()
    headroom.learn(told(limit=10, remaining=8, reset_s=2.0), sent_once(headroom), Instant(0.0), is_success=True)
    reading = Reading("requests", 10, 2, 8.0, 0.1, is_success=True)

    headroom.heard("other", Use(headroom.scope, Totals(100, 1000), readings=(reading,)), Instant(0.0))

    assert headroom.level_of("requests").level(Instant(0.0)) == 2


def test_what_another_process_was_refused_is_given_back():
    headroom = Headroom()
    headroom.learn(told(limit=10, remaining=8), sent_once(headroom), Instant(0.0), is_success=True)
    headroom.heard("other", Use(headroom.scope, Totals(100, 1000)), Instant(0.0))

    headroom.heard("other", Use(headroom.scope, Totals(103, 1030)), Instant(0.0))
    headroom.heard("other", Use(headroom.scope, Totals(102, 1020)), Instant(0.0))

    assert headroom.level_of("requests").level(Instant(0.0)) == 6


def test_what_was_refused_here_is_not_told():
    headroom = Headroom()
    headroom.learn(told(limit=10, remaining=8), sent_once(headroom, tokens=7), Instant(0.0), is_success=True)

    headroom.learn(told(limit=10, remaining=0), sent_once(headroom, tokens=9), Instant(0.0), is_success=False)

    assert headroom.use(Instant(0.0), Audience.REPLICAS).sent == Totals(1, 7)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(Algorithm.BUCKET, Freeing.BUCKET), (Algorithm.FIXED, Freeing.FIXED), (Algorithm.SLIDING, Freeing.SLIDING)],
)
def test_how_a_limit_frees_is_learned_from_answers_that_others_got(algorithm, kind):
    upstream, other = Upstream(algorithm), Headroom()
    other.learn(told(limit=10, remaining=9, reset_s=0.0), sent_once(other, now=99.0), Instant(99.0), is_success=True)

    rng = Random(3)
    for _ in range(60):
        upstream.now += rng.expovariate(2.5)
        if upstream.wait_s() <= 0:
            upstream.send()
            other.heard("busy", upstream.headroom.use(Instant(upstream.now), Audience.REPLICAS), Instant(upstream.now))

    assert other.level_of("requests").kind is kind
    assert other.level_of("requests").rate == pytest.approx(2.5, rel=0.1)


def test_news_are_told_once():
    headroom = Headroom()
    sent_once(headroom)
    headroom.heard("other", Use(headroom.scope), Instant(0.0))

    assert headroom.use(Instant(0.0), Audience.REPLICAS, is_news=True).sent.requests == 1
    assert headroom.use(Instant(0.1), Audience.REPLICAS, is_news=True) is None
    headroom.wanted_at = Instant(0.2)
    assert headroom.use(Instant(0.2), Audience.REPLICAS, is_news=True).is_hungry
    assert not headroom.use(Instant(1.0), Audience.REPLICAS, is_news=True).is_hungry


def test_while_nobody_else_is_there_it_is_told_now_and_then():
    headroom = Headroom()
    sent_once(headroom)

    assert headroom.use(Instant(0.0), Audience.REPLICAS, is_news=True) is not None
    sent_once(headroom)
    assert headroom.use(Instant(0.5), Audience.REPLICAS, is_news=True) is None
    assert headroom.use(Instant(1.1), Audience.REPLICAS, is_news=True) is not None


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 10), st.floats(0, 5), st.booleans()), max_size=60))
def test_wait_is_bounded_and_never_negative_whatever_is_told(steps):
    headroom, now = Headroom(), 0.0
    for remaining, reset_s, gap_s, is_success in steps:
        now += gap_s
        sent = headroom.take(3, Instant(now))
        headroom.learn(told(40, remaining, reset_s), sent, Instant(now), is_success=is_success)

        wait_s = headroom.wait_s(3, Instant(now))

        assert 0.0 <= wait_s < 10_000


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
def test_last_moment_of_a_window_lets_no_more_through_than_the_next_one_has(algorithm):
    upstream = known(algorithm)
    while upstream.wait_s() <= SOONEST_S:
        upstream.send()
    upstream.now += upstream.wait_s() - 0.9 * SOONEST_S

    sent = 0
    while upstream.wait_s() <= SOONEST_S and sent < 100:
        sent_once(upstream.headroom, now=upstream.now)
        sent += 1

    assert 1 <= sent <= 10


def bucket_of_tokens():
    """One whose rate is known, 1,000 a second, and of which about 6,000 are left."""
    headroom, now = Headroom(), Instant(1000.0)
    for left in (8000, 6000):
        quota = Quota(10_000, left, (10_000 - left) / 1000)
        headroom.learn(RateLimits(tokens=quota), headroom.take(2000, now), now, is_success=True)
    return headroom, Instant(now + 0.2)


@pytest.mark.parametrize("after_s", [0.001, 0.06])
def test_a_small_call_that_is_overtaken_by_a_large_one_is_not_forgotten(after_s):
    headroom, now = bucket_of_tokens()
    headroom.take(10, Instant(now - 0.049))
    believed = headroom.level_of("tokens").level(now)
    headroom.take(200, now)
    large = headroom.take(4000, Instant(now + min(after_s, 0.04)))
    headroom.take(300, Instant(now + after_s))

    # the large one was admitted first: its answer knows nothing of the small one
    grown = 1000 * min(after_s, 0.04)
    quota = Quota(10_000, math.floor(believed + grown) - 4000, 8.0)
    headroom.learn(RateLimits(tokens=quota), large, Instant(now + 0.2), is_success=True)

    left = headroom.level_of("tokens").level(Instant(now + after_s))
    assert left == pytest.approx(believed - 4500 + 1000 * after_s, abs=5)


@pytest.mark.parametrize(
    ("told_left", "believed"),
    [
        pytest.param(9000, 8800, id="more-than-calls-beside-it-explain"),
        pytest.param(6100, 5900, id="what-they-explain"),
        pytest.param(3000, 3000, id="less"),
    ],
)
def test_of_what_an_answer_tells_is_left_calls_beside_it_may_be_missing(told_left, believed):
    headroom, now = bucket_of_tokens()
    headroom.take(200, now)
    call = headroom.take(100, now)
    quota = Quota(10_000, told_left, (10_000 - told_left) / 1000)

    headroom.learn(RateLimits(tokens=quota), call, Instant(now + 0.2), is_success=True)

    assert headroom.level_of("tokens").level(now) == pytest.approx(believed, abs=5)


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
def test_when_a_call_fits_for_sure_is_told_though_others_may_leave_room_sooner(algorithm):
    upstream = known(algorithm)
    upstream.now += 10.0
    assert upstream.headroom.sure_wait_s(Instant(upstream.now)) == 0.0  # nobody else: `wait_s` says it
    upstream.headroom.heard("other", Use(upstream.headroom.scope, is_hungry=True), Instant(upstream.now))
    while upstream.wait_s() <= 0:
        upstream.send()
        upstream.now += 0.01

    look_again_s, surely_s = upstream.wait_s(), upstream.headroom.sure_wait_s(Instant(upstream.now))
    upstream.now += surely_s

    assert look_again_s < 1.0
    assert 3.0 < surely_s <= 4.1
    assert upstream.wait_s() == 0.0


def test_a_call_that_fits_now_waits_for_nothing():
    upstream = known(Algorithm.FIXED)
    upstream.now += 10.0
    upstream.headroom.heard("other", Use(upstream.headroom.scope, is_hungry=True), Instant(upstream.now))

    assert upstream.headroom.sure_wait_s(Instant(upstream.now)) == 0.0
