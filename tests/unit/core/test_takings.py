"""What was taken of a sliding window, and when."""

import pytest

from gateway.core.takings import SLOTS, Takings, when_taken


def takings(*some, period_s=10.0):
    own = Takings()
    for at, amount in some:
        own.add(amount, at, period_s)
    return own


def test_the_oldest_goes_first():
    own = takings((1.0, 5), (2.0, 7))

    assert own.drop_oldest() == (1.0, 5)
    assert (own.total, list(own.log)) == (7, [(2.0, 7)])


@pytest.mark.parametrize(("at", "left"), [(2.0, 8), (1.0, 10), (1.5, 15), (0.5, 15)])
def test_only_what_was_taken_at_that_moment_is_taken_back(at, left):
    own = takings((1.0, 5), (2.0, 3), (2.0, 7))

    own.take_back(at)

    assert own.total == left


def test_many_takings_need_no_more_than_their_slots():
    own = takings(*[(number / 1000, 1) for number in range(10 * SLOTS)])

    assert len(own.log) <= 2 * SLOTS
    assert own.total == sum([amount for _, amount in own.log])


@pytest.mark.parametrize(("amount", "at"), [(1, 1.0), (5, 1.0), (6, 2.0), (12, 2.0), (13, None)])
def test_so_much_was_taken_when_the_last_of_it_was(amount, at):
    assert when_taken(takings((1.0, 5), (2.0, 7)).log, amount) == at
