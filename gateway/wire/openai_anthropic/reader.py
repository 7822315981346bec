"""A stream of Messages, read as the chat chunks it says."""

from gateway.core.call import Endpoint
from gateway.wire.openai_anthropic.stream import ChatTranslator
from gateway.wire.stream import StreamReader


class TranslatedReader(StreamReader):
    """A `StreamReader` that is fed a stream of Messages: all it knows of a stream holds for the translated one."""

    __slots__ = ("_translator",)

    def __init__(self, endpoint: Endpoint, *, hides_usage: bool, created: int) -> None:
        """`hides_usage`: the caller did not ask for it. `created`: epoch seconds."""
        super().__init__(endpoint, hides_usage=hides_usage)
        self._translator = ChatTranslator(created=created)

    def feed(self, chunk: bytes) -> bytes:
        return self._read_translated(self._translator.feed(chunk))

    def finish(self) -> bytes | None:
        sent = self._read_translated(self._translator.finish())
        added = super().finish()
        return None if added is None else sent + added

    def _read_translated(self, events: bytes) -> bytes:
        sent = super().feed(events) if events else b""
        self.is_broken = self.is_broken or (self._translator.is_broken and not self.is_done)
        return sent
