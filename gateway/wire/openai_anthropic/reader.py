"""A stream of Messages, read as the chat chunks it says."""

from collections.abc import Callable
from typing import Protocol

from gateway.core.call import Endpoint
from gateway.wire.openai_anthropic.stream import ChatTranslator
from gateway.wire.stream import StreamReader


class Translator(Protocol):
    @property
    def is_broken(self) -> bool: ...


class Reader(Protocol):
    is_broken: bool
    is_done: bool


def read_translated(reader: Reader, feed: Callable[[bytes], bytes], translator: Translator, events: bytes) -> bytes:
    """What goes on of translated events, which `reader` is fed by `feed`. What breaks the one breaks the other."""
    sent = feed(events) if events else b""
    reader.is_broken = reader.is_broken or (translator.is_broken and not reader.is_done)
    return sent


class TranslatedReader(StreamReader):
    """A `StreamReader` that is fed a stream of Messages: all it knows of a stream holds for the translated one."""

    __slots__ = ("_translator",)

    def __init__(self, endpoint: Endpoint, *, hides_usage: bool, created: int) -> None:
        """`hides_usage`: the caller did not ask for it. `created`: epoch seconds."""
        super().__init__(endpoint, hides_usage=hides_usage)
        self._translator = ChatTranslator(created=created)

    def feed(self, chunk: bytes) -> bytes:
        return read_translated(self, super().feed, self._translator, self._translator.feed(chunk))

    def finish(self) -> bytes | None:
        sent = read_translated(self, super().feed, self._translator, self._translator.finish())
        added = super().finish()
        return None if added is None else sent + added
