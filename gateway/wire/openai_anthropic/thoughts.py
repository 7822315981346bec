"""Thoughts in a chat: `thinking_blocks` of an assistant's message, which callers send back as they came.

    {"type": "thinking", "thinking": "…", "signature": "…"}     {"type": "redacted_thinking", "data": "…"}

Anthropic wants the thoughts that led to a tool back with the tool's result, each signed and unchanged. The name and the
form are LiteLLM's; `after`, where it is given, says how many of the message's other blocks (its text, its tool calls)
stood before the thought. Pieces of a stream carry `index`, by which OpenAI's SDKs put them together.
"""

from collections.abc import Sequence
from typing import Any, Final

from gateway.wire.refusals import wrong_type

Block = dict[str, Any]

MEMBER: Final = "thinking_blocks"
THINKING: Final = "thinking"
REDACTED: Final = "redacted_thinking"
TYPES: Final = frozenset({THINKING, REDACTED})
_FORMS: Final = {THINKING: ("thinking", "signature"), REDACTED: ("data",)}
"""Type → what a thought of it is made of."""


def with_thoughts(blocks: Sequence[Block], message: Block, where: str) -> list[Block]:
    """The message's blocks with its thoughts among them, each where it stood. `where` is the message's place.

    Thoughts that nobody signed are left out, for they are another vendor's; so are those behind which nothing stands:
    Anthropic refuses both.
    """
    thoughts = message.get(MEMBER)
    if thoughts is None:
        return list(blocks)
    if not isinstance(thoughts, list):
        raise wrong_type(f"{where}.{MEMBER}", "an array", thoughts)
    woven: list[Block] = []
    waiting = [(_place(thought), block) for thought in thoughts if (block := _signed(thought)) is not None]
    for place, block in enumerate(blocks):
        while waiting and waiting[0][0] <= place:
            woven.append(waiting.pop(0)[1])
        woven.append(block)
    return woven


def written_thought(block: Block, *, after: int) -> Block | None:
    """A whole thought as callers get it, without what it leaves empty. None: there is nothing in it."""
    said = {name: block.get(name) for name in _FORMS[block["type"]]}
    members = {name: value for name, value in said.items() if isinstance(value, str) and value}
    return _written(block["type"], members, after) if members else None


class Thoughts:
    """The thoughts of one stream, numbered as they begin."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        """Index of the block → the thought's among the thoughts."""

    def piece(self, block: int, type_: str, *, after: int, **members: str) -> list[Block]:
        """`thinking_blocks` of a delta. `after` is told once for each thought: SDKs add numbers up."""
        told = 0 if block in self._numbers else after
        number = self._numbers.setdefault(block, len(self._numbers))
        return [{"index": number, **_written(type_, members, told)}]


def _written(type_: str, members: Block, after: int) -> Block:
    return {"type": type_, **members, **({"after": after} if after else {})}


def _place(thought: Block) -> int:
    after = thought.get("after")
    return after if type(after) is int else 0


def _signed(thought: object) -> Block | None:
    """The thought as Anthropic takes it; None for what is none of its own."""
    if not isinstance(thought, dict):
        return None
    form = _FORMS.get(str(thought.get("type")))
    if form is None or not all(isinstance(thought.get(name, ""), str) for name in form) or not thought.get(form[-1]):
        return None
    return {"type": thought["type"], **{name: thought.get(name, "") for name in form}}
