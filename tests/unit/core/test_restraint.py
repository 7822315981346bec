"""Refusals in a row, each of which waits longer."""

import pytest

from gateway.core.ids import Instant
from gateway.core.restraint import Restraint


def test_each_refusal_in_a_row_waits_twice_as_long_up_to_sixteen_calls_time():
    restraint, waits_s = Restraint(), []
    for number in range(7):
        now = Instant(100.0 * number)
        restraint.refuse(Instant(now - 0.1), now, 0.5)
        waits_s.append(restraint.wait_s(now))

    assert waits_s == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_burst_that_is_refused_is_one_refusal():
    restraint = Restraint()
    restraint.refuse(Instant(1.0), Instant(2.0), 0.5)
    restraint.refuse(Instant(1.1), Instant(2.1), 0.5)

    assert restraint.in_a_row == 1
    assert restraint.wait_s(Instant(2.2)) == pytest.approx(0.3)


def test_a_success_ends_it():
    restraint = Restraint()
    restraint.refuse(Instant(1.0), Instant(2.0), 0.5)

    restraint.in_a_row = 0

    assert restraint.wait_s(Instant(2.1)) == 0
