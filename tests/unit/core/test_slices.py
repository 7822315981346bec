"""Times of their own in which neighbours take what is nearly used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.places import BURST_S, LATEST_S
from gateway.core.slices import LONGEST_OPEN_S, OPEN_S, Slices, next_slice, open_s


@given(at=st.floats(0.0, 1e6), began=st.floats(0.0, 10.0))
def test_a_slice_comes_in_time_and_is_open_when_it_comes(at, began):
    comes_at = next_slice(at, began, 0.04, 0.008)

    assert at <= comes_at <= at + 0.032 + 1e-6
    assert next_slice(comes_at, began, 0.04, 0.008) == pytest.approx(comes_at, abs=1e-6)


@pytest.mark.parametrize(
    ("window_s", "seconds"),
    [(0.0, OPEN_S), (1.0, OPEN_S), (8.0, 0.04), (60.0, LONGEST_OPEN_S), (3600.0, LONGEST_OPEN_S)],
)
def test_slices_of_long_windows_are_longer(window_s, seconds):
    assert open_s(window_s) == pytest.approx(seconds)


def test_what_was_taken_is_heard_after_a_while():
    slices = Slices()
    slices.take(300, 10.0, is_roomy=True)
    slices.take(200, 10.01, is_roomy=False)

    assert slices.unheard(10.015, 0.02) == 500
    assert slices.unheard(10.025, 0.02) == 200
    assert slices.unheard(10.05, 0.02) == 0
    assert slices.settled_at(0.02) == pytest.approx(10.0 + 0.02 + BURST_S + LATEST_S)
