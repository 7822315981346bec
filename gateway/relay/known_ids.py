"""What this worker knows of stateful ids: a bounded memory in front of the table, and a queue of what the table lacks.

    learn() ──► held ──► the table, in batches ──► memory ──► stored() returns     (what was made: memory at once)
    find()  ──► memory ──► one SELECT for the rest ──► held

Rules of this file: the memory is bounded, the oldest look-up goes first; so is `held`, whose oldest goes when Postgres
is away for too long: the id is then unknown after a restart, and looked for upstream. An id's owner never changes, and
the table says who it is: answers repeat what callers wrote, so an id that one shows may be another caller's.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from gateway.core.affinity import Binding
from gateway.relay.ports import Clock, IdStore
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

MAX_KNOWN = 20_000
"""Some 500 bytes each."""
MAX_HELD = 100_000
"""Of a worker while Postgres is away: some minutes of a busy one."""
STORED_WITHIN_S = 0.1
"""How long an answer waits for its ids to be stored (SPEC §6)."""
FIND_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
RETRY_S = 1.0

_log = get_logger()


def _says_no_more(binding: Binding, known: Binding) -> bool:
    is_known_time = binding.created_at in {None, known.created_at}
    return is_known_time and binding.account_id == known.account_id and binding.kind == known.kind


class KnownIds:
    """One per worker. `run()` as a background task, `close()` after it has ended."""

    def __init__(self, store: IdStore, *, clock: Clock, max_known: int = MAX_KNOWN, max_held: int = MAX_HELD) -> None:
        self._store = store
        self._clock = clock
        self._max_known = max_known
        self._max_held = max_held
        self._known: dict[str, Binding] = {}
        """Least recently used first."""
        self._held: dict[str, Binding | None] = {}
        """None: to be forgotten."""
        self._saved = asyncio.Event()
        """Of what is learned now: set after the next write."""
        self._news = asyncio.Event()
        self.is_away = False
        """The last write failed: nobody waits for the next one."""
        self.dropped = 0

    # -- looking up ----------------------------------------------------------------------------------------------

    def get(self, id_: str) -> Binding | None:
        """What the memory has, and else what was learned and is not stored yet."""
        return self._remembered(id_) or self._held.get(id_)

    async def find(self, ids: Collection[str]) -> tuple[dict[str, Binding], bool]:
        """Those that are known, and whether that is certain: False when Postgres could not be asked for the rest."""
        found = {id_: binding for id_ in ids if (binding := self._remembered(id_)) is not None}
        held = {id_: self._held[id_] for id_ in ids if id_ not in found and id_ in self._held}
        missing = [id_ for id_ in ids if id_ not in found and (id_ not in held or self._may_be_others(held[id_]))]
        rows = await self._asked(missing) if missing else []
        for row in rows or ():
            found[row.id] = row
            self._remember(row)
        found |= {id_: binding for id_, binding in held.items() if id_ not in found and binding is not None}
        return found, rows is not None

    def _may_be_others(self, held: Binding | None) -> bool:
        """What is to be forgotten is nobody's; with Postgres away there is nobody to ask."""
        return held is not None and not self.is_away

    async def _asked(self, ids: list[str]) -> list[Binding] | None:
        try:
            async with asyncio.timeout(FIND_TIMEOUT_S):
                return await self._store.find(ids)
        except TimeoutError:
            return None

    # -- learning ------------------------------------------------------------------------------------------------

    def learn(self, bindings: Iterable[Binding], *, made: Collection[str] = ()) -> asyncio.Event | None:
        """Takes what is new. What `stored` waits for; None: nothing was.

        `made`: ids that did not exist before, so that the table can know no other owner for them.
        """
        is_new = False
        for binding in bindings:
            known = self.get(binding.id)
            if known is not None and (known.owner != binding.owner or _says_no_more(binding, known)):
                continue
            if binding.id in made:
                self._remember(binding)
            self._hold(binding.id, binding)
            is_new = True
        return self._saved if is_new else None

    def forget(self, ids: Iterable[str]) -> None:
        """They were deleted upstream."""
        for id_ in ids:
            self._known.pop(id_, None)
            self._hold(id_, None)

    async def stored(self, saved: asyncio.Event) -> None:
        """Returns once what `learn` took is in the table: 100 ms at most, at once when Postgres is away."""
        if self.is_away or saved.is_set():
            return
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                await saved.wait()
        except TimeoutError:
            return

    def _remembered(self, id_: str) -> Binding | None:
        binding = self._known.pop(id_, None)
        if binding is not None:
            self._known[id_] = binding
        return binding

    def _remember(self, binding: Binding) -> None:
        self._known.pop(binding.id, None)
        self._known[binding.id] = binding
        if len(self._known) > self._max_known:
            del self._known[next(iter(self._known))]

    def _hold(self, id_: str, binding: Binding | None) -> None:
        self._held.pop(id_, None)
        self._held[id_] = binding
        if len(self._held) > self._max_held:
            del self._held[next(iter(self._held))]
            self.dropped += 1
        self._news.set()

    # -- storing -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Forever; ends by cancellation. What comes while a batch is written is the next batch."""
        while True:
            await self._news.wait()
            if await self._flush():
                continue
            _log.warning(Event.IDS_SAVE_FAILED, held=len(self._held), dropped=self.dropped, next_try_s=RETRY_S)
            await self._clock.sleep(RETRY_S)
            self._news.set()

    async def close(self) -> None:
        """Stores what is still held, if that goes within a second."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._held and await self._flush():
                    pass
        except TimeoutError:
            pass
        if self._held:
            _log.warning(Event.IDS_SAVE_FAILED, held=len(self._held), dropped=self.dropped)

    async def _flush(self) -> bool:
        batch, saved = dict(self._held), self._saved
        self._saved = asyncio.Event()
        self._news.clear()
        bindings = [binding for binding in batch.values() if binding is not None]
        forgotten = [id_ for id_, binding in batch.items() if binding is None]
        try:
            others = await self._store.save(bindings, forgotten) if batch else frozenset[str]()
            if others is not None:
                self._is_stored(batch, others)
        finally:
            saved.set()  # whoever waits goes on: stored, or held to follow later
        self.is_away = others is None
        return others is not None

    def _is_stored(self, batch: Mapping[str, Binding | None], others: Collection[str]) -> None:
        """`others`: those of the batch that the table knows to be somebody else's."""
        for id_, binding in batch.items():
            if id_ in self._held and self._held[id_] is binding:  # nothing newer has come meanwhile
                del self._held[id_]
                if binding is not None and id_ not in others:
                    self._remember(binding)
