"""What is left of limits on tokens, and what becomes of it."""

import math

import pytest

from gateway.core import pieces
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.uses import Totals, Use
from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import make_meter

LIMIT, PERIOD_S, START = 10_000, 10.0, 1000.0


class Upstream:
    """Limits of tokens and of requests; answers come at once."""

    def __init__(self, algorithm, *, requests=100, of_requests=None):
        self.headroom, self.now = Headroom(), START
        self.tokens = make_meter(algorithm, LIMIT, PERIOD_S, self.now)
        self.requests = make_meter(of_requests or algorithm, requests, PERIOD_S, self.now)

    def send(self, *calls, every_s=1.0):
        for tokens in calls:
            now = Instant(self.now)
            sent = self.headroom.take(tokens, now)
            self.tokens.drain(tokens, self.now)
            self.requests.drain(1, self.now)
            limits = RateLimits(requests=quota(self.requests, self.now), tokens=quota(self.tokens, self.now))
            self.headroom.learn(limits, sent, now, is_success=True)
            self.now += every_s
        return self

    @property
    def levels(self):
        return self.headroom.levels

    def spare(self, tokens):
        """When a call of so many goes as soon as it may."""
        now = Instant(self.now)
        return pieces.spare(self.levels, tokens, Instant(now + self.headroom.wait_s(tokens, now)))


def quota(meter, now):
    return Quota(int(meter.limit), math.floor(meter.free(now) + 1e-9), round(meter.until_full(now), 3))


def sliding(**fields):
    """Of 10,000 tokens 1,000 are left; 3,000, 500, 2,500 and 2,000 come back, in this order, and 1,000 some time."""
    return Upstream(Algorithm.SLIDING, **fields).send(1000, 3000, 500, 2500, 2000)


@pytest.mark.parametrize(
    ("tokens", "spare"),
    [
        pytest.param(4000, 0, id="just-enough-comes-back-at-once"),
        pytest.param(2500, 1500, id="more-comes-back-than-it-needs"),
        pytest.param(4200, 300, id="with-what-comes-back-next"),
    ],
)
def test_what_a_call_will_leave_over_is_known_from_what_comes_back(tokens, spare):
    assert sliding().spare(tokens) == spare


def test_what_is_spare_does_not_delay_the_call_that_waits():
    upstream = sliding()
    waits_s = upstream.headroom.wait_s(2500, Instant(upstream.now))

    upstream.headroom.take(1000, Instant(upstream.now))

    assert upstream.headroom.wait_s(2500, Instant(upstream.now)) == waits_s > 0


@pytest.mark.parametrize(("requests", "spare"), [(5, 0), (6, 1500)])
def test_nothing_is_spare_where_requests_are_what_is_missing(requests, spare):
    assert sliding(requests=requests).spare(2500) == spare


def test_requests_of_a_bucket_come_back_by_then():
    upstream = sliding(requests=5, of_requests=Algorithm.BUCKET)

    assert upstream.spare(2500) == 1500


def test_nothing_is_spare_where_other_processes_take_it():
    upstream = sliding()
    now = Instant(upstream.now)

    upstream.headroom.heard("other", Use(upstream.headroom.scope, Totals(1, 1)), now)
    upstream.headroom.wait_s(2500, now)

    assert upstream.spare(2500) == 0


@pytest.mark.parametrize("algorithm", [Algorithm.SLIDING, Algorithm.FIXED])
@pytest.mark.parametrize("sent", [(500, 500, 500), (500, 2000, 2000), (500, 3000, 3000)])
def test_of_what_others_may_take_too_there_is_room_for_no_more_than_may_go(algorithm, sent):
    upstream = Upstream(algorithm).send(*sent)
    now, other = Instant(upstream.now), Use(upstream.headroom.scope, Totals(1, 1), is_hungry=True)
    upstream.headroom.heard("other", other, now)
    upstream.headroom.wait_s(1, now)

    room = pieces.token_room(upstream.levels, now)

    assert room < LIMIT - sum(sent)
    assert room == 0 or upstream.headroom.wait_s(int(room), now) == 0
    assert upstream.headroom.wait_s(int(room + LIMIT / 2**pieces.HALVINGS) + 1, now) > 0


def test_only_what_is_left_of_a_window_that_is_half_used_is_a_piece():
    fresh, used = Upstream(Algorithm.SLIDING).send(3000, 500), sliding()

    assert pieces.piece(fresh.levels, Instant(fresh.now)) == math.inf
    assert pieces.piece(used.levels, Instant(used.now)) == 1000
    assert pieces.token_room(fresh.levels, Instant(fresh.now)) == 6500


@pytest.mark.parametrize(("algorithm", "is_lost"), [(Algorithm.BUCKET, False), (Algorithm.SLIDING, True)])
def test_what_is_left_of_a_bucket_is_there_later(algorithm, is_lost):
    upstream = Upstream(algorithm).send(3000, 500, 2500)

    assert pieces.loses_room(upstream.levels) == is_lost
    assert not pieces.frees_at_once(upstream.levels)


def test_without_limits_there_is_room_for_everything():
    assert pieces.token_room((), Instant(START)) == math.inf
    assert pieces.frees_at_once(())
