"""The factor between what upstreams charge and what we estimate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.charge import FEW, KEPT, LEAST, MOST, MOST_MORE, Charge, Factor
from gateway.core.places import Place

LIMIT = 10_000


def used_up(charge, ratio, *, windows, limit=LIMIT, factor=1.0):
    """Windows that calls of a twentieth of the limit use up, each answered before the next is sent."""
    sent = 0
    for _ in range(windows):
        charge.answered.forget()
        held = 0
        while (held + limit // 20) * ratio <= limit:
            held, sent = held + limit // 20, sent + limit // 20
            place = Place(sent, limit // 20, sent - limit // 20, sent, sent)
            charge.answered.hear(place, (limit - held * ratio) / factor, 0.0, 0.0)
            charge.compare(held, 0.0, limit / factor, factor, place)


@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.3, 2.0])
def test_a_window_tells_what_is_charged(ratio):
    factor = Factor()

    used_up(Charge(factor), ratio, windows=2)

    assert factor.value == pytest.approx(ratio)


def test_all_levels_of_a_factor_learn_together():
    factor = Factor()
    for charge in (Charge(factor), Charge(factor), Charge(factor)):
        used_up(charge, 0.7, windows=1)

    used_up(Charge(factor), 0.7, windows=2, factor=factor.value)

    assert factor.value == pytest.approx(0.7)


def test_estimates_that_are_right_but_for_a_little_are_left_as_they_are():
    factor = Factor()

    used_up(Charge(factor), 1.008, windows=3)

    assert factor.value == 1.0


@pytest.mark.parametrize(
    ("ratios", "value"),
    [
        ((0.95, 0.95, 0.95), 0.95),
        ((0.57, 0.7, 1.0), 1.0),
        ((0.94, 0.96, 0.95) * 5, 0.95),
        ((0.9, 1.0, 0.95) * 2, 1.0),
    ],
)
def test_a_factor_near_one_is_believed_where_comparisons_agree(ratios, value):
    factor = Factor()

    for ratio in ratios:
        factor.learn(ratio)

    assert factor.value == value


@given(st.lists(st.floats(0.0, 1000.0), max_size=FEW - 1), st.floats(LEAST, MOST))
def test_a_few_odd_comparisons_change_nothing(odd, ratio):
    factor = Factor()
    for _ in range(KEPT):
        factor.learn(ratio)
    before = factor.value

    for one in odd:
        factor.learn(one)

    assert factor.value == before


@given(st.lists(st.floats(0.0, 1000.0), max_size=40))
def test_no_factor_is_beyond_its_bounds(ratios):
    factor = Factor()
    for ratio in ratios:
        factor.learn(ratio)

    assert LEAST <= factor.value <= MOST


def test_a_call_of_which_nobody_knows_whether_it_was_counted_tells_nothing():
    factor = Factor()
    charge = Charge(factor)
    for sent in range(5000, 50_000, 5000):
        place = Place(sent, 2500, sent - 5000, sent, sent)  # another is on its way beside it
        charge.answered.hear(place, 2500, 0.0, 0.0)
        charge.compare(5000, 0.0, LIMIT, 1.0, place)

    assert factor.value == 1.0


def test_refusals_leave_room_for_dear_calls_and_answers_take_it_back():
    factor = Factor()
    charge = Charge(factor)
    for ratio in (0.9, 1.1, 1.0, 1.2, 0.8) * 3:
        factor.learn(ratio)
    place = Place(1000, 100, 0, 1000, 1000)
    for _ in range(50):
        charge.note(place, 10, is_success=False)
    most = factor.margin
    for _ in range(2000):
        charge.note(place, 5000, is_success=True)

    assert most == 1 + MOST_MORE
    assert factor.margin == pytest.approx(1.0, abs=0.001)


def test_a_refusal_that_left_plenty_of_tokens_was_not_for_these():
    factor = Factor()
    charge = Charge(factor)
    for ratio in (0.9, 1.1, 1.0, 1.2, 0.8) * 3:
        factor.learn(ratio)

    charge.note(Place(1000, 100, 0, 1000, 1000), 5000, is_success=False)

    assert factor.margin == 1.0


def test_where_all_calls_are_charged_alike_refusals_have_other_reasons():
    factor = Factor()
    charge = Charge(factor)
    used_up(charge, 1.3, windows=2)

    charge.note(Place(1000, 100, 0, 1000, 1000), 10, is_success=False)

    assert factor.margin == 1.0


def test_as_long_as_nothing_is_known_refusals_leave_room_and_what_is_learned_takes_it_back():
    factor = Factor()
    charge = Charge(factor)
    charge.note(Place(1000, 100, 0, 1000, 1000), 10, is_success=False)
    unknown = factor.margin
    for _ in range(FEW):
        factor.learn(1.3)

    assert unknown > 1.0
    assert factor.margin == 1.0


@pytest.mark.parametrize("ratio", [0.5, 1.4])
def test_a_bucket_tells_what_is_charged(ratio):
    factor, rate = Factor(), 100.0
    charge, used, sent = Charge(factor), 6000.0, 0
    for number in range(200):
        place = Place(sent, 0, sent, sent, sent)
        charge.lose(used, rate, float(number), LIMIT, place)
        sent += round(100 / ratio)
        used += round(100 / ratio) * ratio - rate

    assert factor.value == pytest.approx(ratio, rel=0.02)


def test_a_bucket_that_may_have_been_full_tells_nothing():
    factor = Factor()
    charge, sent = Charge(factor), 0
    for number in range(50):
        charge.lose(3000.0, 100.0, number * 60.0, LIMIT, Place(sent, 0, sent, sent, sent))
        sent += 3000

    assert factor.value == 1.0


def test_where_small_calls_are_charged_less_than_large_ones_refusals_leave_room():
    factor = Factor()
    charge = Charge(factor)
    for ratio in (0.95, 0.96, 0.97, 0.955, 0.965) * 3:  # of windows with more, or fewer, large calls in them
        factor.learn(ratio)

    charge.note(Place(1000, 100, 0, 1000, 1000), 10, is_success=False)

    assert factor.margin > 1.0
