"""What scopes whose limits may be the same know of it together."""

from itertools import pairwise

import pytest

from gateway.core.evidence import Refused, Span
from gateway.core.headroom import Headroom
from gateway.core.hearsay import (
    FEW_SCOPES,
    FIRST_ASK,
    HEARD,
    MOST_GROWN,
    MOST_HASTE,
    SELDOM,
    TRIAL_PERIODS,
    Hearsay,
    Window,
    roundest,
)
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.pace import expected_pace
from gateway.core.uses import Belief
from gateway.core.windows import Windows


def test_a_scope_hears_of_others_alone():
    hearsay, mine, theirs = Hearsay(), Windows(), Windows()
    own = Refused(1.0, None, [], admitted=0, refused=0)
    told = Refused(2.0, None, [], admitted=0, refused=0)

    hearsay.tell(mine, own)
    hearsay.tell(theirs, told)
    hearsay.tell_step(theirs, (0.3, 0.4))

    assert hearsay.refusals(mine) == [told]
    assert hearsay.refusals(theirs) == [own]
    assert hearsay.steps(mine) == [(0.3, 0.4)]
    assert hearsay.steps(theirs) == []


def test_one_window_for_all_who_believe_in_it():
    hearsay = Hearsay()
    window = hearsay.window_of(Span(3.5, 4.5, 1.0, 10))
    version = hearsay.version

    assert hearsay.window_of(Span(3.9, 4.2, 1.0, 10)) is window
    assert (window.low_s, window.high_s) == (3.9, 4.2)
    assert hearsay.version == version + 1  # whom it did not fit may look again
    assert hearsay.window_of(Span(3.9, 4.2, 1.0, 10)) is window
    assert hearsay.version == version + 1
    assert hearsay.window_of(Span(3.9, 4.2, 1.0, 9)) is not window
    assert hearsay.window_of(Span(8.0, 8.0, 1.0, 10)) is not window
    assert hearsay.version == version + 3


def test_one_scope_at_a_time_tries_a_shorter_period():
    window = Window(Span(3.2, 4.8, 1.0, 10))

    assert window.start_trial(100.0) == (1, 4.0)
    assert window.start_trial(101.0) is None
    assert window.start_trial(100.0 + TRIAL_PERIODS * 4.8) == (1, 4.0)  # the one before has forgotten it
    window.end_trial(1)
    assert window.start_trial(200.0) == (1, 4.0)


def test_where_there_are_many_scopes_some_try_each_another_period():
    window = Window(Span(3.1, 3.9, 1.0, 10))

    tried = [window.start_trial(100.0, 3) for _ in range(4)]

    assert tried == [(1, 3.15), (2, 3.3), (3, pytest.approx(3.55)), None]  # nearer to what was refused
    window.end_trial(2)
    assert window.start_trial(101.0, 3) == (2, 3.3)


def test_a_round_period_is_tried_first():
    window = Window(Span(3.9, 5.1, 1.0, 10))

    assert [window.start_trial(100.0, 1 + number)[1] for number in range(2)] == [4.0, pytest.approx(4.433, abs=0.001)]


@pytest.mark.parametrize(
    ("low_s", "high_s", "round_s"),
    [(3.9, 5.7, 4.0), (58.2, 75.0, 60.0), (17.0, 25.0, 20.0), (0.4, 0.9, 0.0), (4.0, 4.5, 0.0)],
)
def test_a_round_period_is_the_likeliest(low_s, high_s, round_s):
    assert roundest(low_s, high_s) == round_s


@pytest.mark.parametrize(
    ("scopes", "high_s", "triers"), [(8, 4.05, 1), (8, 4.13, 1), (8, 4.2, 2), (8, 5.5, 3), (2, 5.5, 1)]
)
def test_the_less_is_known_of_a_period_the_more_scopes_try_one(scopes, high_s, triers):
    hearsay, told = Hearsay(), Refused(1.0, None, [], admitted=0, refused=0)
    known = [Windows(hearsay) for _ in range(scopes)]
    for one in known:
        hearsay.tell(one, told)

    assert hearsay.triers_of(Window(Span(4.0, high_s, 1.0, 10))) == triers


def test_a_period_that_is_known_is_not_tried():
    assert Window(Span(4.0, 4.01, 1.0, 10)).start_trial(1.0) is None


def test_one_more_is_asked_for_seldom_and_more_seldom_when_refused():
    window = Window(Span(4.0, 4.0, 1.0, 10))

    def asked_after():
        calls = 0
        while not window.may_ask():
            window.count(is_tight=True)
            calls += 1
        return calls

    assert asked_after() == FIRST_ASK
    window.asked_too_much()
    assert asked_after() == 4 * FIRST_ASK


def test_of_a_large_window_a_twentieth_is_asked_for_first_and_half_as_much_when_refused():
    window, asks = Window(Span(1.0, 1.0, 1.0, 100)), []
    for _ in range(4):
        asks.append(window.asks)
        window.asked_too_much()

    assert asks == [5, 2, 1, 1]


def test_a_slip_now_and_then_is_chance_and_lengthens_the_period_a_little():
    window = Window(Span(4.0, 4.0, 1.0, 10))
    for _ in range(5):
        for _ in range(SELDOM):
            window.count(is_tight=True)
        assert window.slip(4.02)

    assert 4.0 < window.period_s <= 4.02
    assert window.slip(4.02)
    assert not window.slip(4.02)


def test_a_period_that_is_too_short_grows_ever_faster_where_nobody_says_when_a_call_fits():
    window = Window(Span(3.5, 3.6, 1.0, 10))
    tried = []
    for _ in range(8):
        tried.append(window.period_s)
        for _ in range(SELDOM):
            window.count(is_tight=True)
        assert window.slip(window.period_s + 0.01, is_vague=True)

    steps = [later - one for one, later in pairwise(tried)]
    assert all(later > one for one, later in pairwise(steps))
    assert max(steps) <= MOST_GROWN * window.period_s + 0.01
    assert tried[-1] > 4.0


def test_a_period_that_turns_out_longer_than_it_can_be_is_no_chance():
    window = Window(Span(3.7, 3.8, 1.0, 9))

    assert window.slip(3.806)
    assert not window.slip(3.9)


def test_a_window_that_another_scope_finds_otherwise_is_another_window():
    hearsay = Hearsay()
    mine = hearsay.window_of(Span(4.0, 4.0, 1.0, 10))

    assert hearsay.window_of(Span(3.9, 4.4, 1.0, 10)) is mine
    assert hearsay.window_of(Span(3.6, 3.7, 1.0, 10)) is not mine
    assert (mine.low_s, mine.high_s) == (4.0, 4.0)


def test_a_call_that_was_sent_before_there_was_room_tells_nothing_new():
    window = Window(Span(3.8, 4.2, 1.0, 10))

    window.slip(3.9)

    assert (window.low_s, window.high_s) == (3.9, 4.2)


def test_what_was_told_since_is_found_however_much_was_forgotten():
    hearsay, mine, theirs = Hearsay(), Windows(), Windows()
    hearsay.tell_step(theirs, (0.3, 0.4))
    told = hearsay.told
    hearsay.tell_step(mine, (0.2, 0.4))
    hearsay.tell_step(theirs, (0.1, 0.4))

    assert hearsay.steps_after(told, mine) == [(0.1, 0.4)]
    assert hearsay.steps_after(hearsay.told, mine) == []
    for _ in range(100):
        hearsay.tell_step(theirs, (0.5, 0.6))
    assert set(hearsay.steps_after(told, mine)) == {(0.5, 0.6)}


def crowd(size):
    hearsay, scopes = Hearsay(), [Windows() for _ in range(size)]
    for scope in scopes:
        hearsay.tell(scope, Refused(1.0, None, [], admitted=0, refused=0))
    return hearsay, scopes


def test_of_few_scopes_none_goes_ahead():
    hearsay, scopes = crowd(2 * FEW_SCOPES - 1)

    assert not any(hearsay.scout(scope, 1.0, 10.0) for scope in scopes)


def test_of_many_scopes_one_in_so_many_goes_ahead_for_a_while():
    hearsay, scopes = crowd(20 * FEW_SCOPES)

    scouts = [scope for scope in scopes if hearsay.scout(scope, 1.0, 10.0)]
    assert len(scouts) == 20
    assert hearsay.haste == MOST_HASTE
    hearsay.return_scout(scouts[0])
    assert hearsay.scout(scopes[-1], 2.0, 10.0)
    assert not hearsay.scout(scopes[-2], 2.0, 10.0)
    assert hearsay.scout(scopes[-2], 11.5, 10.0)  # the time of the first is over


def test_scopes_that_are_gone_do_not_count():
    hearsay, scopes = crowd(8 * FEW_SCOPES)
    del scopes[FEW_SCOPES:]

    assert hearsay.haste <= (FEW_SCOPES + HEARD) // FEW_SCOPES  # whose refusals are known are kept


def test_what_was_told_is_forgotten_when_scopes_become_others():
    hearsay, scopes = crowd(FEW_SCOPES)
    hearsay.tell_step(scopes[0], (0.3, 0.4))
    hearsay.window_of(Span(3.5, 4.5, 1.0, 10))

    hearsay.forget()

    assert hearsay.refusals(scopes[0]) == hearsay.steps(scopes[1]) == list(hearsay.windows) == []


def test_who_comes_anew_sends_no_more_than_fits_its_neighbours_before_its_first_answer():
    hearsay = Hearsay()
    known, newcomer = Headroom(hearsay=hearsay), Headroom(hearsay=hearsay)
    limits = RateLimits(requests=Quota(3, 2, 1.0))
    assert newcomer.wait_s(1, Instant(0.0)) == 0.0

    known.learn(limits, known.take(1, Instant(1.0)), Instant(1.1), is_success=True)
    first, *_ = [newcomer.take(1, Instant(2.0)) for _ in range(3)]
    assert newcomer.wait_s(1, Instant(2.0)) > 0.0
    newcomer.learn(RateLimits(requests=Quota(9, 8, 1.0)), first, Instant(2.1), is_success=True)
    assert newcomer.wait_s(1, Instant(2.1)) == 0.0


def test_headers_that_tell_of_one_call_hold_no_newcomer_back():
    hearsay = Hearsay()
    known, newcomer = Headroom(hearsay=hearsay), Headroom(hearsay=hearsay)
    known.learn(RateLimits(requests=Quota(1, 0, 60.0)), known.take(1, Instant(1.0)), Instant(1.1), is_success=True)

    newcomer.take(1, Instant(2.0))
    assert newcomer.wait_s(1, Instant(2.0)) == 0.0


def test_of_a_limit_that_several_processes_share_each_expects_its_part():
    hearsay = Hearsay()
    hearsay.expect(Belief(2.5, 10, 4.0, is_bucket=False), 4)

    assert hearsay.first_wait_s(1) == 0.0
    assert hearsay.first_wait_s(2) > 0.0
    hearsay.forget()
    assert hearsay.first_wait_s(2) == 0.0


def test_without_headers_a_pace_begins_with_what_others_believe():
    hearsay = Hearsay()
    assert expected_pace(hearsay, Instant(0.0)) is None

    hearsay.expect(Belief(2.5, 10, 4.0, is_bucket=False), 1)
    pace = expected_pace(hearsay, Instant(0.0))
    assert pace is not None
    assert pace.window == (10, 4.0)
    assert pace.rate == 2.5
