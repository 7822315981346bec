from gateway.core.ids import Instant
from gateway.core.places import BURST_S, KEPT, LATEST_S, Place, Places


def test_what_was_sent_well_before_a_call_cannot_be_admitted_after_it():
    places = Places()
    places.note(Instant(1.0), 0, 0)
    places.note(Instant(1.0 + BURST_S), 3, 300)
    places.note(Instant(5.0), 7, 700)

    assert (places.before.requests, places.before.tokens) == (7, 700)
    assert places.until == 5.0 + BURST_S


def test_calls_of_one_moment_may_overtake_each_other():
    places = Places()
    places.note(Instant(1.0), 0, 0)
    places.note(Instant(1.0 + BURST_S), 3, 300)

    assert places.before.tokens == 0


def test_what_was_sent_well_after_a_call_was_admitted_after_it():
    places = Places()
    for number in range(3):
        places.note(Instant(1.0 + number), number, 100 * number)

    assert places.near(Instant(1.0), 250) == 100
    assert places.near(Instant(2.0 - LATEST_S / 2), 250) == 200  # the next one may have been faster
    assert places.near(Instant(3.0), 250) == 250  # nothing is known of what came after it


def test_old_moments_are_forgotten():
    places = Places()
    for number in range(5 * KEPT):
        places.note(Instant(number), number, number)

    assert places.near(Instant(5 * KEPT - 10), 0) == 5 * KEPT - 9
    assert places.near(Instant(0), 0) >= KEPT  # later than it was: too much is taken for unknown


def test_a_place_tells_what_came_before_and_after():
    place = Place(at=1000, charged=100, mark=700, near=1200, sent=1500)

    assert (place.beside, place.since) == (200, 500)
