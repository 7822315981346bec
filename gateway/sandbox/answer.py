"""`Answer`: an HTTP answer as a value; `perform`: the steps that send it.

A body is a series of events, so that a fault can stand after the Nth of them: a stream's SSE events, or one JSON text.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from http import HTTPStatus
from typing import Protocol

import msgspec

from gateway.sandbox.errors import ErrorKind, write_error_event


class Pause(msgspec.Struct, frozen=True):
    """Nothing is sent for so long. Infinite: until the client leaves."""

    seconds: float


class Ending(StrEnum):
    """What becomes of the connection after the last byte."""

    KEEP = "keep"
    """The answer is whole: the connection serves the next request."""
    CLOSE = "close"
    """An orderly end (FIN) at this place, whole or not."""
    RESET = "reset"
    """A TCP reset."""


class Speaker(Protocol):
    """The sandbox's side of a WebSocket."""

    def greeting(self) -> list[bytes]:
        """What it says first."""
        ...

    def hear(self, raw: bytes) -> list[bytes]:
        """What it says to a message."""
        ...


class Upgrade(msgspec.Struct, frozen=True):
    """The connection is a WebSocket from here on."""

    talk: Speaker
    headers: list[tuple[str, str]]


Step = bytes | Pause | Ending | Upgrade
Events = Iterable[bytes | Pause]


class Answer(msgspec.Struct, kw_only=True):
    """Status, headers, and the body's events."""

    status: int = 200
    headers: list[tuple[str, str]]
    """Without the framing (`content-length`, `transfer-encoding`)."""
    events: Events
    length: int | None
    """Bytes of the body, sent as `content-length`; None: chunked."""
    delay_s: float = 0.0
    """Before the head."""
    talk: Speaker | None = None
    """In place of a body, with status 101: who speaks in the session that begins."""
    write_error: Callable[[ErrorKind, str], bytes] = write_error_event
    """How its stream tells an error, with these words."""


def whole(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """An answer with a known body; an empty body has no event."""
    return Answer(status=status, headers=headers, events=(body,) if body else (), length=len(body))


def streamed(headers: list[tuple[str, str]], events: Events) -> Answer:
    return Answer(headers=headers, events=events, length=None)


def write_head(answer: Answer) -> bytes:
    framing = "transfer-encoding: chunked" if answer.length is None else f"content-length: {answer.length}"
    lines = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
    return f"HTTP/1.1 {answer.status} {_reason(answer.status)}\r\n{lines}{framing}\r\n\r\n".encode("latin-1")


def perform(
    answer: Answer,
    *,
    on_head: Callable[[int], None],
    on_event: Callable[[bytes], None],
    ending: Ending = Ending.KEEP,
    is_whole: bool = True,
) -> Iterator[Step]:
    """The steps of `answer`. `on_head` and `on_event` are told what goes out, when it does.

    `is_whole=False` leaves out the last chunk: the body ends in the middle of its framing.
    """
    if answer.delay_s > 0:
        yield Pause(answer.delay_s)
    on_head(answer.status)
    if answer.talk is not None:
        yield Upgrade(answer.talk, answer.headers)
        return
    head = write_head(answer)
    for event in answer.events:
        if isinstance(event, Pause):
            if head:
                yield head
                head = b""
            yield event
        elif event:
            on_event(event)
            yield head + (event if answer.length is not None else b"%x\r\n%b\r\n" % (len(event), event))
            head = b""
    last = b"0\r\n\r\n" if answer.length is None and is_whole else b""
    if head or last:
        yield head + last
    yield ending


def joined(events: Events, per_write: int) -> Iterator[bytes | Pause]:
    """Up to `per_write` neighbouring events as one; a pause is never crossed."""
    held: list[bytes] = []
    for event in events:
        if isinstance(event, Pause):
            if held:
                yield b"".join(held)
                held.clear()
            yield event
            continue
        held.append(event)
        if len(held) >= per_write:
            yield b"".join(held)
            held.clear()
    if held:
        yield b"".join(held)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
