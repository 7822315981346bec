import json

import pytest

from gateway.core.errors import InvalidCall
from gateway.wire.responses_anthropic.counting import read_count, write_count

HI = {"role": "user", "content": [{"type": "text", "text": "hi"}]}


def test_only_what_is_read_is_counted():
    asked = {"input": "hi", "instructions": "Be brief", "temperature": 0.5, "max_output_tokens": 9, "user": "u"}

    assert json.loads(write_count(asked, "claude-haiku-4-5")) == {
        "model": "claude-haiku-4-5", "messages": [HI], "system": [{"type": "text", "text": "Be brief"}],
    }  # fmt: skip


def test_what_cannot_be_asked_cannot_be_counted():
    with pytest.raises(InvalidCall) as caught:
        write_count({"input": "hi", "previous_response_id": "resp_1"}, "claude-haiku-4-5")

    assert caught.value.param == "previous_response_id"


def test_a_count_has_openais_form():
    assert json.loads(read_count(b'{"input_tokens":14}')) == {"object": "response.input_tokens", "input_tokens": 14}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"input_tokens":"14"}', b"\xff"])
def test_what_is_no_count_is_none(body):
    assert read_count(body) is None
