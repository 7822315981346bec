"""How much later a window is taken to give back what was sent."""

import pytest

from gateway.core.guard import CALLS, GUARD_S, LONGEST_PART, Guard


def test_refusals_make_it_longer_up_to_a_part_of_the_window():
    guard = Guard()
    guard.note(10.0, is_success=False, is_shared=False)
    assert guard.seconds == pytest.approx(2 * GUARD_S)

    for _ in range(100):
        guard.note(10.0, is_success=False, is_shared=False)
    assert guard.seconds == pytest.approx(10.0 * LONGEST_PART)


def test_refusals_tell_less_where_other_processes_calls_are_met_too():
    guard = Guard()
    guard.note(10.0, is_success=False, is_shared=True)

    assert guard.seconds == pytest.approx(1.25 * GUARD_S)


def test_short_windows_keep_what_every_window_has():
    guard = Guard()
    guard.note(0.1, is_success=False, is_shared=False)

    assert guard.seconds == GUARD_S


def test_admitted_calls_bring_it_back():
    guard = Guard()
    guard.note(10.0, is_success=False, is_shared=False)
    longer_s = guard.seconds
    guard.note(10.0, is_success=True, is_shared=False)
    assert GUARD_S < guard.seconds < longer_s

    for _ in range(10 * CALLS):
        guard.note(10.0, is_success=True, is_shared=False)
    assert guard.seconds == pytest.approx(GUARD_S, abs=1e-6)
