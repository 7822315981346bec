"""Outgoing news of health: coalesced, sent within some milliseconds, kept while Postgres is away. Never blocks a call.

    announce() ──► held: the latest news of each scope ──(5 ms)──► NOTIFY to the others ──► the table, if long enough

Rules of this file: `held` is bounded; when it is full the oldest news goes, which the others then learn from their own
refusals. What could not be sent stays held, unless something newer about the scope has come meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Protocol

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.core.outcome import Scope
from gateway.core.parks import Park
from gateway.core.uses import Use
from gateway.notify.connection import Backoff
from gateway.notify.messages import write_messages
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

MAX_HELD = 10_000
SAVED_FROM = timedelta(seconds=5)
"""Shorter parks are over before a restarted process could read them."""
MAX_USES = 1_000
"""Of more scopes that are near their limits so many are told of at a time."""
FLUSH_AFTER_S = 0.005
CLOSE_TIMEOUT_S = 1.0

_log = get_logger()


class Channel(Protocol):
    """Where payloads go out: `PgChannel`."""

    async def send(self, payloads: Sequence[str]) -> bool:
        """False: not now. Never raises."""
        ...

    async def close(self) -> None: ...


class ParkTable(Protocol):
    """Where parks outlive the process: `store.cooldowns.ParkTable`."""

    async def keep(self, parks: Sequence[Park], recovered: Sequence[Scope]) -> bool:
        """Saves the parks and forgets the recovered scopes. False: not now. Never raises."""
        ...

    async def keep_organizations(self, memberships: Sequence[Membership]) -> bool:
        """Saves what was learned of organisations. False: not now. Never raises."""
        ...


class PgAnnouncer:
    """Fits `relay.ports.Announcer`. `run()` as a background task, `close()` after it has ended."""

    def __init__(
        self,
        channel: Channel,
        table: ParkTable,
        *,
        sender: str,
        sleep: Callable[[float], Awaitable[None]],
        max_held: int = MAX_HELD,
    ) -> None:
        """`sender`: this process' name, by which its own listener knows its messages."""
        self.dropped = 0
        """News lost because too many were held."""
        self._channel = channel
        self._table = table
        self._sender = sender
        self._sleep = sleep
        self._max_held = max_held
        self._held: dict[Scope, Park | None] = {}
        """None: the scope serves again. Oldest first."""
        self._uses: dict[Scope, Use] = {}
        """Said once and forgotten: what is told next holds all that was told before."""
        self._memberships: dict[AccountId, Membership] = {}
        """Of at most `core.organizations.MAX_ACCOUNTS` accounts."""
        self._news = asyncio.Event()
        self._backoff = Backoff()

    def announce(self, park: Park) -> None:
        held = self._held.get(park.scope)
        is_shorter = held is not None and held.until_at > park.until_at and not park.is_rejected
        self._hold(park.scope, held if is_shorter else park)

    def announce_recovery(self, scope: Scope) -> None:
        self._hold(scope, None)

    def announce_uses(self, uses: Iterable[Use]) -> None:
        """This process uses these scopes now, near their limits."""
        self._uses |= {use.scope: use for use in islice(uses, MAX_USES - len(self._uses))}
        if self._uses:
            self._news.set()

    def announce_organizations(self, memberships: Iterable[Membership]) -> None:
        """Answers told to which organisations these accounts belong, or that they share its limits."""
        self._memberships |= {one.account_id: one for one in memberships}
        self._news.set()

    async def run(self) -> None:
        """Forever; ends by cancellation."""
        while True:
            await self._news.wait()
            await self._sleep(FLUSH_AFTER_S)
            if await self._flush():
                self._backoff.reset()
                continue
            pause_s = self._backoff.next_s()
            _log.warning(Event.ANNOUNCEMENT_FAILED, held=len(self._held), next_try_s=pause_s)
            await self._sleep(pause_s)

    async def close(self) -> None:
        """Sends what is still held, if that goes within a second."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self._held:
                    await self._flush()
        except TimeoutError:
            _log.warning(Event.ANNOUNCEMENT_FAILED, held=len(self._held), error="closed before it was sent")
        finally:
            await self._channel.close()

    def _hold(self, scope: Scope, news: Park | None) -> None:
        self._held.pop(scope, None)  # what is news again goes to the end
        self._held[scope] = news
        if len(self._held) > self._max_held:
            del self._held[next(iter(self._held))]
            self.dropped += 1
        self._news.set()

    async def _flush(self) -> bool:
        """Whether all that was held went out; else it is held again."""
        batch, self._held = self._held, {}
        self._news.clear()
        is_done = False
        try:
            is_done = await self._send(batch)
        finally:  # also when we are cancelled here: `close` tries once more
            if not is_done:
                self._hold_again(batch)
        return is_done

    async def _send(self, batch: dict[Scope, Park | None]) -> bool:
        parks = [park for park in batch.values() if park is not None]
        recovered = [scope for scope, park in batch.items() if park is None]
        uses, self._uses = self._uses, {}
        lasting = [park for park in parks if park.is_rejected or park.until_at - park.since_at >= SAVED_FROM]
        if not await self._channel.send(
            write_messages(self._sender, parks=parks, recoveries=recovered, uses=tuple(uses.values()))
        ):
            return False
        if (lasting or recovered) and not await self._table.keep(lasting, recovered):
            return False
        return await self._send_organizations()

    async def _send_organizations(self) -> bool:
        memberships, self._memberships = self._memberships, {}
        some = tuple(memberships.values())
        if not some:
            return True
        is_sent = await self._channel.send(write_messages(self._sender, organizations=some))
        if is_sent and await self._table.keep_organizations(some):
            return True
        self._memberships = memberships | self._memberships
        return False

    def _hold_again(self, batch: dict[Scope, Park | None]) -> None:
        newer, self._held = self._held, {}
        for scope, news in (batch | newer).items():
            self._hold(scope, news)
