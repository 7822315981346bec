"""A stream of Messages, read as the typed events it says."""

from gateway.core.call import Endpoint
from gateway.wire.openai_anthropic.reader import read_translated
from gateway.wire.responses_anthropic.stream import ResponseTranslator
from gateway.wire.typed_stream import TypedReader


class ResponseReader(TypedReader):
    """A `TypedReader` that is fed a stream of Messages: all it knows of a stream holds for the translated one."""

    __slots__ = ("_translator",)

    def __init__(self, endpoint: Endpoint, *, created: int, asked: bytes) -> None:
        """`created`: epoch seconds. `asked`: the caller's body."""
        super().__init__(endpoint)
        self._translator = ResponseTranslator(created=created, asked=asked)

    def feed(self, chunk: bytes) -> bytes:
        return read_translated(self, super().feed, self._translator, self._translator.feed(chunk))

    def finish(self) -> bytes | None:
        sent = read_translated(self, super().feed, self._translator, self._translator.finish())
        added = super().finish()
        return None if added is None else sent + added
