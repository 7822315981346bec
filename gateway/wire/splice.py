"""A restarted answer in the place of one that broke, for chat chunks and completions: `wire/sent` keeps what was sent.

Rules of this file: text is compared decoded and character by character, choice by choice, each kind of text (content,
refusal, reasoning) in the order in which it came; an end and its reason must be the same. Nothing of the second
answer goes out before all that was sent has been repeated. What holds more than text (tool calls, audio, logprobs) is
never put together. The rest carries the first answer's id, time and model.
"""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final

import msgspec

from gateway.wire.members import read_members
from gateway.wire.sent import UNREADABLE, CannotJoin, Parts
from gateway.wire.sse import EventSplitter, read_event, with_data

MAX_HELD_BYTES: Final = 1024 * 1024
"""Of the rest that waits until all choices have repeated what was sent."""

EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_NAMES: Final = ("id", "created", "model")
"""Members of an event that say which answer it belongs to."""


class _Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


class _Names(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw()
    created: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()


_decode: Final = msgspec.json.Decoder(_Chunk).decode
_decode_names: Final = msgspec.json.Decoder(_Names).decode


class _Told:
    """What one choice has told so far; and how much of it the second answer has repeated."""

    __slots__ = ("finish_reason", "has_role", "parts")

    def __init__(self) -> None:
        self.parts = Parts()
        self.has_role = False
        self.finish_reason: str | None = None

    @property
    def owes(self) -> bool:
        return self.parts.owes or self.finish_reason is not None

    def repeat(self, kind: str, value: Any) -> Any:  # noqa: ANN401  # a member of a delta, whatever it is
        """What `value` says beyond what was told; empty when that is nothing."""
        if not value or not self.owes:
            return value
        if not isinstance(value, str):
            raise CannotJoin
        rest = self.parts.repeat(kind, value)
        if rest and self.finish_reason is not None:
            raise CannotJoin
        return rest

    def end(self, finish_reason: str) -> bool:
        """Whether this end is news."""
        if self.parts.owes or self.finish_reason not in {None, finish_reason}:
            raise CannotJoin
        return self.finish_reason is None


class ToldChunks:
    """Fits `sent.Told`: choices, and the names of the answer."""

    __slots__ = ("_choices", "_names", "characters")

    def __init__(self) -> None:
        self._choices: dict[int | None, _Told] = {}
        self._names: dict[str, bytes] = {}
        self.characters = 0

    def splicer(self) -> "Splicer":
        return Splicer(deepcopy(self._choices), self._names)

    def read(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if (data := _only_data(piece)) is not None:  # mostly a piece is one event
                self._read_event(data)
            else:
                self._read_piece(piece)
        for told in self._choices.values():
            told.parts.join()

    def _read_piece(self, piece: bytes) -> None:
        for event in EventSplitter().feed(piece):
            data = _data_of(event)
            if data is not None:
                self._read_event(data)

    def _read_event(self, data: bytes) -> None:
        choices = _decode(data).choices or ()
        if choices and not self._names:
            names = _decode_names(data)
            self._names = {name: bytes(getattr(names, name)) for name in _NAMES if bytes(getattr(names, name))}
        for choice in choices:
            told = self._choices.get(choice.index)
            if told is None:
                told = self._choices[choice.index] = _Told()
            self._read_choice(told, choice)

    def _read_choice(self, told: _Told, choice: _Choice) -> None:
        if choice.logprobs is not None:
            raise CannotJoin
        for kind, value in _members(choice):
            if value in EMPTY:
                continue
            if not isinstance(value, str):
                raise CannotJoin
            if kind == "role":
                told.has_role = True
            else:
                told.parts.add(kind, value)
                self.characters += len(value)
        if choice.finish_reason is not None:
            told.finish_reason = choice.finish_reason


class Splicer:
    """Fits `sent.Continued`."""

    __slots__ = ("_choices", "_held", "_held_bytes", "_names", "is_joined")

    def __init__(self, choices: dict[int | None, _Told], names: dict[str, bytes]) -> None:
        self._choices = choices
        """Those of which nothing new has come yet."""
        self._names = names
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.is_joined = not self._is_owed()
        """All that was sent has been repeated: from now on the second answer is the first."""

    def feed(self, piece: bytes) -> bytes | None:
        try:
            rest = b"".join(map(self._rest_of, EventSplitter().feed(piece)))
        except UNREADABLE:
            return None
        self._held.append(rest)
        self._held_bytes += len(rest)
        if not self.is_joined:
            return b"" if self._held_bytes <= MAX_HELD_BYTES else None
        rest = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        return rest

    def renumbered(self, event: bytes) -> bytes:
        return event  # chunks have no numbers

    def _is_owed(self) -> bool:
        return any(told.owes for told in self._choices.values())

    def _rest_of(self, event: bytes) -> bytes:
        data = _data_of(event)
        if data is None:
            return b""
        if data.startswith(b"[DONE]"):
            if not self.is_joined:
                raise CannotJoin
            return event
        if not self._choices:
            return self._named(event, data)
        rest = self._beyond(data)
        self.is_joined = self.is_joined or not self._is_owed()
        return b"" if rest is None else self._named(with_data(event, data, rest), rest)

    def _beyond(self, data: bytes) -> bytes | None:
        """The event's data without what was sent already; None when nothing is left of it."""
        choices = _decode(data).choices
        if not choices:
            return data if self.is_joined else None
        rests = [self._rest_of_choice(choice) for choice in choices]
        if all(rest is None for rest in rests):
            return None
        if all(rest == dict(_filled(choice)) for rest, choice in zip(rests, choices, strict=True)):
            return data
        value = msgspec.json.decode(data)
        value["choices"] = [
            _with_rest(choice, rest) for choice, rest in zip(value["choices"], rests, strict=True) if rest is not None
        ]
        return msgspec.json.encode(value)

    def _rest_of_choice(self, choice: _Choice) -> dict[str, Any] | None:
        """What it holds that was not sent; None when that is nothing, not even an end."""
        told = self._choices.get(choice.index)
        if told is None:
            return dict(_filled(choice))
        rest = {}
        for kind, value in _filled(choice):
            left = value if kind == "role" else told.repeat(kind, value)
            if left and not (kind == "role" and told.has_role):
                rest[kind] = left
        is_new_end = choice.finish_reason is not None and told.end(choice.finish_reason)
        if choice.finish_reason is not None or rest.keys() - {"role"}:
            del self._choices[choice.index]
        return rest if rest or is_new_end else None

    def _named(self, event: bytes, data: bytes) -> bytes:
        """The event with the first answer's names."""
        named, shift = data, 0
        for member in read_members(data):
            name = self._names.get(member.key)
            if name:
                named = named[: member.start + shift] + name + named[member.end + shift :]
                shift = len(named) - len(data)
        return event if named == data else with_data(event, data, named)


def _only_data(piece: bytes) -> bytes | None:
    """The data of a piece that is one event in the usual form; None for any other."""
    return piece[6:-2] if piece.startswith(b"data: {") and piece.find(b"\n") == len(piece) - 2 else None


def _data_of(event: bytes) -> bytes | None:
    return _only_data(event) or read_event(event).data


def _members(choice: _Choice) -> Iterable[tuple[str, Any]]:
    """Those of the delta; the text of a legacy completion."""
    return (choice.delta or {}).items() if choice.text is None else (("text", choice.text),)


def _filled(choice: _Choice) -> list[tuple[str, Any]]:
    """Members that say something."""
    return [(kind, value) for kind, value in _members(choice) if value not in EMPTY]


def _with_rest(choice: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    if "text" in choice:
        choice["text"] = rest.get("text", "")
    delta = choice.get("delta")
    if delta is not None:
        empty = {kind: value for kind, value in delta.items() if value in EMPTY}
        choice["delta"] = empty | {kind: value for kind, value in rest.items() if kind in delta}
    return choice
