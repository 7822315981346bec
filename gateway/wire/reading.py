"""Which reader reads which stream."""

from typing import Protocol

from gateway.core.call import CHUNKS, Endpoint, Usage
from gateway.core.errors import GatewayError
from gateway.core.outcome import ErrorBody
from gateway.wire.stream import StreamReader
from gateway.wire.typed_stream import TypedReader


class EventReader(Protocol):
    """Reads one upstream stream: `feed` gives what to send on, the attributes say what has been seen so far.

    `seen.Seen` explains each of them.
    """

    has_content: bool
    is_done: bool
    is_broken: bool
    error: ErrorBody | None
    usage: Usage | None
    object_id: str | None
    events: int

    @property
    def may_be_silent(self) -> bool:
        """It tells of what goes on in a session, maybe nothing for long: no event is waited for before the commit."""
        ...

    @property
    def is_over(self) -> bool: ...

    @property
    def is_finished(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes | None: ...

    def write_error(self, error: GatewayError | ErrorBody) -> bytes: ...


def reader_for(endpoint: Endpoint, *, hides_usage: bool) -> EventReader:
    """`hides_usage`: we asked for the usage, not the caller, so it is taken out again."""
    if endpoint.stream in CHUNKS:
        return StreamReader(endpoint, hides_usage=hides_usage)
    return TypedReader(endpoint)
