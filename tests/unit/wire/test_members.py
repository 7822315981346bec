import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.members import read_members, without_member
from tests.unit.wire.strategies import KEYS, VALUES, decoded, rendered

PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(tuple)


@given(PAIRS, st.data())
def test_members_stand_where_they_are_said_to_stand(pairs, data):
    body = data.draw(rendered(pairs)).encode()

    members = read_members(body)

    assert [member.key for member in members] == [key for key, _ in pairs]
    assert [json.loads(body[member.start : member.end]) for member in members] == [decoded(value) for _, value in pairs]
    assert all(body[member.key_start : member.key_start + 1] == b'"' for member in members)


@pytest.mark.parametrize(
    ("body", "place", "expected"),
    [
        pytest.param(b'{ "a":1 }', 0, b"{  }", id="the-only-one"),
        pytest.param(b'{ "a":1, "b":2}', 0, b'{ "b":2}', id="the-first"),
        pytest.param(b'{"a":1, "b":2 ,"c":3}', 1, b'{"a":1 ,"c":3}', id="the-middle"),
        pytest.param(b'{"a":[1] , "b":2 }', 1, b'{"a":[1] }', id="the-last"),
    ],
)
def test_a_member_goes_with_one_comma(body, place, expected):
    assert without_member(body, read_members(body), place) == expected


def test_a_bracket_left_open_is_told():
    with pytest.raises(ValueError, match="left open"):
        read_members(b'{"a":[1')
