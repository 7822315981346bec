"""The body of a chat completion → that of a Messages call.

`HANDLED`, `OWN`, `LEFT_OUT` and `REFUSED` are the documentation (docs/providers/anthropic.md shows them): every
parameter of OpenAI's is in one of them. What changes the answer's form, or would be missed by who asked for it, is a
400; what only tunes is left out, as Anthropic's own compatible endpoint does. Unknown parameters are left out too:
Anthropic refuses what it does not know.
"""

from typing import Any, Final

import msgspec

from gateway.core.errors import InvalidCall
from gateway.wire.openai_anthropic.content import Block, read_messages, unsupported
from gateway.wire.openai_anthropic.models import Traits, traits_of
from gateway.wire.openai_anthropic.schema import strict_schema
from gateway.wire.openai_anthropic.thoughts import TYPES
from gateway.wire.refusals import missing, wrong_type

HANDLED: Final = (
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "stop", "user", "safety_identifier", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort",
    "response_format", "n",
)  # fmt: skip
OWN: Final = (
    "thinking", "top_k", "output_config", "cache_control", "context_management", "mcp_servers", "container",
    "inference_geo", "speed",
)  # fmt: skip
"""Anthropic's own, which callers may add (`extra_body`): they go as they are, and beat what we would make of others."""
LEFT_OUT: Final = (
    "frequency_penalty", "presence_penalty", "logit_bias", "seed", "service_tier", "store", "metadata", "prediction",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "verbosity", "moderation",
)  # fmt: skip
REFUSED: Final = {
    "functions": "Use `tools` in place of `functions`.",
    "function_call": "Use `tool_choice` in place of `function_call`.",
    "audio": "Answers of this provider hold text alone: leave `audio` out.",
    "logprobs": "This provider tells no log probabilities: leave `logprobs` out.",
    "top_logprobs": "This provider tells no log probabilities: leave `top_logprobs` out.",
    "web_search_options": "This provider takes no `web_search_options`; its web search is a tool of `/v1/messages`.",
}
"""Where they are given, and neither false nor 0."""

JSON_ONLY: Final = "Answer with one JSON object and with nothing else: no words around it, no code fence."
"""In place of `response_format: json_object`, which has no form at Anthropic."""

_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_000, "max": 32_000}
_LEAST_BUDGET: Final = 1024
_EFFORTS: Final = {
    "none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"
}  # fmt: skip
_THINKING_FREE: Final = frozenset({"auto", "none"})
"""Choices of tools that go with thinking within a budget."""


def write_request(fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
    """`fields` is the decoded body, which has passed `wire/validation`; `model` the upstream's name for its model.

    Raises InvalidCall for what has no form at Anthropic, with `param`.
    """
    _refuse(fields)
    traits = traits_of(model)
    system, messages = read_messages(fields["messages"])
    made: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": _max_tokens(fields, traits)}
    if is_stream:
        made["stream"] = True
    tools, choice = _tools(fields), _tool_choice(fields)
    if tools:
        made["tools"] = tools
        if choice:
            made["tool_choice"] = choice
    _say_format(fields.get("response_format"), made, system)
    _say_thinking(fields.get("reasoning_effort"), made, traits)
    if system:
        made["system"] = system
    for name in OWN:
        if fields.get(name) is not None:
            made[name] = _joined(made.get(name), fields[name])
    _say_sampling(fields, made, traits)
    _say_rest(fields, made)
    try:
        return msgspec.json.encode(made)
    except RecursionError as error:  # decoded it could be, a little less deep
        raise InvalidCall("The body is nested too deeply.", code="invalid_json") from error


def _refuse(fields: dict[str, Any]) -> None:
    for param, message in REFUSED.items():
        value = fields.get(param)
        if value is not None and value is not False and value != 0:
            raise unsupported(param, message)
    if fields.get("n") not in {None, 1}:
        raise unsupported("n", "This provider gives one answer a call: leave `n` out, or make it 1.")
    modalities = fields.get("modalities")
    if isinstance(modalities, list) and any(modality != "text" for modality in modalities):
        raise unsupported("modalities", "Answers of this provider hold text alone: leave `modalities` out.")


def _joined(ours: object, theirs: object) -> object:
    """Members of `output_config` beside those that we made; of anything else the caller's word."""
    return {**ours, **theirs} if isinstance(ours, dict) and isinstance(theirs, dict) and "type" not in ours else theirs


def _max_tokens(fields: dict[str, Any], traits: Traits) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        value = fields.get(name)
        if isinstance(value, int):
            return value
    return traits.max_tokens


# -- tools -------------------------------------------------------------------------------------------------------


def _tools(fields: dict[str, Any]) -> list[Block]:
    tools = fields.get("tools") or []
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array", tools)
    return [_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)]


def _tool(tool: object, where: str) -> Block:
    """`strict` is left out: it is a promise of OpenAI's, and Anthropic refuses schemas for less."""
    if not isinstance(tool, dict):
        raise wrong_type(where, "an object", tool)
    if tool.get("type") != "function":
        type_ = str(tool.get("type"))[:64]
        raise unsupported(f"{where}.type", f"This provider knows no tools of the type '{type_}', but functions alone.")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise (
            missing(f"{where}.function") if function is None else wrong_type(f"{where}.function", "an object", function)
        )
    if not isinstance(function.get("name"), str):
        raise missing(f"{where}.function.name")
    schema = function.get("parameters") or {}
    if not isinstance(schema, dict):
        raise wrong_type(f"{where}.function.parameters", "an object", schema)
    made = {"name": function["name"], "input_schema": {"type": "object", "properties": {}} | schema}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    if isinstance(tool.get("cache_control"), dict):
        made["cache_control"] = tool["cache_control"]
    return made


def _tool_choice(fields: dict[str, Any]) -> Block | None:
    choice = _choice_of(fields.get("tool_choice"))
    if fields.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        return (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return choice


def _choice_of(choice: object) -> Block | None:
    match choice:
        case None:
            return None
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
        case _:
            raise unsupported(
                "tool_choice", "This provider takes 'auto', 'none', 'required' or one function by its name."
            )


# -- what the answer is like -------------------------------------------------------------------------------------


def _say_format(wanted: object, made: dict[str, Any], system: list[Block]) -> None:
    match wanted:
        case None | {"type": "text"}:
            return
        case {"type": "json_object"}:
            system.append({"type": "text", "text": JSON_ONLY})
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            try:
                made["output_config"] = {"format": {"type": "json_schema", "schema": strict_schema(schema)}}
            except RecursionError as error:
                raise InvalidCall(
                    "The schema is nested too deeply.", param="response_format", code="invalid_value"
                ) from error
        case {"type": "json_schema"}:
            raise missing("response_format.json_schema.schema")
        case _:
            raise unsupported("response_format", "This provider takes 'text', 'json_object' and 'json_schema'.")


def _say_thinking(effort: object, made: dict[str, Any], traits: Traits) -> None:
    """`reasoning_effort` as far as the model thinks. Names of tomorrow are the upstream's to judge."""
    if not isinstance(effort, str):
        return
    if traits.has_effort:
        wanted = _EFFORTS.get(effort, effort)
        if wanted in _EFFORTS and wanted not in traits.efforts:
            wanted = "high"
        made["output_config"] = made.get("output_config", {}) | {"effort": wanted}
        if effort != "none":
            made["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif traits.has_budget and _may_think(made):
        budget = min(_BUDGETS.get(effort, 0), made["max_tokens"] * 4 // 5)
        if budget >= _LEAST_BUDGET:
            made["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _may_think(made: dict[str, Any]) -> bool:
    """Within a budget a forced tool is refused, and so is going on after a tool without the thought that led to it.

    The assistant's turn before a tool's result must begin with one: callers who send it back as it came have it there.
    """
    choice = made.get("tool_choice", {"type": "auto"})["type"]
    if choice not in _THINKING_FREE or not made["messages"]:
        return False
    last: Block = made["messages"][-1]
    if last["role"] != "user":
        return False
    has_thought = len(made["messages"]) > 1 and made["messages"][-2]["content"][0]["type"] in TYPES
    return has_thought or all(block["type"] != "tool_result" for block in last["content"])


def _say_sampling(fields: dict[str, Any], made: dict[str, Any], traits: Traits) -> None:
    """Temperatures above 1 become 1, as at Anthropic's own compatible endpoint. Who thinks takes none."""
    thinking = made.get("thinking")
    is_thinking = isinstance(thinking, dict) and thinking.get("type") != "disabled"
    if not traits.takes_sampling or is_thinking:
        return
    temperature, top_p = fields.get("temperature"), fields.get("top_p")
    if temperature is not None:
        made["temperature"] = min(temperature, 1) if isinstance(temperature, (int, float)) else temperature
    if top_p is not None and (temperature is None or traits.takes_both):
        made["top_p"] = top_p


def _say_rest(fields: dict[str, Any], made: dict[str, Any]) -> None:
    stop = fields.get("stop")
    sequences = [stop] if isinstance(stop, str) else stop or []
    kept = [text for text in sequences if not isinstance(text, str) or text.strip()]
    if kept:  # those of white space alone are refused
        made["stop_sequences"] = kept
    user = fields.get("user") or fields.get("safety_identifier")
    if isinstance(user, str):
        made["metadata"] = {"user_id": user}
