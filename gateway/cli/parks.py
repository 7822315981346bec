"""Rests of accounts, read from the table `cooldowns` (those of 5 s and more), and how a command ends them."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.core.outcome import ScopeKind
from gateway.core.parks import Park
from gateway.notify.channel import PgChannel
from gateway.notify.listener import HEALTH_CHANNEL
from gateway.notify.messages import write_messages
from gateway.store.accounts import AccountRecord
from gateway.store.cooldowns import forget_parks, load_parks
from gateway.store.organizations import load_organizations

WHOLE = frozenset({ScopeKind.ACCOUNT, ScopeKind.HOLDER})
"""Scopes that rest an account for every model."""
MOST_NAMED = 3
"""Rests of single models in one line of a table; `--json` has all."""


def holders_of(account: AccountRecord, learned: Membership | None = None) -> frozenset[str]:
    """The account itself, and the quota group or the organisation whose limits it shares."""
    group = account.quota_group
    if group:
        return frozenset({str(account.id), f"group:{account.provider_id}:{group}"})
    if learned is not None and learned.is_shared:
        return frozenset({str(account.id), f"organization:{account.provider_id}:{learned.organization}"})
    return frozenset({str(account.id)})


def parks_of(account: AccountRecord, parks: Iterable[Park], learned: Membership | None = None) -> list[Park]:
    holders = holders_of(account, learned)
    return [park for park in parks if park.scope.holder in holders]


def worst_of(parks: Iterable[Park]) -> Park | None:
    """The one that lasts longest; None when nothing rests."""
    return max(parks, key=lambda park: (park.is_rejected, park.until_at), default=None)


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """One rest of an account, as `--json` shows it."""

    scope: str
    """What rests: a model, an endpoint, `account`, `quota group`."""
    is_whole: bool
    """For every model."""
    reason: str
    until_at: datetime | None
    """None: rejected, until it is verified, edited or resumed."""
    strikes: int

    def __str__(self) -> str:
        """`gpt-4: rate_limited until 10:31:02Z`, with the date when that is not today."""
        if self.until_at is None:
            return f"{self.scope}: {self.reason}, rejected"
        is_today = self.until_at.astimezone(UTC).date() == datetime.now(UTC).date()
        time = self.until_at.astimezone(UTC).strftime("%H:%M:%SZ" if is_today else "%Y-%m-%d %H:%M:%SZ")
        return f"{self.scope}: {self.reason} until {time}"


def rests_of(parks: Iterable[Park]) -> list[Rest]:
    """The longest first."""
    ordered = sorted(parks, key=lambda park: (park.is_rejected, park.until_at), reverse=True)
    return [
        Rest(
            scope=scope_text(park),
            is_whole=park.scope.kind in WHOLE,
            reason=park.reason.value,
            until_at=None if park.is_rejected else park.until_at,
            strikes=park.strikes,
        )
        for park in ordered
    ]


def in_words(rests: Sequence[Rest]) -> str:
    """The first few of them, for a table's cell."""
    more = f"; {len(rests) - MOST_NAMED} more" if len(rests) > MOST_NAMED else ""
    return "; ".join(map(str, rests[:MOST_NAMED])) + more


def scope_text(park: Park) -> str:
    if park.scope.what:
        return park.scope.what
    if park.scope.holder.startswith("organization:"):
        return "organisation"
    return "quota group" if park.scope.holder.startswith("group:") else "account"


async def lift_parks(connection: AsyncConnection, dsn: str, account: AccountRecord) -> int:
    """Ends every rest of the account and its quota group, in the table and in running gateways. How many there were."""
    learned = {one.account_id: one for one in await load_organizations(connection)}.get(AccountId(str(account.id)))
    scopes = [park.scope for park in parks_of(account, await load_parks(connection), learned)]
    await forget_parks(connection, scopes)
    channel = PgChannel(dsn, HEALTH_CHANNEL)
    try:
        await channel.send(write_messages(f"cli-{os.getpid()}", recoveries=scopes))
    finally:
        await channel.close()
    return len(scopes)
