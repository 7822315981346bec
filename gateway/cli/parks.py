"""Rests of accounts, read from the table `cooldowns` (those of 5 s and more), and how a command ends them."""

import os
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.outcome import ScopeKind
from gateway.core.parks import Park
from gateway.notify.channel import PgChannel
from gateway.notify.listener import HEALTH_CHANNEL
from gateway.notify.messages import write_messages
from gateway.store.accounts import AccountRecord
from gateway.store.cooldowns import forget_parks, load_parks

WHOLE = frozenset({ScopeKind.ACCOUNT, ScopeKind.HOLDER})
"""Scopes that rest an account for every model."""


def holders_of(account: AccountRecord) -> frozenset[str]:
    """The account itself, and the quota group whose limits it shares."""
    group = account.quota_group
    return frozenset({str(account.id), *({f"group:{account.provider_id}:{group}"} if group else ())})


def parks_of(account: AccountRecord, parks: Iterable[Park]) -> list[Park]:
    holders = holders_of(account)
    return [park for park in parks if park.scope.holder in holders]


def worst_of(parks: Iterable[Park]) -> Park | None:
    """The one that lasts longest; None when nothing rests."""
    return max(parks, key=lambda park: (park.is_rejected, park.until_at), default=None)


async def lift_parks(connection: AsyncConnection, dsn: str, account: AccountRecord) -> int:
    """Ends every rest of the account and its quota group, in the table and in running gateways. How many there were."""
    scopes = [park.scope for park in parks_of(account, await load_parks(connection))]
    await forget_parks(connection, scopes)
    channel = PgChannel(dsn, HEALTH_CHANNEL)
    try:
        await channel.send(write_messages(f"cli-{os.getpid()}", recoveries=scopes))
    finally:
        await channel.close()
    return len(scopes)
