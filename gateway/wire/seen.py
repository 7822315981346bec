"""What a reader has seen of a stream so far: the same facts, whichever events the stream is made of."""

from gateway.core.call import Usage
from gateway.core.outcome import ErrorBody


class Seen:
    """Base of the readers: they are asked at every piece, so the facts are the reader's own attributes."""

    __slots__ = (
        "error",
        "events",
        "has_content",
        "is_broken",
        "is_done",
        "is_json",
        "left_out",
        "object_id",
        "usage",
    )

    def __init__(self) -> None:
        self.has_content = False
        """An event with a piece of the answer has come: text, a tool call, a refusal, or the end of a choice."""
        self.is_done = False
        """The last event (of chats `[DONE]`) has come. Nothing after it is read."""
        self.is_broken = False
        """An event was lost that held a piece of the answer: what was sent on so far is all that is whole."""
        self.is_json = False
        """Not a stream but a JSON body: nothing is sent on before its end."""
        self.error: ErrorBody | None = None
        """An error event. It is not sent on: the reader's `write_error` writes one."""
        self.usage: Usage | None = None
        """The last that was said; None when none was."""
        self.object_id: str | None = None
        """The first id that an event tells: of the answer, response, run, message or session."""
        self.events = 0
        """Events with JSON, comments not counted: they restart no limit."""
        self.left_out = 0
        """Events that were not sent on because they were no JSON."""

    @property
    def is_over(self) -> bool:
        """Nothing more is read: the answer ended, failed or broke."""
        return self._has_ended()

    def _has_ended(self) -> bool:
        return self.is_done or self.is_broken or self.error is not None
