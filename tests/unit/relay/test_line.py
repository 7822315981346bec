"""Calls in their order, and by size."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.line import Line


class Call(NamedTuple):
    """`place` tells two of one size apart."""

    tokens: int
    place: int


def line_of(*sizes):
    line = Line()
    for place, tokens in enumerate(sizes):
        line.add(Call(tokens, place))
    return line


def test_the_largest_for_whom_there_is_room_is_the_first_of_its_size():
    line = line_of(4000, 3000, 100, 700, 700, 600)

    assert line.largest(999) == Call(700, 3)
    assert line.largest(50) is None


def test_nobody_passes_who_is_charged_as_much_as_the_head():
    line = line_of(700, 700, 900)

    assert line.largest(5000) is None
    assert line.least is None


def test_a_class_of_calls_that_are_all_too_large_hides_none_of_the_smaller_ones():
    line = line_of(4000, *[1000] * 40, 400)

    assert line.largest(900) == Call(400, 41)


def test_who_had_its_turn_stands_at_the_head_again():
    line = line_of(300, 400)

    line.add(Call(500, 9), is_first=True)

    assert line.calls[0] == Call(500, 9)
    assert line.largest(500) == Call(400, 1)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=30, unique=True), st.floats(0, 6000), st.data())
def test_whoever_leaves_is_found_no_more(sizes, room, data):
    line = line_of(*sizes)
    gone = data.draw(st.integers(0, len(sizes) - 1))
    line.remove(Call(sizes[gone], gone))

    left = [size for place, size in enumerate(sizes) if place != gone]
    behind = [size for size in left[1:] if size < left[0]]
    fitting = [size for size in behind if size <= room]

    assert line.tokens == sum(left)
    assert [call.tokens for call in line.calls] == left
    assert line.least == min(behind, default=None)
    found = line.largest(room)
    assert (None if found is None else found.tokens) == max(fitting, default=None)


def test_the_average_counts_one_that_is_not_there_yet():
    assert line_of(1000, 3000).average_with(200) == 1400
