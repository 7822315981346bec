"""JSON lines on stdout: structlog for events, msgspec directly for the line of each call, one redaction for both.

    log = get_logger()                        any module, at any time
    log.warning(Event.ACCOUNT_COOLED, account_id=..., rest_s=...)
    output = configure(level="info")          once per process, by app.py
    output.call_finished(record)              once per call

Rules of this file: `event`, `level`, `at` come first in a line; a field that `events.FIELDS` does not name is left out;
what other libraries write by `logging` takes the same way, from `warning` up, since their lower lines show headers.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

from gateway.telemetry.events import FIELDS, CallRecord, Event
from gateway.telemetry.redaction import MAX_TEXT, MAX_TRACEBACK, harmless_field, redacted
from gateway.telemetry.writer import LineWriter

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""The values of GATEWAY_LOG_LEVEL."""

_ALWAYS = frozenset({"event", "level", "at", "worker", "exception", "undeclared"})
_MAX_REMEMBERED = 4_096
_MAX_LABEL = 200
_MAX_TRAIL = 20

_encode = msgspec.json.Encoder(decimal_format="number").encode


def get_logger() -> FilteringBoundLogger:
    """A logger of events. Modules make it at import; what `configure` says later holds for it all the same."""
    return cast("FilteringBoundLogger", structlog.get_logger())


class LogOutput:
    """Where this process' lines go."""

    def __init__(self, writer: LineWriter, *, level: int, previous: list[logging.Handler]) -> None:
        self.is_debug = level <= logging.DEBUG
        """Ask it before a debug line on a call's way: putting the line's fields together costs more than the call."""
        self._writer = writer
        self._writes_calls = level <= logging.INFO
        self._previous = previous
        self._harmless_texts: set[str | None] = {None}

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._writer.dropped

    def call_finished(self, record: CallRecord) -> bytes:
        """Writes the call's line where the level lets it, and gives it back. Never blocks, never raises."""
        known = self._harmless_texts
        if record.model not in known or record.code not in known or len(record.trail) > _MAX_TRAIL:
            record = self._harmless_record(record)
        else:
            for attempt in record.trail:
                if attempt.code not in known:
                    record = self._harmless_record(record)
                    break
        line = _encode(record) + b"\n"
        if self._writes_calls:
            self._writer.write(line)
        return line

    def flush(self, timeout_s: float = 1.0) -> bool:
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Writes what is held, gives `logging` back as it was and ends the writer's thread."""
        logging.getLogger().handlers = self._previous
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
        sys.excepthook = sys.__excepthook__
        self._writer.close()

    def _harmless_record(self, record: CallRecord) -> CallRecord:
        """`record` with its free texts redacted; texts found harmless are remembered, a bounded number of them."""
        trail = tuple(
            attempt
            if attempt.code in self._harmless_texts
            else msgspec.structs.replace(attempt, code=self._harmless_text(attempt.code))
            for attempt in record.trail[:_MAX_TRAIL]
        )
        return msgspec.structs.replace(
            record, model=self._harmless_text(record.model), code=self._harmless_text(record.code), trail=trail
        )

    def _harmless_text(self, text: str | None) -> str | None:
        if text is None or text in self._harmless_texts:
            return text
        clean = redacted(text[:_MAX_LABEL])
        if clean == text:
            if len(self._harmless_texts) >= _MAX_REMEMBERED:
                self._harmless_texts = {None}
            self._harmless_texts.add(text)
        return clean


def configure(*, level: str = "info", fd: int = 1, worker: str = "") -> LogOutput:
    """Sends all lines of this process to `fd`. Call it once, after a fork, before anything logs.

    Args:
        level: a key of `LEVELS`.
        fd: file descriptor; it stays open.
        worker: written into every line, to tell the processes of one service apart; "" leaves it out.
    """
    threshold = LEVELS[level]
    pipeline = _pipeline(worker)
    writer = LineWriter(fd, dropped_line=lambda count: _line_of_gap(pipeline, count))
    structlog.configure(
        processors=pipeline,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _Lines(writer),
        cache_logger_on_first_use=False,
    )
    previous = logging.getLogger().handlers
    _route_libraries(_LibraryLines(pipeline, writer), threshold)
    sys.excepthook = _log_uncaught
    return LogOutput(writer, level=threshold, previous=previous)


class _Lines:
    """What structlog calls a logger: takes rendered lines of any level."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = msg


class _LibraryLines(logging.Handler):
    """Sends records of the standard `logging` through the same pipeline."""

    def __init__(self, pipeline: list[Processor], writer: LineWriter) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: dict[str, Any] = {
                "event": Event.LIBRARY_LOGGED,
                "logger": record.name,
                "message": record.getMessage(),
                "exc_info": record.exc_info,
            }
            level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
            self._writer.write(_rendered(self._pipeline, level, fields))
        except Exception:  # noqa: BLE001  # a handler that raises breaks the library that only wanted to log
            self.handleError(record)


def _route_libraries(handler: logging.Handler, threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "litestar", "asyncio"):
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
    logging.captureWarnings(capture=True)


def _pipeline(worker: str) -> list[Processor]:
    def name_worker(_logger: WrappedLogger, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if worker:
            event["worker"] = worker
        return event

    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        name_worker,
        _declared_and_harmless,
        _as_line,
    ]


def _declared_and_harmless(
    _logger: WrappedLogger, _level: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Keeps what `FIELDS` names, each value made harmless. An event that is not listed keeps its name only."""
    declared = FIELDS.get(event["event"], frozenset())
    undeclared = sorted(set(event) - declared - _ALWAYS)
    kept: dict[str, Any] = {name: event[name] for name in ("event", "level", "at") if name in event}
    for name, value in event.items():
        if name in declared or name in _ALWAYS:
            limit = MAX_TRACEBACK if name == "exception" else MAX_TEXT
            kept[name] = harmless_field(name, value, max_text=limit)
    if undeclared:
        kept["undeclared"] = [redacted(name)[:_MAX_LABEL] for name in undeclared]
    return kept


def _as_line(_logger: WrappedLogger, _level: str, event: Mapping[str, Any]) -> bytes:
    return _encode(event) + b"\n"


def _rendered(pipeline: list[Processor], level: str, fields: dict[str, Any]) -> bytes:
    event: Any = fields
    for processor in pipeline:
        event = processor(None, level, event)
    return cast("bytes", event)


def _line_of_gap(pipeline: list[Processor], count: int) -> bytes:
    return _rendered(pipeline, "warning", {"event": Event.LINES_DROPPED, "count": count})


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's last words would print the traceback unredacted, to stderr."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger().error(Event.TASK_CRASHED, task="process", error=kind.__name__, exc_info=(kind, error, trace))
