"""Scripted faults: what may go wrong, for which requests, and how often."""

from enum import StrEnum

import msgspec

from gateway.sandbox.config import matches
from gateway.sandbox.errors import ERRORS


class FaultKind(StrEnum):
    """Faults beside the named errors of errors.py."""

    RAW = "raw"
    """`status`, `headers` and `body` as they are given."""
    RESET_BEFORE_HEADERS = "reset_before_headers"
    CLOSE_BEFORE_HEADERS = "close_before_headers"
    GARBAGE_HTTP = "garbage_http"
    """Bytes that are no HTTP, then the end."""
    STALL_BEFORE_HEADERS = "stall_before_headers"
    """Silence for `seconds`, then the answer."""
    EMPTY_BODY = "empty_body"
    """200 and nothing more."""
    GARBAGE_BODY = "garbage_body"
    """200 with `body`, which is no JSON unless you say so."""
    JSON_ERROR = "json_error"
    """200 with the body of `error`, as JSON, whatever was asked for."""
    RESET_IN_BODY = "reset_in_body"
    STALL_IN_BODY = "stall_in_body"
    """Silence for `seconds`, then the rest."""
    SLOW_FIRST_TOKEN = "slow_first_token"  # noqa: S105  # no password
    """The same after a chat's role event."""
    TRUNCATED = "truncated"
    """The body ends early and cleanly: no [DONE], the framing whole."""
    TRUNCATED_CHUNK = "truncated_chunk"
    """The connection ends within the body's framing."""
    SLOW_DRIP = "slow_drip"
    """The body `size` bytes at a time, `seconds` between."""
    STREAM_ERROR = "stream_error"
    """`error` as an event, then a clean end without [DONE]."""
    MALFORMED_EVENT = "malformed_event"
    """An event that is no JSON, then the rest."""
    NO_DONE = "no_done"
    REFUSE = "refuse"
    """Connections are refused for `seconds`, from now on."""


_KINDS = frozenset(kind.value for kind in FaultKind)

STREAM_ONLY = frozenset({FaultKind.STREAM_ERROR, FaultKind.MALFORMED_EVENT, FaultKind.NO_DONE})

NEEDS_ANSWER = STREAM_ONLY | {
    FaultKind.STALL_BEFORE_HEADERS,
    FaultKind.RESET_IN_BODY,
    FaultKind.STALL_IN_BODY,
    FaultKind.SLOW_FIRST_TOKEN,
    FaultKind.TRUNCATED,
    FaultKind.TRUNCATED_CHUNK,
    FaultKind.SLOW_DRIP,
}
"""These spoil a good answer: a call that keys or limits refuse meets its refusal, and leaves them for the next call."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. `kind` is a name from errors.py or a FaultKind."""

    kind: str
    times: int | None = 1
    """Requests it spoils; None: all."""
    key: str | None = None
    """Only requests with this key; None: any."""
    model: str | None = None
    """Only this model (lower case, or glob)."""
    path: str | None = None
    """Only this path (or glob): `/v1/chat/completions`."""
    pattern: str = "x"
    """Flapping, turn by turn and over again: x fails, . serves. `xx.` spoils two requests of three."""
    for_s: float | None = None
    """Lapses so many seconds after it was scripted; None: never."""
    after: int | None = None
    """Events sent before it; a chat's role event is the first. None: 2, so that one word came.
    Of a JSON answer one half is sent first, with 0 nothing."""
    seconds: float | None = None
    """How long it stalls; None: until the client leaves."""
    size: int = 1
    """Bytes per write of `slow_drip`."""
    status: int | None = None
    """Instead of the error's own status."""
    message: str | None = None
    """Instead of the error's own message. May hold {model}, {org}, {project}, {key}."""
    delay_text: str | None = None
    """`20s` adds "Please try again in 20s." to the message."""
    retry_after: str | None = None
    """`Retry-After` as it is: seconds or an HTTP-date."""
    retry_after_ms: str | None = None
    """`retry-after-ms` as it is."""
    headers: dict[str, str] = {}
    """Further headers, over the usual ones of the same name."""
    error: str = "server_error"
    """The named error inside `stream_error` and `json_error`."""
    body: str | None = None
    """Of `raw`, `garbage_body`, and the event of `malformed_event`."""

    def __post_init__(self) -> None:
        if self.kind not in ERRORS and self.kind not in _KINDS:
            raise ValueError(f"unknown fault {self.kind!r}: one of {', '.join([*FaultKind, *ERRORS])}")
        if self.error not in ERRORS:
            raise ValueError(f"unknown error {self.error!r}: one of {', '.join(ERRORS)}")
        if not self.pattern or set(self.pattern) - {"x", "."}:
            raise ValueError(f"pattern {self.pattern!r}: x (fails) and . (serves), at least one")

    @property
    def needs_answer(self) -> bool:
        return self.kind in NEEDS_ANSWER


class Line(msgspec.Struct):
    """A fault in the script, with what is left of it."""

    fault: Fault
    left: int | None
    lapses_at: float
    turn: int = 0


class Script:
    """Faults in the order they were written. A request meets the first that is meant for it."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def add(self, fault: Fault, now: float) -> None:
        lapses_at = float("inf") if fault.for_s is None else now + fault.for_s
        self._lines.append(Line(fault, fault.times, lapses_at))

    def clear(self) -> None:
        self._lines.clear()

    def pending(self) -> list[Fault]:
        return [line.fault for line in self._lines]

    def meet(self, *, key: str, model: str, path: str, is_stream: bool, now: float) -> Line | None:
        """The fault this request meets; `spend` it once it did. Turns of a pattern that serve are passed here."""
        if not self._lines:
            return None
        self._lines = [line for line in self._lines if now < line.lapses_at and line.left != 0]
        for line in self._lines:
            if not _is_meant(line.fault, key=key, model=model, path=path, is_stream=is_stream):
                continue
            if line.fault.pattern[line.turn % len(line.fault.pattern)] == "x":
                return line
            line.turn += 1
        return None

    def spend(self, line: Line) -> None:
        line.turn += 1
        if line.left is not None:
            line.left -= 1


def _is_meant(fault: Fault, *, key: str, model: str, path: str, is_stream: bool) -> bool:
    if fault.kind in STREAM_ONLY and not is_stream:
        return False
    return (
        (fault.key is None or fault.key == key)
        and (fault.model is None or matches(fault.model.lower(), model.lower()))
        and (fault.path is None or matches(fault.path, path))
    )
