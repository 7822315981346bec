"""The body of a response → that of a Messages call, by way of the chat completion that asks the same.

`HANDLED`, `LEFT_OUT` and `REFUSED` are the documentation (docs/providers/anthropic.md shows them), as in
`openai_anthropic/request`, which does the second half: nothing of it is told twice. Its errors name places in a chat;
here they get the names that the caller wrote.
"""

import re
from typing import Any, Final

from gateway.core.errors import InvalidCall
from gateway.wire.openai_anthropic import request as chats
from gateway.wire.openai_anthropic.content import unsupported
from gateway.wire.refusals import wrong_type
from gateway.wire.responses_anthropic.items import Chat, read_input

HANDLED: Final = (
    "model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "user",
    "safety_identifier", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text",
)  # fmt: skip
LEFT_OUT: Final = (
    "include", "max_tool_calls", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "stream_options", "truncation", "moderation", "access_programs", "image",
)  # fmt: skip
_NOTHING_KEPT: Final = "This provider keeps no responses:"
REFUSED: Final = {
    "store": f"{_NOTHING_KEPT} leave `store` out, or make it false.",
    "previous_response_id": f"{_NOTHING_KEPT} send the whole conversation in `input`.",
    "conversation": f"{_NOTHING_KEPT} send the whole conversation in `input`.",
    "background": f"{_NOTHING_KEPT} leave `background` out.",
    "prompt": "This provider has no stored prompts: send what it says in `instructions` and `input`.",
    "context_management": "This provider's context is managed otherwise: leave `context_management` out.",
    "top_logprobs": "This provider tells no log probabilities: leave `top_logprobs` out.",
}
"""Where they are given, and neither false nor 0."""
OWN: Final = tuple(name for name in chats.OWN if name != "context_management")
_LOGPROBS: Final = "message.output_text.logprobs"
_SAME: Final = ("temperature", "top_p", "user", "safety_identifier", "parallel_tool_calls", *OWN)
_CHAT_PLACE: Final = re.compile(r"messages\[(\d+)\](?:\.tool_calls\[\d+\](?:\.function)?)?")
_CALL_ID: Final = re.compile(r"(messages\[\d+\])\.tool_calls\[\d+\]\.id")
_CHAT_TOOL: Final = re.compile(r"(tools\[\d+\])\.function")


def write_request(fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
    """As `openai_anthropic.request.write_request`."""
    _refuse(fields)
    chat = read_input(fields)
    asked: dict[str, Any] = {"messages": chat.messages, "tools": _tools(fields.get("tools"))}
    asked |= {name: fields[name] for name in _SAME if fields.get(name) is not None}
    if fields.get("max_output_tokens") is not None:
        asked["max_completion_tokens"] = fields["max_output_tokens"]
    asked["tool_choice"] = _tool_choice(fields.get("tool_choice"))
    asked["response_format"] = _format(fields.get("text"))
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict):
        asked["reasoning_effort"] = reasoning.get("effort")
    try:
        return chats.write_request(asked, model, is_stream=is_stream)
    except InvalidCall as error:
        error.message = _as_written(error.message, chat)
        error.args = (error.message,)
        error.param = error.param and _as_written(error.param, chat)
        raise


def _refuse(fields: dict[str, Any]) -> None:
    for param, message in REFUSED.items():
        value = fields.get(param)
        if value is not None and value is not False and value != 0:
            raise unsupported(param, message)
    include = fields.get("include")
    if isinstance(include, list) and _LOGPROBS in include:
        raise unsupported("include", f"This provider tells no log probabilities: leave '{_LOGPROBS}' out.")


def _tools(tools: object) -> object:
    """Functions, nested as in a chat. What is none goes on as it is, to be refused there."""
    if not isinstance(tools, list):
        return tools
    return [_tool(tool) for tool in tools]


def _tool(tool: object) -> object:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    made = {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}
    return made | ({"cache_control": tool["cache_control"]} if "cache_control" in tool else {})


def _tool_choice(choice: object) -> object:
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice


def _format(text: object) -> object:
    """`text.format`, nested as in a chat."""
    if text is None:
        return None
    if not isinstance(text, dict):
        raise wrong_type("text", "an object", text)
    wanted = text.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": wanted}
    return wanted


def _as_written(text: str, chat: Chat) -> str:
    """Names of places in a chat → those that the caller wrote."""
    text = _CALL_ID.sub(r"\1.call_id", text).replace(".image_url.url", ".image_url")
    text = _CHAT_PLACE.sub(lambda found: chat.places[int(found[1])], text)
    text = _CHAT_TOOL.sub(r"\1", text).replace("response_format.json_schema", "text.format")
    return text.replace("response_format", "text.format").replace(".tool_call_id", ".call_id")
