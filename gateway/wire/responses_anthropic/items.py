"""Items of a response's input → messages of a chat; thoughts to and from `encrypted_content`.

    message                    ─▶ a message of its role           instructions ─▶ a system message before all
    reasoning                  ─▶ `thinking_blocks` of the assistant's next message or call
    function_call              ─▶ a tool call of the assistant    function_call_output ─▶ a message of the role tool

Rules of this file: as `openai_anthropic/content`: what has no form is a 400 that names its place. Items of other kinds
(searches, computers, what only OpenAI runs) have none; references to items neither, for nothing was kept.
"""

import base64
from typing import Any, Final, NamedTuple

import msgspec

from gateway.wire.openai_anthropic.content import unsupported
from gateway.wire.openai_anthropic.thoughts import MEMBER, written_thought
from gateway.wire.refusals import missing, wrong_type

Fields = dict[str, Any]

_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_SEALED_BY_US: Final = "claude."
"""How `encrypted_content` begins that holds a thought of Claude's."""


class Chat(NamedTuple):
    """The messages, and how the caller wrote the place of each: `input[3]`."""

    messages: list[Fields]
    places: list[str]


def read_input(fields: Fields) -> Chat:
    """`instructions` and `input` of a response. Raises InvalidCall."""
    chat = Chat([], [])
    instructions, given = fields.get("instructions"), fields.get("input")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise wrong_type("instructions", "a string", instructions)
        _add(chat, "instructions", {"role": "system", "content": instructions})
    if isinstance(given, str):
        _add(chat, "input", {"role": "user", "content": given})
        return chat
    if not isinstance(given, list):
        raise missing("input") if given is None else wrong_type("input", "a string or an array", given)
    thoughts: list[Fields] = []
    for number, item in enumerate(given):
        where = f"input[{number}]"
        if not isinstance(item, dict):
            raise wrong_type(where, "an object", item)
        if item.get("type") == "reasoning":
            thoughts += _thought(item)
            continue
        message = _message(item, where)
        if message["role"] == "assistant" and thoughts:
            message[MEMBER] = thoughts
        thoughts = []
        _add(chat, where, message)
    return chat


def _add(chat: Chat, where: str, message: Fields) -> None:
    chat.messages.append(message)
    chat.places.append(where)


def _message(item: Fields, where: str) -> Fields:
    match item.get("type"):
        case None | "message":
            role = item.get("role")
            if not isinstance(role, str) or role not in _ROLES:
                raise (
                    missing(f"{where}.role")
                    if role is None
                    else unsupported(
                        f"{where}.role", "Messages are of the user, the assistant, the system or the developer."
                    )
                )
            return {"role": role, "content": _content(item.get("content"), f"{where}.content")}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            output = _content(item.get("output"), f"{where}.output")
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": output}
        case "item_reference":
            raise unsupported(f"{where}.id", "This provider keeps no items: send the item itself.")
        case kind:
            raise unsupported(f"{where}.type", f"Items of the type '{str(kind)[:40]}' have no form at this provider.")


def _content(content: object, where: str) -> object:
    if not isinstance(content, list):
        return content
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]


def _part(part: object, where: str) -> Fields:
    if not isinstance(part, dict):
        raise wrong_type(where, "an object", part)
    made = _converted(part, where)
    return made | ({"cache_control": part["cache_control"]} if "cache_control" in part else {})


def _converted(part: Fields, where: str) -> Fields:
    match part.get("type"):
        case str(kind) if kind in _TEXTS:
            return {"type": "text", "text": part.get("text")}
        case "refusal":
            return {"type": "refusal", "refusal": part.get("refusal")}
        case "input_image":
            if part.get("image_url") is None and part.get("file_id") is not None:
                raise unsupported(f"{where}.file_id", "Images come by `image_url` at this provider.")
            return {"type": "image_url", "image_url": part.get("image_url")}
        case "input_file":
            held = {name: part[name] for name in ("file_id", "file_data", "filename") if part.get(name) is not None}
            return {"type": "file", "file": held | ({"file_data": part["file_url"]} if part.get("file_url") else {})}
        case None:
            raise missing(f"{where}.type")
        case kind:
            raise unsupported(f"{where}.type", f"Parts of the type '{str(kind)[:40]}' have no form at this provider.")


# -- thoughts ----------------------------------------------------------------------------------------------------


def sealed_thought(block: Fields) -> str | None:
    """A block of thinking as `encrypted_content`, which callers send back as it came. None: nobody signed it.

    It is no secret, only opaque: the caller reads the thought beside it, and its signature is Anthropic's.
    """
    thought = written_thought(block, after=0)
    if thought is None or not (thought.get("signature") or thought.get("data")):
        return None
    return _SEALED_BY_US + base64.urlsafe_b64encode(msgspec.json.encode(thought)).decode()


def _thought(item: Fields) -> list[Fields]:
    """What a reasoning item holds of Claude's; thoughts of others, and such without a signature, are left out."""
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed.startswith(_SEALED_BY_US):
        return []
    try:
        value = msgspec.json.decode(base64.urlsafe_b64decode(sealed.removeprefix(_SEALED_BY_US)))
    except (ValueError, RecursionError):
        return []
    return [value] if isinstance(value, dict) else []
