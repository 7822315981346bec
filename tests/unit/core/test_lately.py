"""How many calls were sent in the last minute."""

import pytest

from gateway.core.headroom import Headroom
from gateway.core.ids import Instant
from gateway.core.lately import MARKS_S, WITHIN_S, Lately
from gateway.core.uses import Totals, Use


@pytest.mark.parametrize("per_second", [1, 7, 50])
def test_all_calls_of_a_minute_are_counted_however_many(per_second):
    lately = Lately(Instant(0.0), 0)
    for sent in range(200 * per_second):
        lately.note(Instant(sent / per_second), sent)

    counted = lately.count(Instant(200.0), 200 * per_second)

    assert WITHIN_S * per_second <= counted <= (WITHIN_S + MARKS_S + 1) * per_second


def test_after_a_pause_none_are():
    lately = Lately(Instant(0.0), 0)
    lately.note(Instant(10.0), 500)
    lately.note(Instant(100.0), 500)

    assert lately.count(Instant(161.0), 500) == 0


def test_before_a_whole_minute_nobody_knows():
    lately = Lately(Instant(0.0), 0)

    assert lately.count(Instant(WITHIN_S - 1), 500) is None


def test_what_other_processes_send_counts_once_they_are_known_for_a_minute():
    headroom = Headroom()
    headroom.refuse(Instant(0.0), headroom.take(1, Instant(0.0)))
    headroom.heard("p2", Use(headroom.scope, Totals(1000)), Instant(30.0))

    assert headroom.sent_lately(Instant(70.0)) is None
    headroom.heard("p2", Use(headroom.scope, Totals(1040)), Instant(80.0))
    assert headroom.sent_lately(Instant(90.0)) == 40


def test_refused_calls_are_not_counted():
    headroom = Headroom()
    headroom.refuse(Instant(0.0), headroom.take(1, Instant(0.0)))
    for second in range(1, 70):
        sent = headroom.take(1, Instant(float(second)))
        if second % 2:
            headroom.refuse(Instant(float(second)), sent)

    assert 29 <= headroom.sent_lately(Instant(70.0)) <= 32  # the mark counted one that was refused later
