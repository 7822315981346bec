"""A relay with ids around it, for tests of what they do together."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import msgspec
import pytest

from gateway.core.affinity import Binding, Bound, Reference
from gateway.core.call import Call
from gateway.core.ids import AccountId, CallId, ProviderId
from gateway.core.snapshot import Account
from gateway.relay.affinity import Affinity
from gateway.relay.answer import Answer
from gateway.relay.batch_uploads import BatchUploads
from gateway.relay.id_search import IdSearch
from gateway.relay.job import Job
from gateway.relay.known_ids import KnownIds
from gateway.relay.learning import Learning
from gateway.relay.lists import Lists
from gateway.relay.metering import Progress
from gateway.relay.owed import Owed
from gateway.relay.settling import Settling
from gateway.relay.stateful import StatefulRelay
from gateway.telemetry.events import CallRecord
from gateway.wire.acting import as_creating
from gateway.wire.endpoints import find
from gateway.wire.references import references_of
from tests.fakes.id_store import MemoryIds
from tests.fakes.owed_store import MemoryOwed
from tests.fakes.relay_kit import RelayKit, refusal
from tests.fakes.upload_store import MemoryUploads

AT = datetime(2026, 11, 21, tzinfo=UTC)
FILE = Reference("file-1", "files", "input_file_id")
PATH = Reference("file-1", "files")
MADE = b'{"id":"file-1","object":"file","created_at":1700000000}'
NOT_HERE = refusal(404, "No such File object")
RUNNING: list["asyncio.Task[None]"] = []
"""Writers of the worlds of one test."""


@pytest.fixture
async def ended_writers() -> AsyncIterator[None]:
    yield
    for task in RUNNING:
        task.cancel()
    await asyncio.gather(*RUNNING, return_exceptions=True)
    RUNNING.clear()


class World:
    """A relay with ids around it; `ann` calls, unless said otherwise."""

    def __init__(self, *accounts: str | Account, is_shared: bool = True) -> None:
        self.kit = kit = RelayKit(*(accounts or ("a", "b")))
        self.store = MemoryIds()
        self.owed = MemoryOwed()
        self.progress: Progress
        """Of the last call that was served."""
        self.store.accounts = set(kit.board.snapshot.accounts)
        self.known = KnownIds(self.store, clock=kit.clock)
        search = IdSearch(asking=kit.asking, clock=kit.clock)
        self.affinity = Affinity(
            board=kit.board, known=self.known, store=self.store, search=search, is_shared=is_shared
        )
        lists = Lists(
            board=kit.board,
            affinity=self.affinity,
            known=self.known,
            store=self.store,
            relay=kit.relay.relay_call,
        )
        learning = Learning(board=kit.board, known=self.known)
        RUNNING.append(asyncio.create_task(self.known.run()))
        self.relay = StatefulRelay(
            relay=kit.relay,
            lists=lists,
            learning=learning,
            settling=Settling(Owed(self.owed)),
            uploads=BatchUploads(MemoryUploads()),
            board=kit.board,
            clock=kit.clock,
            rng=Random(1),
        )

    def has(self, id_: str, account_id: str = "a", *, owner: str | None = "ann", kind: str = "files") -> None:
        self.known.learn(
            [
                Binding(
                    id=id_,
                    kind=kind,
                    provider_id=ProviderId("openai"),
                    account_id=AccountId(account_id),
                    owner=owner,
                    realm=None,
                    created_at=AT,
                )
            ]
        )

    def call(self, path: str, method: str = "POST", owner: str | None = "ann", **fields: object) -> Call:
        endpoint = find(method, path)
        assert endpoint is not None
        return Call(id=CallId("c"), endpoint=endpoint, path=path, owner=owner, **fields)

    async def bind(
        self, *named: Reference, path: Reference | None = None, owner: str | None = "ann", **fields: object
    ) -> tuple[Call, Bound]:
        call = self.call("/batches", owner=owner, **fields)
        return await self.kit.finished(self.affinity.bind(call, path, named))

    async def served(self, call: Call, body: bytes = b"{}") -> Answer:
        """The call from its reading to its answer."""
        fields = msgspec.json.decode(body)
        named = references_of(call, fields)
        call = msgspec.structs.replace(call, is_stream=fields.get("stream") is True)
        if fields.get("background") is True:
            call = msgspec.structs.replace(call, endpoint=as_creating(call.endpoint))
        call, bound = await self.kit.finished(
            self.affinity.bind(call, named.path, named.others, keeps_chats=named.keeps_chats)
        )
        progress = self.progress = Progress(call, self.kit.meter, self.kit.clock, self.kit.clock.now())
        job = Job(call, self.kit.board.pools.pool_for(call), (), body, progress, body, bound=bound)
        return await self.kit.finished(self.relay.relay_call(job))

    async def ended(self, call: Call, body: bytes = b"{}") -> CallRecord:
        """What is told of the call once its answer was taken as a whole."""
        answer = await self.served(call, body)
        if answer.coming is not None:
            while await self.kit.finished(answer.coming.next_piece()):
                pass
            await answer.coming.close()
        else:
            self.progress.sent_whole(len(answer.body))
            self.progress.finish(answer.outcome, answer.status)
        return self.kit.meter.calls[-1]

    async def settled(self) -> None:
        """What was learned is in the table."""
        await self.kit.clock.settle()
