from gateway.core.ledger import Ledger
from gateway.core.places import LATEST_S
from gateway.core.shares import Shares

LASTS_S, GUARD_S = 10.01, 0.01


def ledger(*takings):
    some = Ledger()
    for at, amount in takings:
        some.own.add(amount, at, LASTS_S)
    return some


def test_what_was_taken_is_given_back_a_period_later():
    some = ledger((0.0, 100), (1.0, 200), (5.0, 400))

    assert some.expire(LASTS_S, None, 11.02) == 300
    assert (some.freed, some.held(None)) == (300, 400)
    assert some.expire(LASTS_S, None, 11.02) == 0


def test_it_says_when_more_is_given_back():
    some = ledger((0.0, 100), (1.0, 200))

    assert some.free_in_s(100, LASTS_S, 5.0) == 0.0 + LASTS_S - 5.0
    assert some.free_in_s(101, LASTS_S, 5.0) == 1.0 + LASTS_S - 5.0
    assert some.free_in_s(301, LASTS_S, 5.0) is None
    assert some.due_by(1.0 + LASTS_S, LASTS_S) == 300


def test_the_upstream_may_have_freed_a_little_sooner():
    some = ledger((0.0, 100), (1.0, 200))
    some.expire(LASTS_S, None, 20.0)

    assert some.vague_after(LASTS_S - LATEST_S, GUARD_S) == 100
    assert some.vague_after(LASTS_S, GUARD_S) == 0  # it was given back when the call was sent
    assert some.vague_after(1.0 + LASTS_S - LATEST_S, GUARD_S) == 200


def test_what_others_took_is_given_back_too():
    some, shares = ledger((0.0, 100)), Shares()
    shares.hear("other", 0.0, is_hungry=True).take(50, 0.5, LASTS_S)

    assert some.held(shares) == 150
    assert some.expire(LASTS_S, shares, 11.0) == 150
    assert some.held(shares) == 0


def test_refused_calls_count_while_nothing_is_left_and_leave_as_others_do():
    some = ledger((0.0, 1), (1.0, 1), (2.0, 1))
    some.refuse(1.0)
    some.hear_refused(3.0)

    assert some.held(None) == 2
    assert some.told_to_be(None, is_full=True) == 4
    assert some.free_in_s(2, LASTS_S, 5.0) == 1.0 + LASTS_S - 5.0
    assert some.expire(LASTS_S, None, 11.02) == 2
    assert some.told_to_be(None, is_full=True) == 2


def test_an_answer_that_tells_of_something_left_counts_them_itself():
    some = ledger((0.0, 1), (1.0, 1))
    some.refuse(1.0)

    assert some.told_to_be(None, is_full=False) == 1
    assert some.told_to_be(None, is_full=True) == 1
    assert some.expire(LASTS_S, None, 20.0) == 1


def test_what_is_not_known_to_have_been_sent_is_not_refused():
    some = ledger((0.0, 1))
    some.refuse(0.5)

    assert some.told_to_be(None, is_full=True) == 1
