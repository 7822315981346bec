"""What limits that are alike tell each other of how they free."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alike import MOST_MISSES, Alike, weigh
from gateway.core.freeing import FIXED, SLIDING
from gateway.core.oldest import Told
from gateway.core.way import APART, Way

PERIOD_S = 4.0
FITS = st.lists(st.booleans(), min_size=4, max_size=4).map(tuple)


def told(at, used, reset_s, *, is_success=True):
    return Told(used=used, reset_s=reset_s, at=at, is_success=is_success, limit=10, burst_s=0.05)


def hear(way, answer):
    way.take(1, answer.at)
    way.judge(answer)


def slide(way, sent):
    """Answers of a sliding window whose reset is its oldest call's."""
    for index, at in enumerate(sent):
        held = [one for one in sent[: index + 1] if one > at - PERIOD_S]
        hear(way, told(at, len(held), held[0] + PERIOD_S - at))


def fill(way, began):
    """Answers of a fixed window."""
    for place in range(10):
        at = began + 0.3 * place
        hear(way, told(at, place + 1, began + PERIOD_S - at))


SENT = [0.0, 0.7, 1.1, 2.0, 3.3, 4.1, 4.8, 5.9, 6.2, 7.7, 8.3, 9.9, 10.4, 11.2, 12.7]


def test_a_newcomer_begins_with_what_others_have_found():
    alike = Alike()
    slide(Way(alike), SENT)

    newcomer = Way(alike)
    hear(newcomer, told(20.0, 1, PERIOD_S))

    assert newcomer.kind is SLIDING
    assert newcomer.period_s == PERIOD_S


class Watched:
    """A limit that looks again when others find out something."""

    def __init__(self, alike):
        self.way, self.seen = Way(alike, self, is_of_tokens=False), []

    def look_again(self, at):
        self.way.decide(at)
        self.seen.append(self.way.kind)


def test_what_one_finds_out_others_know_at_once():
    alike = Alike()
    some = [Watched(alike) for _ in range(3)]
    for one in some:
        hear(one.way, told(0.0, 1, PERIOD_S))

    slide(some[0].way, SENT)

    assert [one.seen[-1] for one in some] == [SLIDING] * 3
    assert [one.way.period_s for one in some] == [PERIOD_S] * 3


def test_a_window_that_may_be_either_is_emptied_as_a_sliding_one():
    way = Way(Alike(), is_of_tokens=False)

    fill(way, 0.0)
    assert way.kind is SLIDING

    hear(way, told(4.1, 1, PERIOD_S))
    assert way.kind is FIXED


def test_the_first_answer_after_its_end_tells_that_it_was_none():
    """Whatever others took, of which nobody knows: no fixed window ends so soon after another."""
    way = Way(Alike(), is_of_tokens=False)
    for place, used in enumerate([1, 3, 4, 7, 9, 10]):
        at = 0.5 * place
        hear(way, told(at, used, PERIOD_S - at))

    hear(way, told(4.1, 10, 0.2))

    assert way.kind is SLIDING
    assert way.period_s == PERIOD_S


def test_another_process_answer_tells_that_all_was_free_at_once():
    way = Way(Alike(), is_of_tokens=False)
    fill(way, 0.0)

    way.judge(Told(used=1, reset_s=PERIOD_S, at=4.1, is_success=True, limit=10, late_s=0.1, burst_s=0.05, sharers=2))

    assert way.kind is FIXED


def test_who_frees_in_another_way_parts():
    alike = Alike()
    some = [Way(alike) for _ in range(4)]
    other = Way(alike)

    for window in range(2 * int(APART)):
        began = PERIOD_S * window
        for way in some:
            slide(way, [began + at for at in SENT[:10]])
        fill(other, began)

    assert other.kind is FIXED
    assert {way.kind for way in some} == {SLIDING}


@given(st.lists(FITS, max_size=60))
def test_the_best_has_none_and_nobody_more_than_is_remembered(answers):
    misses = [0.0] * 4
    for fits in answers:
        weigh(misses, fits)

        assert min(misses) == 0
        assert max(misses) <= MOST_MISSES


def test_what_an_answer_cannot_tell_apart_stays_as_far_apart():
    misses = [0.0, 0.0, 0.0, 0.0]
    for _ in range(3):
        weigh(misses, (False, False, True, False))

    for _ in range(100):
        weigh(misses, (False, True, True, True))

    assert misses == [MOST_MISSES, 3.0, 0.0, 3.0]
