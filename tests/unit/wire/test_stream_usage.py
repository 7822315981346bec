import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Usage
from gateway.wire.sse import DONE
from tests.fakes.chat_chunks import USAGE, chunk, event, reader
from tests.unit.wire.strategies import VALUES, decoded, rendered


def test_usage_in_an_event_without_choices_is_read():
    read = reader(hides_usage=True)
    raw = event({"id": "x", "usage": {"prompt_tokens": 3}})

    assert read.feed(raw) == raw
    assert read.usage == Usage(3)


def test_the_last_usage_counts():
    read = reader()
    read.feed(chunk({"content": "a"}, usage={"prompt_tokens": 1}) + chunk({}, "stop", usage={"prompt_tokens": 2}))

    assert read.usage == Usage(2)


def hidden(data: str) -> bytes:
    read = reader(hides_usage=True)
    return read.feed(f"data: {data}\n\n".encode()).removeprefix(b"data: ").removesuffix(b"\n\n")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param('{"choices":[{}],"usage":null}', '{"choices":[{}]}', id="last"),
        pytest.param('{"choices":[{}],"usage":null,"o":"a"}', '{"choices":[{}],"o":"a"}', id="before-obfuscation"),
        pytest.param('{"choices":[{}],"usage":null,"o":"}]"}', '{"choices":[{}],"o":"}]"}', id="braces-behind"),
        pytest.param('{"usage":null,"choices":[{}]}', '{"choices":[{}]}', id="first"),
        pytest.param('{"id":1,"usage":null,"choices":[{}]}', '{"id":1,"choices":[{}]}', id="middle"),
        pytest.param('{"choices": [{}], "usage": null}', '{"choices": [{}]}', id="spaces"),
        pytest.param('{"choices":[{}],"us\\u0061ge":null}', '{"choices":[{}]}', id="escaped-key"),
        pytest.param('{"choices":[{"usage":null}]}', '{"choices":[{"usage":null}]}', id="not-the-nested"),
        pytest.param(
            '{"choices":[{"a":1,"usage":null}],"usage":null}', '{"choices":[{"a":1,"usage":null}]}', id="beside-nested"
        ),
        pytest.param(
            '{"usage":null,"choices":[{"a":1,"usage":null}]}', '{"choices":[{"a":1,"usage":null}]}', id="before-nested"
        ),
        pytest.param(
            '{"choices":[{"delta":{"content":",\\"usage\\":null"}}]}',
            '{"choices":[{"delta":{"content":",\\"usage\\":null"}}]}',
            id="not-in-a-text",
        ),
        pytest.param('{"x\\"usage":null,"choices":[]}', '{"x\\"usage":null,"choices":[]}', id="not-half-of-a-key"),
    ],
)
def test_the_null_usage_that_we_caused_is_taken_out(data, expected):
    assert hidden(data) == expected.encode()


def test_null_usage_stays_when_the_caller_asked():
    raw = chunk({"content": "a"}, usage=None)

    assert reader().feed(raw) == raw


def test_the_usage_event_that_we_caused_is_taken_out():
    read = reader(hides_usage=True)
    stream = chunk({"content": "a"}, usage=None) + chunk({}, "stop", usage=None) + USAGE + DONE

    assert read.feed(stream) == chunk({"content": "a"}) + chunk({}, "stop") + DONE
    assert read.usage == Usage(5, 7)
    assert read.events == 3


def test_a_usage_beside_choices_is_the_vendors_own():
    raw = chunk({}, "stop", usage={"prompt_tokens": 1})

    assert reader(hides_usage=True).feed(raw) == raw


def test_null_usage_is_taken_out_of_an_event_of_several_lines():
    raw = b'event: chunk\ndata: {"choices":[{}],\ndata: "usage":null}\n\n'

    assert reader(hides_usage=True).feed(raw) == b'event: chunk\ndata: {"choices":[{}]}\n\n'


@given(st.lists(st.tuples(st.sampled_from(["usage", "a", 'b"usage', "id"]), VALUES), max_size=4), st.data())
def test_hiding_removes_one_member_and_no_other_byte(pairs, data):
    pairs = [(key, value) for key, value in pairs if key != "usage"]
    pairs.insert(data.draw(st.integers(0, len(pairs))), ("usage", None))
    pairs.insert(data.draw(st.integers(0, len(pairs))), ("choices", []))
    text = data.draw(rendered(tuple(pairs))).replace("\n", " ").replace("\r", " ")

    sent = hidden(text).decode()

    assert json.loads(sent) == {key: decoded(value) for key, value in pairs if key != "usage"}
    assert is_subsequence(sent, text)


def is_subsequence(part: str, whole: str) -> bool:
    """`whole` without one stretch is `part`."""
    cut = len(whole) - len(part)
    return any(whole[:place] + whole[place + cut :] == part for place in range(len(part) + 1))
