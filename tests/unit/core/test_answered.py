"""What is surely left, against windows that charge calls as they like and admit those sent together in any order."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.answered import Answered
from gateway.core.ids import Instant
from gateway.core.places import LATEST_S, Place, Places

LIMIT = 10_000.0
BURSTS = st.lists(
    st.lists(st.tuples(st.integers(1, 900), st.floats(0.3, 3.0), st.floats(0.0, LATEST_S)), min_size=1, max_size=6),
    min_size=1,
    max_size=5,
)
"""Calls that are sent at one moment: what we estimate, what the upstream charges of that, how long it is on its way."""


def played(bursts, order):
    """Answers as they come, with each's place; what the upstream has left at the end; and what was sent in all."""
    places, sent, left, answers = Places(), 0, LIMIT, []
    for number, burst in enumerate(bursts):
        now, some = Instant(1.0 + number), []
        places.note(now, 0, sent)
        for tokens, factor, on_way_s in burst:
            sent += tokens
            some.append((on_way_s, sent, tokens, factor, places.before.tokens, now))
        for _, at, tokens, factor, mark, sent_at in sorted(some):
            left -= tokens * factor
            answers.append((at, tokens, mark, sent_at, left))
    order.shuffle(answers)
    return places, answers, left, sent


@given(bursts=BURSTS, order=st.randoms(use_true_random=False))
def test_no_more_is_sure_than_is_left_whoever_was_answered_so_far(bursts, order):
    places, answers, left, sent = played(bursts, order)
    factors = [factor for burst in bursts for _, factor, _ in burst]
    answered = Answered()

    for at, tokens, mark, sent_at, told in answers:
        place = _place(places, at, tokens, mark, sent_at, sent)
        answered.hear(place, told, 0.0, 0.0)
        assert answered.left(0.0) - answered.unanswered(sent) * max(factors) <= left + 1e-6


@given(bursts=BURSTS, order=st.randoms(use_true_random=False))
def test_once_all_are_answered_what_is_left_is_known(bursts, order):
    places, answers, left, sent = played(bursts, order)
    answered = Answered()

    for at, tokens, mark, sent_at, told in answers:
        answered.hear(_place(places, at, tokens, mark, sent_at, sent), told, 0.0, 0.0)

    assert answered.unanswered(sent) == 0
    assert answered.left(0.0) == left


def test_what_a_window_gave_back_since_is_left_too():
    places, answered = Places(), Answered()
    places.note(Instant(1.0), 0, 0)

    answered.hear(_place(places, 500, 500, 0, Instant(1.0), 500), 3000.0, 2000.0, 100.0)

    assert answered.left(2600.0) == 3600.0
    assert answered.vague == 100.0


def test_what_was_forgotten_says_nothing():
    answered = Answered()
    answered.hear(_place(Places(), 500, 500, 0, Instant(1.0), 500), 3000.0, 0.0, 0.0)

    answered.forget()

    assert answered.is_empty
    assert answered.left(0.0) < -LIMIT


def _place(places, at, tokens, mark, sent_at, sent):
    return Place(at, tokens, mark, places.near(sent_at, sent), sent)
