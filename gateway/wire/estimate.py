"""What a call is charged when it is admitted, as far as its body tells.

Rules of this file: of prompts that are texts alone the characters are counted, as upstreams do. Of all others the bytes
of the body are taken for them, without its inline files, so a little too many: measuring everything in it would cost
more than this decides.
"""

from typing import Any, Final

_SMALL_BYTES: Final = 32_768
"""No image worth looking for is in a body up to this size."""
_MOST_TEXTS: Final = 2048
_MOST_PARTS: Final = 64
"""In a prompt, and in one of its messages: longer lists are not walked over while other calls wait."""
_CEILING: Final = 1_000_000_000
"""Tokens. Only keeps a nonsense `max_tokens` from becoming a nonsense number in our own books."""


def charged_tokens(body: bytes, fields: dict[str, Any]) -> int:
    """What OpenAI charges at admission: max(characters / 4, max_tokens × n). `fields`: the decoded body."""
    most = _count(fields.get("max_completion_tokens")) or _count(fields.get("max_tokens"))
    most = most or _count(fields.get("max_output_tokens"))
    return min(max(_prompt(body, fields), most * (_count(fields.get("n")) or 1)), _CEILING)


def prompt_tokens(body: bytes) -> int:
    """What Anthropic charges at admission: the prompt, characters / 4, without what its cache has.

    1 where parts of it may be in the cache, which nobody can know before: the answer's headers tell.
    """
    return 1 if b'"cache_control"' in body else _of_bytes(body)


def _prompt(body: bytes, fields: dict[str, Any]) -> int:
    characters = None
    if "tools" not in fields and "functions" not in fields:
        characters = _characters(fields.get("messages", fields.get("input", fields.get("prompt"))))
    if characters is None:
        return _of_bytes(body)
    instructions = fields.get("instructions")
    if type(instructions) is str:
        characters += len(instructions)
    return max((characters + 3) // 4, 1)


def _characters(prompt: object) -> int | None:
    """Of a text, texts, or messages of texts. None: there is something else in it, or too many of them."""
    if type(prompt) is str:
        return len(prompt)
    if type(prompt) is not list or len(prompt) > _MOST_TEXTS:
        return None
    total = 0
    for item in prompt:
        text = item.get("content") if type(item) is dict else item
        if type(text) is str:
            total += len(text)
        elif type(text) is list and (of_parts := _of_parts(text)) is not None:
            total += of_parts
        else:
            return None
    return total


def _of_parts(content: list[Any]) -> int | None:
    if len(content) > _MOST_PARTS:
        return None
    total = 0
    for part in content:
        text = part.get("text") if type(part) is dict else None
        if type(text) is not str:
            return None
        total += len(text)
    return total


def _of_bytes(body: bytes) -> int:
    characters = len(body) - (_inline_bytes(body) if len(body) > _SMALL_BYTES else 0)
    return max(characters // 4, 1)


def _inline_bytes(body: bytes) -> int:
    """Bytes of the images and files that stand in the body as data URLs: they are not charged by their length."""
    total, at = 0, 0
    while (start := body.find(b";base64,", at)) >= 0:
        at = body.find(b'"', start)
        total += at - start
    return total


def _count(value: object) -> int:
    """`value` where it is a number of things; 0 for anything else, which the checks refuse or the upstream judges."""
    return value if type(value) is int and value > 0 else 0
