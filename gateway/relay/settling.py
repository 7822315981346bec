"""Counts usage that comes later than its call: notes what is owed for, claims it when its end passes by.

    POST /responses (background), /batches, …/runs ─▶ noted ┄┄▶ GET /responses/{id}, /batches/{id}, … ─▶ over ─▶ claimed
                                                              └ a batch that does not tell: noted for its output file

Rules of this file: answers go on as they came; the claim comes before the answer, so that a caller who has seen the end
finds it counted; of a file that did not come whole nothing is counted. A run may need several calls until it is over,
so only its claim counts, whatever their streams tell.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.affinity import Bound
from gateway.core.call import Call, Usage
from gateway.core.outcome import OutcomeKind
from gateway.core.owed_usage import OwedUsage
from gateway.relay.answer import Answer, ComingBody
from gateway.relay.learning import LAST_EVENTS, MAX_EVENT_BYTES, is_events
from gateway.relay.metering import Progress
from gateway.relay.owed import Owed
from gateway.relay.watched import WatchedBody, Work, uninterrupted
from gateway.wire.late_usage import RUN_ENDS, LateObject, LinesUsage, read_late_object
from gateway.wire.sse import EventSplitter, read_event

_RUN_ENDS: Final = tuple(f"thread.run.{status}".encode() for status in RUN_ENDS)
_MARKS: Final = (b"response.created", *LAST_EVENTS, b"response.cancelled", b"thread.run.created", *_RUN_ENDS)
"""Names in the events that show a response or a run: the first, and those that end it."""
_UNTOLD: Final = (None, Usage())
"""What a vendor tells at once is counted at once."""


class Settling:
    """One per worker."""

    def __init__(self, owed: Owed) -> None:
        self._owed = owed

    async def settled(self, answer: Answer, call: Call, bound: Bound | None, progress: Progress) -> Answer:
        """`answer`, once what it says of late usage is noted or counted; one that is still coming counts on its way."""
        endpoint = call.endpoint
        if endpoint.creates == "response" and not endpoint.is_creating:  # in the background, a response is a creation
            return answer
        if not endpoint.settles or answer.outcome is not OutcomeKind.OK or not 200 <= answer.status < 300:
            return answer
        if answer.coming is None:
            found = read_late_object(answer.body)
            if found is not None:
                await uninterrupted(self.seen([found], call, progress))
            return answer
        path = None if bound is None else bound.path
        if is_events(answer):
            look = _Stream(self, call, progress).look
        elif endpoint.is_download and answer.status == 200 and path is not None and await self._owed.has(path.id):
            look = _Download(self, answer.coming, path.id, progress).look
        else:
            return answer
        return msgspec.structs.replace(answer, coming=WatchedBody(answer.coming, look))

    async def seen(self, objects: Sequence[LateObject], call: Call, progress: Progress) -> None:
        """What to do about objects that are on their way to the caller."""
        is_new = call.endpoint.creates is not None
        for found in objects:
            if not found.is_over:
                if is_new and progress.usage in _UNTOLD:
                    progress.settle(None, None)
                    await self._owed.note(OwedUsage(found.id, call.model or found.model, call.key_id))
            elif not is_new:
                await self._over(found, progress)
            elif call.is_stream:
                is_owed = await self._owed.claim(found.id) is not None
                progress.settle(found.usage if is_owed else None, None)  # else somebody who read it was quicker
            else:
                progress.settle(found.usage, None)  # over at once

    async def _over(self, found: LateObject, progress: Progress) -> None:
        owed = await self._owed.claim(found.id)
        if owed is None:
            progress.settle(None, None)
            return
        owed = msgspec.structs.replace(owed, model=owed.model or found.model)
        if found.usage is not None or found.output_file_id is None:
            progress.settle(found.usage, owed)
        else:
            await self._owed.note(msgspec.structs.replace(owed, id=found.output_file_id))

    async def read(self, file_id: str, usage: Usage, progress: Progress) -> None:
        """A batch's output passed as a whole."""
        owed = await self._owed.claim(file_id)
        if owed is not None:
            progress.settle(usage, owed)


class _Stream:
    """The events of a response or a run: the first one says whether it is owed for, the last one what it used."""

    def __init__(self, settling: Settling, call: Call, progress: Progress) -> None:
        self._settling = settling
        self._call = call
        self._progress = progress
        self._splitter: EventSplitter | None = EventSplitter()

    def look(self, piece: bytes) -> Work | None:
        splitter, shown = self._splitter, []
        for event in splitter.feed(piece) if splitter is not None and piece else ():
            if any(name in event[:200] for name in _MARKS):
                data = read_event(event).data
                found = read_late_object(data) if data else None
                shown += [found] if found is not None else []
        if splitter is not None and len(splitter.rest) > MAX_EVENT_BYTES:
            self._splitter = None  # no event of ours is so long
        return self._settling.seen(shown, self._call, self._progress) if shown else None


class _Download:
    """A file that may be a batch's output."""

    def __init__(self, settling: Settling, coming: ComingBody, file_id: str, progress: Progress) -> None:
        self._settling = settling
        self._coming = coming
        self._file_id = file_id
        self._progress = progress
        self._lines = LinesUsage()

    def look(self, piece: bytes) -> Work | None:
        if piece:
            self._lines.feed(piece)
            return None
        self._lines.finish()
        usage = None if self._coming.is_cut else self._lines.usage
        return None if usage is None else self._settling.read(self._file_id, usage, self._progress)
