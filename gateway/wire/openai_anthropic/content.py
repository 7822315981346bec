"""Messages of a chat → Anthropic's: `system`, and turns of `user` and `assistant` made of blocks.

    system, developer ─▶ `system`, whatever their place      assistant.tool_calls ─▶ `tool_use` blocks
    user, assistant   ─▶ a turn; neighbours of one role are one turn       tool ─▶ `tool_result` in the user's turn
    assistant.thinking_blocks ─▶ `thinking` blocks, as they came

Rules of this file: nothing is made up, and nothing the model should read is left out in silence: what has no form at
Anthropic is a 400 that names its place. `cache_control` of a part goes along with it.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gateway.core.errors import InvalidCall
from gateway.wire.openai_anthropic.thoughts import TYPES, with_thoughts
from gateway.wire.refusals import missing, wrong_type

Block = dict[str, Any]

_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^;,]+)*;base64,", re.IGNORECASE)
_LONGEST_HEAD: Final = 500
"""Characters of a data URL before its data."""
_NOT_IN_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_SYSTEM: Final = frozenset({"system", "developer"})


def read_messages(messages: list[dict[str, Any]]) -> tuple[list[Block], list[Block]]:
    """`system` and `messages` of a Messages call. `messages` has passed `wire/validation`. Raises InvalidCall."""
    system: list[Block] = []
    turns: list[Block] = []
    for place, message in enumerate(messages):
        where, role = f"messages[{place}]", message["role"]
        if role in _SYSTEM:
            system += _texts(message.get("content"), f"{where}.content")
        elif role == "tool":
            _add(turns, "user", [_tool_result(message, where)])
        elif role == "assistant":
            _add(turns, "assistant", _assistant(message, where))
        elif role == "user":
            _add(turns, "user", _blocks(message.get("content"), f"{where}.content"))
        else:
            raise unsupported(
                f"{where}.role", f"Messages of the role '{role}' have no form at this provider: use tools."
            )
    _trim_prefill(turns)
    return system, turns


def unsupported(param: str, message: str) -> InvalidCall:
    return InvalidCall(message, param=param, code="unsupported_value")


def tool_id(value: object, where: str) -> str:
    """The id of a tool call. Anthropic takes letters, digits, `_` and `-`; other vendors' ids may hold more."""
    if not isinstance(value, str) or not value:
        raise missing(where) if value is None else wrong_type(where, "a string", value)
    return _NOT_IN_AN_ID.sub("_", value)


def _add(turns: list[Block], role: str, blocks: list[Block]) -> None:
    """A turn more, or more of the last one: results of tools must all stand in the turn behind their calls."""
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    elif blocks or role == "user":
        turns.append({"role": role, "content": blocks})


def _trim_prefill(turns: list[Block]) -> None:
    """A last turn of the assistant is continued by the model; white space at its end is refused."""
    if turns and turns[-1]["role"] == "assistant":
        last = turns[-1]["content"][-1]
        if last["type"] == "text":
            last["text"] = last["text"].rstrip()
            if not last["text"]:
                turns[-1]["content"].pop()
        while turns[-1]["content"] and turns[-1]["content"][-1]["type"] in TYPES:
            turns[-1]["content"].pop()
        if not turns[-1]["content"]:
            turns.pop()


# -- what a message holds ----------------------------------------------------------------------------------------


def _blocks(content: object, where: str) -> list[Block]:
    """Empty texts are left out: Anthropic refuses them."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(_parts(content, where))


def _texts(content: object, where: str) -> list[Block]:
    blocks = _blocks(content, where)
    if any(block["type"] != "text" for block in blocks):
        raise unsupported(
            where, "Instructions hold text alone at this provider: put images and files in a user message."
        )
    return blocks


def _parts(content: object, where: str) -> Iterable[Block]:
    if not isinstance(content, list):
        raise wrong_type(where, "a string or an array", content)
    for place, part in enumerate(content):
        at = f"{where}[{place}]"
        if not isinstance(part, dict):
            raise wrong_type(at, "an object", part)
        block = _part(part, at)
        if block is None:
            continue
        if isinstance(part.get("cache_control"), dict):
            block["cache_control"] = part["cache_control"]
        yield block


def _part(part: dict[str, Any], where: str) -> Block | None:
    match part.get("type"):
        case "text" | "refusal" as kind:
            text = _text(part.get(kind), f"{where}.{kind}")
            return {"type": "text", "text": text} if text else None
        case "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            return {"type": "image", "source": _source(_text(url, f"{where}.image_url.url"), f"{where}.image_url.url")}
        case "file":
            return _document(part.get("file"), f"{where}.file")
        case None:
            raise missing(f"{where}.type")
        case kind:
            raise unsupported(where, f"Parts of the type '{str(kind)[:40]}' have no form at this provider.")


def _source(url: str, where: str) -> Block:
    """Of an image or a document."""
    found = _DATA_URL.match(url, 0, _LONGEST_HEAD)
    if found is not None:
        return {"type": "base64", "media_type": found[1] or "text/plain", "data": url[found.end() :]}
    if url.lower().startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise InvalidCall(
        f"Invalid '{where}': expected an https URL or a base64 data URL (data:<media type>;base64,…).",
        param=where,
        code="invalid_value",
    )


def _document(file: object, where: str) -> Block:
    if not isinstance(file, dict):
        raise wrong_type(where, "an object", file)
    if file.get("file_id"):
        source: Block = {"type": "file", "file_id": _text(file["file_id"], f"{where}.file_id")}
    else:
        source = _source(_text(file.get("file_data"), f"{where}.file_data"), f"{where}.file_data")
    block: Block = {"type": "document", "source": source}
    if isinstance(file.get("filename"), str) and file["filename"]:
        block["title"] = file["filename"]
    return block


def _text(value: object, where: str) -> str:
    if value is None:
        raise missing(where)
    if not isinstance(value, str):
        raise wrong_type(where, "a string", value)
    return value


# -- tools -------------------------------------------------------------------------------------------------------


def _assistant(message: dict[str, Any], where: str) -> list[Block]:
    if message.get("function_call") is not None:
        raise unsupported(f"{where}.function_call", "Function calls have no form at this provider: use tool calls.")
    blocks = _blocks(message.get("content"), f"{where}.content")
    if not blocks and isinstance(message.get("refusal"), str) and message["refusal"]:
        blocks = [{"type": "text", "text": message["refusal"]}]
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise wrong_type(f"{where}.tool_calls", "an array", calls)
    blocks += [_tool_use(call, f"{where}.tool_calls[{place}]") for place, call in enumerate(calls)]
    return with_thoughts(blocks, message, where)


def _tool_use(call: object, where: str) -> Block:
    if not isinstance(call, dict):
        raise wrong_type(where, "an object", call)
    function = call.get("function")
    if not isinstance(function, dict):
        raise unsupported(where, "Only calls of functions have a form at this provider.")
    name = _text(function.get("name"), f"{where}.function.name")
    return {
        "type": "tool_use",
        "id": tool_id(call.get("id"), f"{where}.id"),
        "name": name,
        "input": _arguments(function.get("arguments"), f"{where}.function.arguments"),
    }


def _arguments(text: object, where: str) -> dict[str, Any]:
    if text is None or text == "":
        return {}
    try:
        value = msgspec.json.decode(_text(text, where))
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidCall(f"Invalid '{where}': expected the text of a JSON object.", param=where, code="invalid_value")
    return value


def _tool_result(message: dict[str, Any], where: str) -> Block:
    result: Block = {
        "type": "tool_result", "tool_use_id": tool_id(message.get("tool_call_id"), f"{where}.tool_call_id")
    }  # fmt: skip
    blocks = _blocks(message.get("content"), f"{where}.content")
    if blocks:
        result["content"] = blocks
    return result
