"""Finds the account of an id that was made outside of the gateway: asks the accounts for the object, by reading alone.

Rules of this file: once for an id, however many calls name it; eight accounts at a time, one of those that see the
same; who does not have it is believed for a minute, who cannot say is not; a key may not make us search without end.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from gateway.core.affinity import Binding, Reference, realm_of
from gateway.core.call import BodyKind, Endpoint
from gateway.core.errors import LimitReached, NoAccountAvailable
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import Fault, Outcome
from gateway.core.snapshot import Account, Snapshot
from gateway.providers.base import Headers, Limits
from gateway.relay.asking import Asking
from gateway.relay.ports import Clock
from gateway.wire.objects import created_at

READ: Final = Endpoint(name="ids.search", method="GET", path="", body=BodyKind.NONE)
LIMITS: Final = Limits(connect_s=5.0, headers_s=10.0, stall_s=10.0)
AT_A_TIME: Final = 8
MISS_S: Final = 60.0
MAX_MISSES: Final = 10_000
MAX_OBJECT_BYTES: Final = 4 * 1024 * 1024
"""A larger one is there, and that is all we need."""
SEARCHES: Final = 60
"""A key may begin so many at once, and one a second over a long time."""
MAX_CALLERS: Final = 10_000
BETAS: Final[Mapping[str, bytes]] = {
    "assistants": b"assistants=v2",
    "threads": b"assistants=v2",
    "vector_stores": b"assistants=v2",
    "agents": b"agents=v1",
    "vaults": b"agents=v1",
    "chatkit": b"chatkit_beta=v1",
}
"""First segment of a kind → what its reader must say in `OpenAI-Beta`."""


class _Unsure(Exception):
    """The account did not say whether it has the object."""


class IdSearch:
    """One per worker."""

    def __init__(self, *, asking: Asking, clock: Clock) -> None:
        self._asking = asking
        self._clock = clock
        self._misses: dict[tuple[str, str], tuple[Instant, int]] = {}
        """(kind, id) → believed until when, and how many groups were asked. Oldest first."""
        self._running: dict[tuple[str, str], asyncio.Task[Binding | None]] = {}
        self._spent: dict[str, tuple[float, Instant]] = {}
        """Caller → searches spent, and when that was counted."""

    async def find(
        self, reference: Reference, snapshot: Snapshot, groups: Sequence[tuple[AccountId, ...]], caller: str
    ) -> Binding | None:
        """Where the object is, as nobody's; None when none of the groups has it.

        Raises NoAccountAvailable when not all could be asked, LimitReached when `caller` has searched too much.
        """
        key = (reference.kind, reference.id)
        believed_until, asked = self._misses.get(key, (Instant(0.0), 0))
        if self._clock.now() < believed_until and asked >= len(groups):
            return None
        running = self._running.get(key)
        if running is None:
            self._charge(caller)
            running = asyncio.create_task(self._search(reference, snapshot, groups))
            self._running[key] = running
            running.add_done_callback(lambda task: self._ended(key, task))
        return await asyncio.shield(running)

    def _ended(self, key: tuple[str, str], task: "asyncio.Task[Binding | None]") -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # seen, though every caller may have gone by now

    def _charge(self, caller: str) -> None:
        now = self._clock.now()
        spent, at = self._spent.pop(caller, (0.0, now))
        spent = max(spent - (now - at), 0.0) + 1.0
        if spent > SEARCHES:
            self._spent[caller] = (spent - 1.0, now)
            raise LimitReached(
                "Too many unknown ids were looked for with this key. Name ids that were made through this gateway.",
                code="too_many_id_searches",
                retry_after_s=spent - SEARCHES,
            )
        self._spent[caller] = (spent, now)
        if len(self._spent) > MAX_CALLERS:
            del self._spent[next(iter(self._spent))]

    async def _search(
        self, reference: Reference, snapshot: Snapshot, groups: Sequence[tuple[AccountId, ...]]
    ) -> Binding | None:
        is_sure = True
        for start in range(0, len(groups), AT_A_TIME):
            asked = [self._asked(reference, snapshot, group) for group in groups[start : start + AT_A_TIME]]
            for answer in await asyncio.gather(*asked):
                if isinstance(answer, Binding):
                    return answer
                is_sure = is_sure and answer is None
        if not is_sure:
            raise NoAccountAvailable(
                f"`{reference.id[:100]}` was not made through this gateway, and not every account could be asked for "
                "it now. Retry shortly.",
                param=reference.param,
                code="id_search_incomplete",
                retry_after_s=2.0,
            )
        self._misses.pop((reference.kind, reference.id), None)
        self._misses[reference.kind, reference.id] = (Instant(self._clock.now() + MISS_S), len(groups))
        if len(self._misses) > MAX_MISSES:
            del self._misses[next(iter(self._misses))]
        return None

    async def _asked(
        self, reference: Reference, snapshot: Snapshot, group: tuple[AccountId, ...]
    ) -> Binding | _Unsure | None:
        """What the first account of the group says that says anything."""
        for account_id in group[:3]:
            account = snapshot.accounts.get(account_id)
            if account is None:
                continue
            try:
                return await self._read(reference, snapshot, account)
            except _Unsure:
                continue
        return _Unsure()

    async def _read(self, reference: Reference, snapshot: Snapshot, account: Account) -> Binding | None:
        provider = snapshot.providers[account.provider_id]
        destination = await self._asking.destination_of(provider, account, within_s=LIMITS.headers_s)
        if isinstance(destination, Outcome):
            raise _Unsure
        beta = BETAS.get(reference.kind.partition("/")[0])
        path = f"/{reference.kind}/{quote(reference.id, safe='')}"
        headers: Headers = () if beta is None else ((b"openai-beta", beta),)
        answer = await self._asking.ask(provider, destination, READ, limits=LIMITS, path=path, headers=headers)
        if isinstance(answer, Fault):
            raise _Unsure
        try:
            if answer.status in {400, 404, 405, 410, 422}:
                return None
            if not 200 <= answer.status < 300:
                raise _Unsure
            body = await answer.read_all(MAX_OBJECT_BYTES)
        finally:
            answer.close()
        made_at = None if isinstance(body, Fault) else _created_at(body)
        return Binding(
            id=reference.id,
            kind=reference.kind,
            provider_id=provider.id,
            account_id=account.id,
            owner=None,
            realm=realm_of(account),
            created_at=made_at,
        )


def _created_at(body: bytes) -> datetime | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return created_at(value) if isinstance(value, dict) else None
