"""Whatever comes is a call of Messages or a clear 400."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.wire.responses_anthropic.request import HANDLED, LEFT_OUT, OWN, REFUSED, write_request

LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4) | st.floats(allow_nan=False)
ODD = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=6
)
WORDS = st.sampled_from(
    [
        *("message", "function_call", "function_call_output", "reasoning", "item_reference", "custom_tool_call"),
        *("input_text", "output_text", "input_image", "input_file", "refusal", "user", "assistant", "developer"),
        *("function", "json_schema", "claude.e30=", "{}", "https://a.example/x", "data:image/png;base64,AA=="),
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    [
        *("type", "role", "content", "text", "call_id", "name", "arguments", "output", "encrypted_content", "summary"),
        *("image_url", "file_id", "file_data", "file_url", "filename", "refusal", "parameters", "format", "schema"),
        *("effort", "cache_control", "id"),
    ]
)  # fmt: skip
OBJECTS = st.recursive(
    WORDS | ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12
)
FIELDS = st.dictionaries(st.sampled_from([*HANDLED, *LEFT_OUT, *REFUSED, *OWN]), OBJECTS, max_size=6)


@given(FIELDS, OBJECTS)
def test_whatever_comes_is_a_call_or_a_clear_refusal(fields, given_input):
    made = b'{"model": "claude-haiku-4-5"}'
    with suppress(InvalidCall):
        made = write_request({**fields, "input": given_input}, "claude-haiku-4-5", is_stream=False)

    assert json.loads(made)["model"] == "claude-haiku-4-5"
