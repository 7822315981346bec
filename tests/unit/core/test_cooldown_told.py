"""What another process tells of a scope, and what becomes of it here."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cooldown import (
    BLANK,
    Health,
    Phase,
    told,
)
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import OutcomeKind

T0 = 1000.0


def heard(until, *, strikes=1, phase=Phase.COOLING, dimmed_until=-math.inf):
    at = Instant(until)
    return Health(phase, strikes, 0, Instant(T0), at, at, Instant(dimmed_until), OutcomeKind.RATE_LIMITED)


def test_later_deadline_wins_over_what_others_tell_and_so_do_more_strikes():
    own = heard(T0 + 10, strikes=4, dimmed_until=T0 + 3)

    assert told(own, heard(T0 + 5)) is own
    assert told(own, heard(T0 + 10)) is own
    assert told(own, heard(T0 + 20)).until == T0 + 20
    assert told(own, heard(T0 + 20)).strikes == 4
    assert told(own, heard(T0 + 20, strikes=9)).strikes == 9
    assert told(own, heard(T0 + 20)).dimmed_until == T0 + 3


def test_rejection_is_heard_and_never_unheard():
    rejected = heard(FOREVER, strikes=3, phase=Phase.REJECTED)

    assert told(BLANK, rejected) == rejected
    assert told(rejected, heard(T0 + 50)) is rejected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6), st.randoms())
def test_order_in_which_parks_are_heard_does_not_matter(deadlines, rng):
    shuffled = list(deadlines)
    rng.shuffle(shuffled)

    first, second = BLANK, BLANK
    for one, other in zip(deadlines, shuffled, strict=True):
        first, second = told(first, heard(one)), told(second, heard(other))

    assert first == second
