"""What a fault makes of an answer: a table of functions, fault kind → how the performance changes."""

from collections.abc import Callable, Iterator
from itertools import chain

import msgspec

from gateway.sandbox.answer import Answer, Ending, Events, Pause
from gateway.sandbox.errors import ERRORS, Names, worded
from gateway.sandbox.faults import Fault, FaultKind

_FOREVER = float("inf")
_BROKEN_EVENT = 'data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"bro\n\n'


class Performance(msgspec.Struct, kw_only=True):
    """An answer and how it ends."""

    answer: Answer
    ending: Ending = Ending.KEEP
    is_whole: bool = True
    """Whether the last chunk of the framing is sent."""


def _stall_before(answer: Answer, fault: Fault, _names: Names) -> Performance:
    answer.delay_s += _FOREVER if fault.seconds is None else fault.seconds
    return Performance(answer=answer)


def _reset_in_body(answer: Answer, fault: Fault, _names: Names) -> Performance:
    answer.events, _ = _cut(answer, fault)
    return Performance(answer=answer, ending=Ending.RESET, is_whole=False)


def _stall_in_body(answer: Answer, fault: Fault, _names: Names) -> Performance:
    first, rest = _cut(answer, fault)
    pause = Pause(_FOREVER if fault.seconds is None else fault.seconds)
    answer.events = chain(first, (pause,), rest)
    return Performance(answer=answer)


def _slow_first_token(answer: Answer, fault: Fault, names: Names) -> Performance:
    after = 1 if fault.after is None else fault.after
    return _stall_in_body(answer, msgspec.structs.replace(fault, after=after), names)


def _truncated(answer: Answer, fault: Fault, _names: Names) -> Performance:
    first, _ = _cut(answer, fault)
    if answer.length is None:
        answer.events = first
        return Performance(answer=answer)
    part = b"".join(event for event in first if isinstance(event, bytes))
    answer.events, answer.length = (part,), len(part)
    return Performance(answer=answer)


def _truncated_chunk(answer: Answer, fault: Fault, _names: Names) -> Performance:
    answer.events, _ = _cut(answer, fault)
    return Performance(answer=answer, ending=Ending.CLOSE, is_whole=False)


def _slow_drip(answer: Answer, fault: Fault, _names: Names) -> Performance:
    answer.events = _dripping(answer.events, fault.size, Pause(fault.seconds or 0.001))
    return Performance(answer=answer)


def _stream_error(answer: Answer, fault: Fault, names: Names) -> Performance:
    kind = ERRORS[fault.error]
    event = answer.write_error(kind, worded(kind, names) if fault.message is None else fault.message)
    first, _ = _cut(answer, fault)
    answer.events = chain(first, (event,))
    return Performance(answer=answer)


def _malformed_event(answer: Answer, fault: Fault, _names: Names) -> Performance:
    first, rest = _cut(answer, fault)
    event = _BROKEN_EVENT if fault.body is None else fault.body
    answer.events = chain(first, (event.encode(),), rest)
    return Performance(answer=answer)


def _no_done(answer: Answer, _fault: Fault, _names: Names) -> Performance:
    answer.events = _without_last(answer.events)
    return Performance(answer=answer)


SPOILS: dict[str, Callable[[Answer, Fault, Names], Performance]] = {
    FaultKind.STALL_BEFORE_HEADERS: _stall_before,
    FaultKind.RESET_IN_BODY: _reset_in_body,
    FaultKind.STALL_IN_BODY: _stall_in_body,
    FaultKind.SLOW_FIRST_TOKEN: _slow_first_token,
    FaultKind.TRUNCATED: _truncated,
    FaultKind.TRUNCATED_CHUNK: _truncated_chunk,
    FaultKind.SLOW_DRIP: _slow_drip,
    FaultKind.STREAM_ERROR: _stream_error,
    FaultKind.MALFORMED_EVENT: _malformed_event,
    FaultKind.NO_DONE: _no_done,
}


def _cut(answer: Answer, fault: Fault) -> tuple[Events, Events]:
    """The events before the fault, and those after it; the second must be read after the first."""
    if answer.length is None:
        events = iter(answer.events)
        return _first(events, 2 if fault.after is None else fault.after), events
    text = b"".join(event for event in answer.events if isinstance(event, bytes))
    middle = 0 if fault.after == 0 else len(text) // 2
    return (text[:middle],), (text[middle:],)


def _first(events: Iterator[bytes | Pause], count: int) -> Iterator[bytes | Pause]:
    """Up to and with the event number `count`; pauses between them are kept."""
    left = count
    while left > 0:
        event = next(events, None)
        if event is None:
            return
        left -= isinstance(event, bytes)
        yield event


def _dripping(events: Events, size: int, pause: Pause) -> Iterator[bytes | Pause]:
    for event in events:
        if isinstance(event, Pause):
            yield event
            continue
        for start in range(0, len(event), size):
            yield event[start : start + size]
            yield pause


def _without_last(events: Events) -> Iterator[bytes | Pause]:
    held: bytes | Pause | None = None
    for event in events:
        if held is not None:
            yield held
        held = event
