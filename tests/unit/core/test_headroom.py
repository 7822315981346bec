from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.headroom import Headroom, admitted, learned, level_at, refused, taken, wait_s
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant


def of_requests(limit=60, remaining=0, reset_s=60.0):
    return RateLimits(requests=Quota(limit, remaining, reset_s))


def sent_once(headroom=None, *, tokens=1, now=0.0):
    return taken(headroom or Headroom(), tokens=tokens, now=Instant(now))


def known(limits, *, now=0.0):
    """Headroom after one answer that told `limits` of a call sent at `now`."""
    headroom, sent = sent_once(now=now)
    return learned(headroom, limits, sent)


class Bucket:
    """An upstream as OpenAI's: refills all the time."""

    def __init__(self, limit, window_s=60.0):
        self.limit, self.window_s = limit, window_s
        self.level, self.at = float(limit), 0.0

    def admit(self, amount, now):
        rate = self.limit / self.window_s
        self.level, self.at = min(self.limit, self.level + (now - self.at) * rate), now
        is_admitted = self.level >= amount
        if is_admitted:
            self.level -= amount
        remaining = int(self.level)
        return is_admitted, Quota(self.limit, remaining, (self.limit - self.level) / rate)


class Window:
    """An upstream that frees nothing before the end of its window."""

    def __init__(self, limit, window_s=60.0):
        self.limit, self.window_s = limit, window_s
        self.used, self.ends = 0, window_s

    def admit(self, amount, now):
        while now >= self.ends:
            self.used, self.ends = 0, self.ends + self.window_s
        is_admitted = self.used + amount <= self.limit
        self.used += amount * is_admitted
        return is_admitted, Quota(self.limit, self.limit - self.used, self.ends - now)


def driven(upstream, headroom, calls, now, step_s):
    for _ in range(calls):
        now += step_s
        headroom, sent = sent_once(headroom, now=now)
        headroom = learned(headroom, RateLimits(requests=upstream.admit(1, now)[1]), sent)
    return headroom, now


def test_nothing_known_holds_nobody():
    assert wait_s(Headroom(), tokens=10**6, now=Instant(0.0)) == 0.0
    assert known(RateLimits()).requests is None
    assert known(RateLimits(requests=Quota(None, 5, 1.0))).requests is None
    assert known(RateLimits(requests=Quota(60, None, 1.0))).requests is None


def test_one_call_fits_long_before_a_bucket_is_full():
    headroom = known(of_requests(limit=60, remaining=0, reset_s=60.0))

    assert wait_s(headroom, tokens=1, now=Instant(0.0)) == pytest.approx(1.0)
    assert wait_s(headroom, tokens=1, now=Instant(0.4)) == pytest.approx(0.6)
    assert wait_s(headroom, tokens=1, now=Instant(1.0)) == 0.0
    assert wait_s(headroom, tokens=1, now=Instant(0.0), requests=5) == pytest.approx(5.0)


def test_slower_dimension_counts():
    headroom = known(RateLimits(Quota(60, 0, 60.0), Quota(6000, 1000, 50.0), Quota(), Quota(600, 0, 60.0)))

    assert wait_s(headroom, tokens=10, now=Instant(0.0)) == pytest.approx(1.0)
    assert wait_s(headroom, tokens=50, now=Instant(0.0)) == pytest.approx(5.0)
    assert wait_s(headroom, tokens=1500, now=Instant(0.0)) == pytest.approx(60.0)


def test_more_than_the_limit_waits_until_it_is_full():
    assert wait_s(known(of_requests()), tokens=1, now=Instant(0.0), requests=1000) == pytest.approx(60.0)


def test_calls_sent_since_are_counted_off():
    headroom = known(of_requests(remaining=2, reset_s=58.0))
    for _ in range(3):
        headroom, _ = sent_once(headroom)

    assert wait_s(headroom, tokens=1, now=Instant(0.0)) == pytest.approx(2.0)


def test_calls_sent_before_their_answer_came_are_counted_off():
    headroom, first = sent_once()
    for _ in range(3):
        headroom, _ = sent_once(headroom, tokens=100)

    headroom = learned(headroom, RateLimits(Quota(60, 2, 58.0), Quota(6000, 250, 57.5)), first)

    assert headroom.requests.left == -1
    assert headroom.tokens.left == -50


def test_older_answer_never_overwrites_a_newer_one():
    headroom, first = sent_once()
    headroom, second = sent_once(headroom, now=0.1)
    newer = learned(headroom, of_requests(remaining=5, reset_s=55.0), second)

    assert learned(newer, of_requests(remaining=50, reset_s=10.0), first) == newer


def test_answer_that_tells_no_pace_keeps_the_one_that_is_known():
    headroom = known(of_requests(remaining=0))
    headroom, sent = sent_once(headroom, now=1.0)

    headroom = learned(headroom, RateLimits(requests=Quota(None, 30, None)), sent)

    assert (headroom.requests.limit, headroom.requests.left, headroom.requests.rate) == (60, 30, 1.0)


def test_exhausted_limit_of_unknown_pace_holds_nobody():
    assert wait_s(known(of_requests(reset_s=None)), tokens=1, now=Instant(0.0)) == 0.0


def test_calls_without_any_answer_do_not_hold_a_scope_for_ever():
    headroom = known(of_requests(remaining=60, reset_s=0.0))
    headroom, sent = sent_once(headroom)
    headroom = learned(headroom, of_requests(remaining=59, reset_s=1.0), sent)
    for _ in range(10_000):
        headroom, _ = sent_once(headroom)

    assert wait_s(headroom, tokens=1, now=Instant(0.0)) <= 61.0
    assert wait_s(headroom, tokens=1, now=Instant(130.0)) == 0.0


def test_bucket_is_told_from_a_window_by_its_constant_rate():
    headroom, _ = driven(Bucket(60), Headroom(), calls=40, now=0.0, step_s=0.3)

    assert headroom.requests.votes > 0
    assert not headroom.requests.is_window


def test_window_is_told_from_a_bucket_by_its_constant_end():
    headroom, now = driven(Window(60), Headroom(), calls=60, now=0.0, step_s=0.5)

    assert headroom.requests.is_window
    assert wait_s(headroom, tokens=1, now=Instant(now)) == pytest.approx(30.0)
    assert wait_s(headroom, tokens=1, now=Instant(60.0)) == 0.0


def test_window_that_ended_begins_anew_and_counts_again():
    headroom, _ = driven(Window(60), Headroom(), calls=60, now=0.0, step_s=0.5)
    for _ in range(60):
        headroom, _ = sent_once(headroom, now=61.0)

    assert level_at(headroom.requests, Instant(61.0)) == 0
    assert wait_s(headroom, tokens=1, now=Instant(61.0)) == pytest.approx(59.5)


def test_answer_from_before_a_window_s_end_says_nothing_of_the_next_one():
    headroom, _ = driven(Window(60), Headroom(), calls=60, now=0.0, step_s=0.5)
    headroom, late = sent_once(headroom, now=59.9)
    headroom, _ = sent_once(headroom, now=60.5)

    headroom = learned(headroom, RateLimits(requests=Quota(60, 0, 0.1)), late)

    assert level_at(headroom.requests, Instant(60.5)) == 59


def test_window_without_a_named_end_is_taken_for_a_bucket():
    headroom, now = driven(Window(60), Headroom(), calls=60, now=0.0, step_s=0.5)
    headroom, sent = sent_once(headroom, now=now)

    headroom = learned(headroom, RateLimits(requests=Quota(60, 0, None)), sent)

    assert not headroom.requests.is_window


def test_changed_limit_tells_neither_bucket_nor_window():
    headroom = known(of_requests(limit=60, remaining=30, reset_s=30.0))
    headroom, sent = sent_once(headroom, now=5.0)

    headroom = learned(headroom, of_requests(limit=600, remaining=300, reset_s=60.0), sent)

    assert headroom.requests.votes == 0


@given(st.integers(1, 400), st.floats(5.0, 120.0), st.integers(0, 10_000))
def test_caller_that_waits_is_never_refused_by_a_bucket_and_uses_nearly_all_of_it(limit, window_s, seed):
    bucket, headroom, rng, now, passed = Bucket(limit, window_s), Headroom(), Random(seed), 0.0, 0
    for _ in range(limit + 60):
        now += wait_s(headroom, tokens=1, now=Instant(now)) + 1e-6 + rng.random() * 1e-3
        headroom, sent = sent_once(headroom, now=now)
        is_admitted, quota = bucket.admit(1, now)
        passed += is_admitted
        headroom = learned(headroom, RateLimits(requests=quota), sent)

    assert passed >= limit + 59
    assert now <= 60 * window_s / limit * 2.2 + 1


@given(st.lists(st.integers(0, 19), min_size=20, max_size=20, unique=True), st.randoms(use_true_random=False))
def test_answers_in_any_order_leave_what_the_last_sent_call_told(order, rng):
    headroom, sents, quotas, bucket = Headroom(), [], [], Bucket(100)
    for index in range(20):
        headroom, sent = sent_once(headroom, now=index * 0.1)
        sents.append(sent)
        quotas.append(bucket.admit(1, index * 0.1)[1])
    for index in order:
        headroom = learned(headroom, RateLimits(requests=quotas[index]), sents[index])

    assert headroom.requests.order == 20
    assert headroom.requests.left == quotas[-1].remaining


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 100), st.floats(0, 50), st.integers(0, 500)), max_size=40),
    st.integers(1, 100),
)
def test_wait_is_never_negative_and_level_never_above_the_limit(steps, limit):
    headroom, now = Headroom(), 0.0
    for is_answered, remaining, seconds, tokens in steps:
        now += seconds
        headroom, sent = sent_once(headroom, tokens=tokens, now=now)
        if is_answered:
            limits = RateLimits(Quota(limit, min(remaining, limit), seconds), Quota(limit * 9, remaining, 1.0))
            headroom = learned(headroom, limits, sent)

        assert wait_s(headroom, tokens=tokens, now=Instant(now)) >= 0.0
        if headroom.requests is not None:
            assert -limit <= level_at(headroom.requests, Instant(now)) <= limit


def test_rate_is_learned_from_admissions_between_refusals():
    headroom = refused(Headroom(), now=Instant(0.0))
    for _ in range(30):
        headroom = admitted(headroom)

    headroom = refused(headroom, now=Instant(60.0))

    assert wait_s(headroom, tokens=1, now=Instant(60.0)) == pytest.approx(2.0)
    assert wait_s(headroom, tokens=1, now=Instant(62.0)) == 0.0


def test_learned_rates_are_averaged():
    headroom = Headroom(admitted=30, refused_at=Instant(0.0))
    headroom = refused(headroom, now=Instant(60.0))
    for _ in range(60):
        headroom = admitted(headroom)

    assert refused(headroom, now=Instant(120.0)).requests.rate == pytest.approx(0.75)


def test_burst_of_refusals_is_one_refusal():
    headroom = refused(Headroom(admitted=5, refused_at=Instant(0.0)), now=Instant(10.0))

    assert refused(headroom, now=Instant(10.5)) == headroom


def test_refusals_with_nothing_admitted_between_them_teach_no_rate():
    headroom = refused(Headroom(refused_at=Instant(0.0)), now=Instant(10.0))

    assert headroom.requests is None
