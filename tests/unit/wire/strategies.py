"""JSON texts as strange as they are valid: random whitespace, escapes, nesting and duplicate keys."""

import json
from typing import Any

from hypothesis import strategies as st

SPACE = st.text(alphabet=" \t\n\r", max_size=2)


@st.composite
def json_string(draw: st.DrawFn, text: str) -> str:
    """A JSON string for `text` in which any letter may be written as an escape."""
    parts = []
    for letter in text:
        if draw(st.integers(0, 5)) == 0 and ord(letter) < 0x10000:
            parts.append(f"\\u{ord(letter):04x}" if draw(st.booleans()) else f"\\u{ord(letter):04X}")
        else:
            parts.append(json.dumps(letter, ensure_ascii=False)[1:-1])
    return '"' + "".join(parts) + '"'


@st.composite
def rendered(draw: st.DrawFn, value: Any) -> str:
    """`value` as JSON. A list of pairs is an object: that is how duplicate keys are said."""
    match value:
        case str():
            return draw(json_string(value))
        case tuple():
            space = SPACE
            items = [
                draw(space)
                + draw(json_string(key))
                + draw(space)
                + ":"
                + draw(space)
                + draw(rendered(item))
                + draw(space)
                for key, item in value
            ]
            return "{" + (",".join(items) or draw(space)) + "}"
        case list():
            return "[" + ",".join(draw(SPACE) + draw(rendered(item)) + draw(SPACE) for item in value) + "]"
        case _:
            return json.dumps(value)


KEYS = st.sampled_from(["model", "stream_options", "usage", "a", "x\\model", 'q"', "", "choices"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"model":', "}{][", '\\"', "usage", ',"usage":null'])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple),
    max_leaves=8,
)


def decoded(value: Any) -> Any:
    """What a JSON decoder makes of a value of pairs: of duplicate keys the last one."""
    if isinstance(value, tuple):
        return {key: decoded(item) for key, item in value}
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value
