"""Even steps: a guess after the first refusals, bounds after the next ones."""

import pytest

from gateway.core.even_steps import FEWEST_MEASURED, FEWEST_SURE, GROWS, LESS, MOST_GROWN, SLOWEST, EvenSteps


def steps_after(admitted, seconds, fits_in_s=None):
    """Refused after so many calls that came through in so many seconds."""
    steps = EvenSteps(100.0)
    for number in range(admitted):
        steps.admit(100.0 + number, 100.0 + number, are_kept=True)
    steps.refuse(100.0 + seconds, fits_in_s)
    return steps


@pytest.mark.parametrize(
    ("admitted", "seconds", "fits_in_s", "rate"),
    [
        pytest.param(20, 8.0, None, LESS * 2.5, id="what-came-through"),
        pytest.param(0, 4000.0, None, SLOWEST, id="no-slower-than-the-slowest"),
        pytest.param(0, 4000.0, 5.0, 0.2, id="what-was-named"),
    ],
)
def test_the_first_refusal_leaves_a_guess(admitted, seconds, fits_in_s, rate):
    steps = steps_after(admitted, seconds, fits_in_s)

    assert steps.rate == steps.guess == pytest.approx(rate)


def test_a_guess_of_few_calls_grows_with_each_that_comes_through():
    steps = steps_after(1, 2.0)
    guess = steps.guess

    for number in range(3):
        steps.admit(103.0 + number, 103.0 + number, are_kept=True)

    assert steps.rate == pytest.approx(guess * GROWS**3)


def test_calls_that_were_sent_before_a_guess_grew_say_nothing_of_it():
    steps = steps_after(1, 2.0)
    guess = steps.guess

    for _ in range(5):
        steps.admit(103.0, 103.5, are_kept=True)

    assert steps.rate == pytest.approx(guess * GROWS)


def test_a_guess_of_many_calls_is_held_for_some():
    steps = steps_after(FEWEST_MEASURED, 2.0)
    guess = steps.guess

    for _ in range(FEWEST_SURE):
        steps.admit(103.0, 103.0, are_kept=True)
    assert steps.rate == guess

    steps.admit(103.0, 103.0, are_kept=True)
    assert steps.rate == pytest.approx(guess * GROWS)


def test_who_grew_a_thousand_times_knows_of_no_limit_and_measures_anew():
    steps = steps_after(1, 2.0)
    now, guess = 102.0, steps.guess

    while steps.guess:
        assert steps.rate <= MOST_GROWN * guess
        now += 1.0
        steps.admit(now, now, are_kept=True)
    assert steps.rate == 0.0

    for _ in range(30):
        steps.admit(now + 1.0, now + 1.0, are_kept=True)
    steps.refuse(now + 10.0, None)
    assert steps.rate == pytest.approx(LESS * 30 / 10.0)


def test_refusals_in_a_row_are_one_that_was_worse():
    steps = steps_after(1, 2.0)
    guess = steps.guess

    steps.refuse(104.0, None)

    assert steps.rate == steps.guess == pytest.approx(guess * LESS)


def test_a_refusal_after_calls_that_came_through_ends_the_guessing():
    steps = steps_after(1, 2.0)
    steps.admit(103.0, 103.0, are_kept=True)
    tried = steps.rate

    steps.refuse(104.0, None)

    assert not steps.guess
    assert steps.rate == pytest.approx(tried * LESS)


def test_what_another_process_guessed_is_a_guess():
    steps = EvenSteps(100.0)

    steps.follow(2.0, is_guess=True)
    steps.admit(101.0, 101.0, are_kept=True)
    assert steps.rate == pytest.approx(2.0 * GROWS)

    steps.follow(2.0, is_guess=False)
    steps.admit(101.0, 101.0, are_kept=True)
    assert steps.rate == 2.0
