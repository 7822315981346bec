"""Chat completions as callers write them, and what they become."""

import json

import pytest

from gateway.core.errors import InvalidCall
from gateway.wire.openai_anthropic.request import write_request

NEW, OLD, MIDDLE = "claude-opus-5-5", "claude-haiku-4-5", "claude-opus-4-6"
HI = {"role": "user", "content": "hi"}
SAID_HI = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
PNG = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"name": "weather", "description": "Of a city", "parameters": {"type": "object", "properties": {"city": {}}}}
TOOL = {"type": "function", "function": FUNCTION}


def said(*messages, model=NEW, is_stream=False, **fields) -> dict:
    return json.loads(write_request({"messages": list(messages) or [HI], **fields}, model, is_stream=is_stream))


def refused(*messages, **fields) -> InvalidCall:
    with pytest.raises(InvalidCall) as caught:
        said(*messages, **fields)
    assert caught.value.status == 400
    return caught.value
