"""Learns ids from answers, before the caller can use them: from a whole body, from the events of a stream, a header.

Rules of this file: what goes to the caller is not touched; an answer, or a stream's last event, waits for its ids to be
stored, 100 ms at most. Of a stream the first events are read, those that name what a tool made, and the last.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.affinity import MADE_BY_HAND, MODELS, Binding, Bound, Reference, realm_of
from gateway.core.call import Call
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Account
from gateway.relay.answer import Answer
from gateway.relay.board import Board
from gateway.relay.known_ids import KnownIds
from gateway.relay.metering import Progress
from gateway.relay.watched import WatchedBody, Work
from gateway.wire.objects import LOCATED, Seen, read_objects
from gateway.wire.references import kind_of_path
from gateway.wire.sse import EventSplitter, read_event

MEDIA: Final = ("images.", "audio.")
"""Endpoints whose answers are large and name no object, but where they make one."""
FIRST_EVENTS: Final = 4
LAST_EVENTS: Final = (b"response.completed", b"response.incomplete", b"response.failed", b"thread.run.completed")
"""Names in the events that end a stream and show all that it made."""
MADE_IN_PASSING: Final = (b'"container_id"', b'"file_path"', b"thread.message.completed")
"""In events between them that name what a tool has just made: its caller may go for it before the end."""
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024


class Learning:
    """One per worker."""

    def __init__(self, *, board: Board, known: KnownIds) -> None:
        self._board = board
        self._known = known

    async def learned(self, answer: Answer, call: Call, bound: Bound | None, progress: Progress) -> Answer:
        """`answer`, once what it makes known is stored; one that is still coming learns on its way."""
        account = self._account_of(progress)
        if account is None or bound is None or answer.outcome is not OutcomeKind.OK or not 200 <= answer.status < 300:
            return answer
        if makes_nothing(call, bound) or not answer.shows_objects:
            return answer
        if answer.coming is not None:
            await self._store(self._located(answer, call) + self._named(bound), call, bound, account)
            if not is_events(answer):
                return answer
            looking = _StreamLearning(self, call, bound, account)
            return msgspec.structs.replace(answer, coming=WatchedBody(answer.coming, looking.look))
        self._forget(call, bound)
        seen = read_seen(answer.body, call, bound)
        await self._store([*self._located(answer, call), *seen, *self._named(bound)], call, bound, account)
        return answer

    def learn(self, seen: Sequence[Seen], call: Call, bound: Bound, account: Account) -> asyncio.Event | None:
        """Takes what is new of it; what to wait for."""
        realm = realm_of(account)
        unknown = {reference.id: reference for reference in bound.unknown}
        made = [one.id for one in seen if one.is_created]
        bindings = (
            Binding(
                id=one.id,
                kind=one.kind,
                provider_id=account.provider_id,
                account_id=account.id,
                owner=None if one.id in unknown else call.owner if one.is_created else bound.made_owner,
                realm=realm,
                created_at=one.created_at,
            )
            for one in seen
            if one.id not in bound.ids or one.id in unknown
        )
        return self._known.learn(bindings, made=made)

    async def wait_for(self, saved: asyncio.Event) -> None:
        await self._known.stored(saved)

    async def _store(self, seen: Sequence[Seen], call: Call, bound: Bound, account: Account) -> None:
        saved = self.learn(seen, call, bound, account) if seen else None
        if saved is not None:
            await self.wait_for(saved)

    def _account_of(self, progress: Progress) -> Account | None:
        return None if progress.account_id is None else self._board.snapshot.accounts.get(progress.account_id)

    def _named(self, bound: Bound) -> list[Seen]:
        """The object whose path it was, unknown till now: it succeeded, so that is here.

        Not what a field named, but for what nobody makes by calls: an upstream passes over a field that it does not
        know, and an id that is yet to be made would be everybody's before.
        """
        return [
            Seen(one.id, one.kind)
            for one in bound.unknown
            if (one is bound.path and not one.is_soft and one.kind != MODELS) or one.kind in MADE_BY_HAND
        ]

    def _located(self, answer: Answer, call: Call) -> list[Seen]:
        if call.endpoint.creates != "realtime_call":
            return []
        location = next((value for name, value in answer.headers if name == b"location"), b"")
        id_ = location.partition(b"?")[0].rstrip(b"/").rpartition(b"/")[2].decode("latin-1")
        return [Seen(id_, LOCATED, is_created=True)] if id_ else []

    def _forget(self, call: Call, bound: Bound) -> None:
        """An object that its own path deleted is gone; what was deleted below it never had a row."""
        path = bound.path
        if call.endpoint.method == "DELETE" and path is not None and is_own_path(call.endpoint.path, path):
            self._known.forget([path.id])


class _StreamLearning:
    """Looks at a stream as it passes."""

    def __init__(self, learning: Learning, call: Call, bound: Bound, account: Account) -> None:
        self._learning = learning
        self._call = call
        self._bound = bound
        self._account = account
        self._splitter: EventSplitter | None = EventSplitter()
        self._events = 0
        self._saved: asyncio.Event | None = None

    def look(self, piece: bytes) -> Work | None:
        """What must be done before the piece goes on."""
        if self._splitter is None or not self._look(piece) or self._saved is None:
            return None
        saved, self._saved = self._saved, None
        return self._learning.wait_for(saved)

    def _look(self, piece: bytes) -> bool:
        """Whether what was learned must be stored before the piece goes on: the stream's end is in it, or past it."""
        splitter, is_end = self._splitter, not piece
        for event in splitter.feed(piece) if splitter is not None and piece else ():
            is_last = any(name in event[:200] for name in LAST_EVENTS) or event.startswith(b"data: [DONE]")
            is_last = is_last or any(name in event for name in MADE_IN_PASSING)
            is_end = is_end or is_last
            if self._events < FIRST_EVENTS or is_last:
                self._events += 1
                self._learn(event)
        if splitter is not None and len(splitter.rest) > MAX_EVENT_BYTES:
            self._splitter = None  # no event of ours is so long
        return is_end

    def _learn(self, event: bytes) -> None:
        data = read_event(event).data
        seen = read_seen(data, self._call, self._bound) if data else []
        self._saved = self._learning.learn(seen, self._call, self._bound, self._account) or self._saved


def makes_nothing(call: Call, bound: Bound) -> bool:
    """Images and sounds made from nothing that lasts: their answers are large, and no object is in them."""
    return call.endpoint.name.startswith(MEDIA) and call.endpoint.creates is None and not bound.ids


def read_seen(body: bytes, call: Call, bound: Bound) -> list[Seen]:
    """The objects in a JSON answer; none in anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return read_objects(value, call.endpoint, keeps_chats=bound.keeps_chats)


def is_own_path(template: str, path: Reference) -> bool:
    """Whether the endpoint's path is the object's own, and not one below it."""
    kind = kind_of_path(template)
    return kind == path.kind and template.count("/") == kind.count("/") + 2


def is_events(answer: Answer) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in answer.headers)
