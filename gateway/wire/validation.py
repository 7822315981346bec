"""Checks of a body before any account is used: SPEC §3, the ranges of reference §2.

Only parameters that the tables name are looked at: unknown ones always pass, and so does what is inside of content
parts, tools and formats, whose kinds grow every month. `null` counts as absent. The tables are the documentation: a
row says the type and, in `low` and `high`, the documented range, which only the level `ranges` judges.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import Endpoint
from gateway.core.errors import InvalidCall
from gateway.core.snapshot import Validation
from gateway.wire.refusals import (
    empty,
    missing,
    needs,
    not_supported,
    too_great,
    too_long,
    too_small,
    wrong_type,
)


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A number. A boolean is none, and 1.0 is no integer."""

    is_integer: bool = False
    floor: float | None = None
    """What makes sense nowhere below is refused at the level `types` too."""
    low: float | None = None
    high: float | None = None

    def check(self, param: str, value: object, level: Validation) -> None:
        if isinstance(value, bool) or not isinstance(value, int if self.is_integer else (int, float)):
            raise wrong_type(param, "an integer" if self.is_integer else "a decimal", value)
        if self.floor is not None and value < self.floor:
            raise too_small(param, value, self.floor)
        if level is Validation.RANGES:
            if self.low is not None and value < self.low:
                raise too_small(param, value, self.low)
            if self.high is not None and value > self.high:
                raise too_great(param, value, self.high)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A value of one of some JSON kinds, and how long it may be."""

    types: tuple[type, ...]
    expected: str
    """The kinds in words, with articles."""
    is_filled: bool = False
    """An empty array or text is refused at the level `types` too."""
    most: int | None = None
    """Documented greatest length of an array."""
    longest: int | None = None
    """Documented greatest length of a text."""
    has_filled_texts: bool = False
    """At the level `ranges` it must be a non-empty text, or hold only such."""

    def check(self, param: str, value: object, level: Validation) -> None:
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            raise wrong_type(param, self.expected, value)
        if self.is_filled and isinstance(value, (list, str)) and not value:
            raise empty(param, _word(value))
        if level is Validation.RANGES and isinstance(value, (list, str)):
            self._check_length(param, value)

    def _check_length(self, param: str, value: list[object] | str) -> None:
        greatest = self.longest if isinstance(value, str) else self.most
        if greatest is not None and len(value) > greatest:
            raise too_long(param, _word(value), high=greatest, length=len(value))
        if not self.has_filled_texts:
            return
        for place, text in enumerate([value] if isinstance(value, str) else value):
            where = param if isinstance(value, str) else f"{param}[{place}]"
            if not isinstance(text, str):
                raise wrong_type(where, "a string", text)
            if not text:
                raise empty(where, "string")


class Messages(msgspec.Struct, frozen=True):
    """A conversation: a non-empty array of objects with valid roles and content. Parts are the upstream's business."""

    def check(self, param: str, value: object, level: Validation) -> None:
        if not isinstance(value, list):
            raise wrong_type(param, "an array of objects", value)
        if not value:
            raise empty(param, "array")
        for place, message in enumerate(value):
            if not isinstance(message, dict):
                raise wrong_type(f"{param}[{place}]", "an object", message)
            role = message.get("role")
            if not isinstance(role, str) or role not in _ROLES:
                raise _wrong_role(f"{param}[{place}].role", role)
            content = message.get("content")
            if not isinstance(content, (str, list)):
                self._check_content(f"{param}[{place}].content", content, role, level)

    def _check_content(self, param: str, content: object, role: str, level: Validation) -> None:
        """Of what is neither a text nor an array: nothing at all is right for some roles, or some vendors."""
        if content is not None:
            raise wrong_type(param, "a string or an array", content)
        if level is Validation.RANGES and role not in _ROLES_WITHOUT_CONTENT:
            raise missing(param)


Rule = Number | Kind | Messages


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked of one endpoint's body."""

    required: tuple[str, ...]
    params: dict[str, Rule]
    needs: tuple[tuple[str, str], ...] = ()
    """At the level `ranges`: the first is only allowed where the second is given and true."""
    apart: tuple[str, str] | None = None
    """Of the two together the upstream says that they are not allowed together, whatever they are: that is its word."""


_OFF: Final = Validation.OFF  # bound: Python 3.11 takes as long to find a member as to call a function
_RANGES: Final = Validation.RANGES
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_ROLES_WITHOUT_CONTENT: Final = frozenset({"assistant", "function"})
"""They may call tools, refuse or speak instead."""
_ROLES_TEXT: Final = "'system', 'developer', 'user', 'assistant', 'tool', and 'function'"

_OBJECT: Final = Kind(types=(dict,), expected="an object")
_ARRAY: Final = Kind(types=(list,), expected="an array")
_STRING: Final = Kind(types=(str,), expected="a string")
_BOOLEAN: Final = Kind(types=(bool,), expected="a boolean")
_STRING_OR_OBJECT: Final = Kind(types=(str, dict), expected="a string or an object")
_TEXT_OR_ARRAY: Final = Kind(types=(str, list), expected="a string or an array")

_SAMPLING: Final[dict[str, Rule]] = {
    "temperature": Number(low=0, high=2),
    "top_p": Number(low=0, high=1),
    "frequency_penalty": Number(low=-2, high=2),
    "presence_penalty": Number(low=-2, high=2),
    "n": Number(is_integer=True, floor=1, high=128),
    "seed": Number(is_integer=True),
    "stop": Kind(types=(str, list), expected="a string or an array of strings", most=4, has_filled_texts=True),
    "logit_bias": _OBJECT,
    "stream_options": _OBJECT,
    "user": _STRING,
}

RULES: Final[dict[str, Rules]] = {
    "chat.completions": Rules(
        required=("messages",),
        needs=(("top_logprobs", "logprobs"),),
        apart=("max_tokens", "max_completion_tokens"),
        params=_SAMPLING
        | {
            "messages": Messages(),
            "max_tokens": Number(is_integer=True, floor=1, high=131_072),
            "max_completion_tokens": Number(is_integer=True, floor=1, high=131_072),
            "logprobs": Kind(types=(bool, int), expected="a boolean"),  # Together takes a number here
            "top_logprobs": Number(is_integer=True, low=0, high=20),
            "tools": _ARRAY,
            "tool_choice": _STRING_OR_OBJECT,
            "parallel_tool_calls": _BOOLEAN,
            "functions": _ARRAY,
            "function_call": _STRING_OR_OBJECT,
            "response_format": _OBJECT,
            "modalities": _ARRAY,
            "audio": _OBJECT,
            "store": _BOOLEAN,
            "metadata": _OBJECT,
        },
    ),
    "completions": Rules(
        required=("prompt",),
        params=_SAMPLING
        | {
            "prompt": _TEXT_OR_ARRAY,
            "max_tokens": Number(is_integer=True, floor=0, high=131_072),
            "best_of": Number(is_integer=True, low=0, high=20),
            "echo": _BOOLEAN,
            "suffix": _STRING,
            "logprobs": Number(is_integer=True, low=0, high=5),
        },
    ),
    "embeddings": Rules(
        required=("input",),
        params={
            "input": Kind(types=(str, list), expected="a string or an array", is_filled=True, most=2048),
            "dimensions": Number(is_integer=True, floor=1),
        },
    ),
    "moderations": Rules(required=("input",), params={"input": _TEXT_OR_ARRAY}),
    "images.generations": Rules(
        required=("prompt",),
        params={
            "prompt": _STRING,
            "n": Number(is_integer=True, floor=1, high=10),
            "partial_images": Number(is_integer=True, low=0, high=3),
        },
    ),
    "audio.speech": Rules(
        required=("input", "voice"),
        params={
            "input": Kind(types=(str,), expected="a string", longest=4096),
            "voice": _STRING_OR_OBJECT,
            "speed": Number(low=0.25, high=4),
        },
    ),
}
"""Endpoint name → its rules. `model` and `stream` are read, and so checked, by `envelope`."""


def check(fields: Mapping[str, Any], endpoint: Endpoint, level: Validation) -> None:
    """Raises `InvalidCall` with `param` for the first field that breaks a rule; endpoints without a row pass."""
    rules = RULES.get(endpoint.name)
    if rules is None or level is _OFF:
        return
    for param in rules.required:
        if fields.get(param) is None:
            raise missing(param)
    params = rules.params
    apart = rules.apart
    if apart is not None and (fields.get(apart[0]) is None or fields.get(apart[1]) is None):
        apart = None
    for param, value in fields.items():
        if value is not None and (rule := params.get(param)) is not None and (apart is None or param not in apart):
            rule.check(param, value, level)
    if level is _RANGES:
        for param, other in rules.needs:
            if fields.get(param) is not None and not fields.get(other):
                raise needs(param, other)


def check_form(fields: Mapping[str, Any], endpoint: Endpoint) -> None:
    """The same of the texts of a form: what must be there, is. Numbers and lists in texts are the upstream's to read.

    Messages are refused: no text is a conversation.
    """
    rules = RULES.get(endpoint.name)
    for param in () if rules is None else rules.required:
        if fields.get(param) is None:
            raise missing(param)
        if rules is not None and isinstance(rule := rules.params.get(param), Messages):
            rule.check(param, fields[param], Validation.TYPES)


def _wrong_role(param: str, role: object) -> InvalidCall:
    if role is None:
        return missing(param)
    if not isinstance(role, str):
        return wrong_type(param, "a string", role)
    return not_supported(param, role, _ROLES_TEXT)


def _word(value: list[object] | str) -> str:
    return "string" if isinstance(value, str) else "array"
