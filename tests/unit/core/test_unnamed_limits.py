"""Headers that say what is left, and not of how much."""

from gateway.core.headroom import Headroom
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant


def told(limit, remaining, reset_s):
    return RateLimits(requests=Quota(limit, remaining, reset_s))


def test_a_limit_that_no_header_names_is_the_most_that_was_ever_left_and_its_call():
    headroom = Headroom()
    for at, remaining in ((0.0, 2), (5.0, 9), (5.1, 8)):
        sent = headroom.take(0, Instant(at))
        headroom.learn(told(None, remaining, 1.0), sent, Instant(at + 0.05), is_success=True)

    assert headroom.level_of("requests").limit == 10
    assert headroom.token_limit == float("inf")


def test_a_refusal_tells_no_limit_that_no_header_names():
    headroom = Headroom()

    headroom.learn(told(None, 0, 1.0), headroom.take(0, Instant(0.0)), Instant(0.1), is_success=False)

    assert not headroom.is_told


def test_what_refusals_told_holds_no_more_once_headers_come():
    headroom = Headroom()
    headroom.refuse(Instant(0.1), headroom.take(0, Instant(0.0)), 60.0)
    assert headroom.wait_s(1, Instant(0.2)) > 0

    headroom.learn(told(100, 99, 0.6), headroom.take(0, Instant(1.0)), Instant(1.1), is_success=True)

    assert headroom.wait_s(1, Instant(1.2)) == 0
