"""What a scope does where headers mislead, call by call."""

import pytest

from gateway.core.doubts import APART_S
from gateway.core.headroom import Headroom
from gateway.core.hearsay import Hearsay
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.outcome import Scope, ScopeKind
from gateway.core.takings import SOONEST_S
from gateway.core.trust import FIRST_IDLE_S, REST_S
from gateway.core.uses import Audience

STUCK = RateLimits(requests=Quota(1, 0, 60.0))
"""Nothing is left, whatever happens."""
ROOMY = RateLimits(requests=Quota(1000, 999, 60.0))


def told(limits=STUCK, hearsay=None):
    headroom = Headroom(Scope(ScopeKind.HOLDER_MODEL, "a", "m"), hearsay=hearsay or Hearsay())
    call(headroom, 0.0, limits)
    return headroom


def call(headroom, at, limits=STUCK, *, is_success=True):
    """A call that is answered at once."""
    sent = headroom.take(1, Instant(at))
    headroom.learn(limits, sent, Instant(at), is_success=is_success)
    if is_success:
        headroom.admit(Instant(at), sent)
    else:
        headroom.contradict(Instant(at), sent)
        headroom.refuse(Instant(at), sent, 1.0)


def go_when_possible(headroom, at, limits=STUCK, *, is_success=True):
    """When the next call goes."""
    while (wait_s := headroom.wait_or_try_s(1, Instant(at))) > SOONEST_S:
        at += wait_s
    call(headroom, at, limits, is_success=is_success)
    return at


def test_a_limit_that_is_always_said_to_be_used_up_is_found_out():
    headroom, at = told(), 0.0

    for _ in range(20):
        at = go_when_possible(headroom, at)

    assert headroom.is_taught
    assert headroom.level_of("requests") is None
    assert at < 5 * FIRST_IDLE_S


def test_a_limit_that_is_said_to_be_used_up_and_is_costs_few_trials():
    headroom, at, trials = told(), 0.0, 0

    while at < 3600:
        begun = at
        at = go_when_possible(headroom, begun, is_success=False)
        trials += 1

    assert not headroom.is_taught
    assert trials <= 3600 / 60 + 6


def test_who_asks_what_is_known_asks_no_trial():
    headroom = told()

    headroom.wait_s(1, Instant(FIRST_IDLE_S + 1))

    assert headroom.wait_s(1, Instant(2 * FIRST_IDLE_S)) > FIRST_IDLE_S


def test_refusals_of_calls_that_fit_by_the_headers_teach_the_limit_in_their_place():
    headroom = told(ROOMY)

    for number in range(1, 12):
        call(headroom, number * 2.0, ROOMY, is_success=False)

    assert headroom.is_taught
    assert headroom.wait_s(1, Instant(22.1)) > 0


def test_calls_of_one_burst_are_one_refusal():
    headroom = told(ROOMY)
    some = [headroom.take(1, Instant(1.0)) for _ in range(50)]

    for sent in some:
        headroom.contradict(Instant(1.1), sent)

    assert not headroom.is_taught


def test_a_limit_that_is_roomy_is_kept_beside_what_refusals_teach():
    headroom = told(ROOMY)

    for number in range(1, 12):
        call(headroom, number * 2.0, ROOMY, is_success=False)

    assert headroom.level_of("requests") is not None


def test_headers_have_another_chance_after_a_rest():
    headroom, at = told(), 0.0
    while not headroom.is_taught:
        at = go_when_possible(headroom, at)

    call(headroom, at + REST_S + 1, ROOMY)

    assert not headroom.is_taught
    assert headroom.level_of("requests").left == 999


def test_what_one_scope_finds_out_others_of_its_provider_and_model_know():
    hearsay = Hearsay()
    headroom, other, at = told(hearsay=hearsay), told(hearsay=hearsay), 0.0
    while not headroom.is_taught:
        at = go_when_possible(headroom, at)

    other.wait_or_try_s(1, Instant(at))

    assert other.is_taught


def test_what_one_process_finds_out_others_are_told():
    headroom, at = told(), 0.0
    while not headroom.is_taught:
        at = go_when_possible(headroom, at)
    other = told()

    other.heard("p2", headroom.use(Instant(at), Audience.REPLICAS), Instant(at), own="p1")

    assert other.is_taught
    assert other.level_of("requests") is None


def test_calls_of_which_nothing_is_known_any_more_do_not_go_all_at_once():
    headroom, at = told(), 0.0
    while not headroom.is_taught:
        at = go_when_possible(headroom, at)
    headroom.take(1, Instant(at))

    assert headroom.wait_s(1, Instant(at)) == pytest.approx(APART_S)
