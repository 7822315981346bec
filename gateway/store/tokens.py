"""Access tokens in Postgres: bought by one process, sealed, used by all (decision 0016).

load ──▶ a token that lasts
└─▶ none ─▶ claim ─▶ mine: fetch, save │ another's: look again
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.ids import AccountId, Secret
from gateway.core.snapshot import Account
from gateway.providers.oauth import AccessToken
from gateway.store.cipher import BrokenSeal, Cipher, UnknownKey
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.tables import AccountTokenRow

T = TypeVar("T")

PATIENCE_S = 2.0
"""A call may wait for it: beyond this Postgres counts as gone, and the token is fetched without it."""
STEP_S = 0.1
"""Patience is counted in these: where this process itself stood still, Postgres was not silent for longer than one."""
AWAY_S = 5.0
"""How long after that it is not asked: one fetch is not to wait for it several times."""
_TABLE = AccountTokenRow.__table__.c


class _Sealed(msgspec.Struct, frozen=True):
    access_token: str
    bought_with: str
    """Digest of the grant: after a change of `auth_data` the token is another credential's."""


class TokenTable:
    """Fits `relay.ports.TokenStore`."""

    def __init__(self, engine: AsyncEngine, cipher: Cipher) -> None:
        self._engine = engine
        self._cipher = cipher
        self._away_until = 0.0
        """Monotonic seconds: until then Postgres is not asked again."""

    async def load(self, account: Account) -> AccessToken | None:
        left_s = func.extract("epoch", _TABLE.expires_at - func.clock_timestamp())
        statement = select(_TABLE.sealed, left_s).where(_TABLE.account_id == UUID(account.id), left_s > 0)

        async def work(connection: AsyncConnection) -> AccessToken | None:
            row = (await connection.execute(statement)).first()
            return None if row is None else self._opened(account, row[0], float(row[1]))

        return await self._done(work, None)

    async def claim(self, account_id: AccountId, seconds: float) -> bool:
        until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
        is_free = or_(_TABLE.claimed_until.is_(None), _TABLE.claimed_until < func.clock_timestamp())
        statement = (
            insert(AccountTokenRow)
            .values(account_id=UUID(account_id), claimed_until=until)
            .on_conflict_do_update(index_elements=[_TABLE.account_id], set_={"claimed_until": until}, where=is_free)
            .returning(_TABLE.account_id)
        )

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(statement)).first() is not None

        return await self._done(work, True)  # what the question is answered with when nobody can say

    async def save(self, account: Account, token: AccessToken) -> bool:
        sealed = _Sealed(token.secret.reveal(), self._bought_with(account))
        values = {
            "sealed": self._cipher.seal(msgspec.to_builtins(sealed), _place(account.id)),
            "expires_at": func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, token.lifetime_s),
            "claimed_until": None,
        }
        statement = insert(AccountTokenRow).values(account_id=UUID(account.id), **values)
        statement = statement.on_conflict_do_update(index_elements=[_TABLE.account_id], set_=values)

        async def work(connection: AsyncConnection) -> bool:
            await connection.execute(statement)
            return True

        return await self._done(work, False)

    async def release(self, account_id: AccountId) -> None:
        statement = update(AccountTokenRow).where(_TABLE.account_id == UUID(account_id)).values(claimed_until=None)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._done(work, None)

    def _opened(self, account: Account, sealed: object, left_s: float) -> AccessToken | None:
        """None for what was bought with another credential, or sealed with a key that is no more: it is bought anew."""
        try:
            token = msgspec.convert(self._cipher.open(sealed, _place(account.id)), _Sealed)
        except (UnknownKey, BrokenSeal, msgspec.ValidationError):
            return None
        if token.bought_with != self._bought_with(account):
            return None
        return AccessToken(Secret(token.access_token), left_s)

    def _bought_with(self, account: Account) -> str:
        grant = account.credential.grant
        if grant is None:
            return ""
        secret = grant.client_certificate or grant.client_secret
        parts = (grant.token_url, grant.client_id, secret.reveal(), grant.scope, grant.audience)
        return self._cipher.digest("\n".join(part or "" for part in parts)).hex()

    async def _done(self, work: Callable[[AsyncConnection], Awaitable[T]], otherwise: T) -> T:
        """`otherwise` where Postgres is away or slow, or the account has just been deleted."""
        now = asyncio.get_running_loop().time
        if now() < self._away_until:
            return otherwise
        try:
            return await patiently(self._asked(work), PATIENCE_S)
        except (StoreUnavailable, TimeoutError):
            self._away_until = now() + AWAY_S
        except DBAPIError:
            pass  # its account is gone
        return otherwise

    async def _asked(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with store_errors():
            async with self._engine.begin() as connection:
                return await work(connection)


async def patiently(work: Coroutine[None, None, T], patience_s: float) -> T:
    """What `work` comes to. Time in which this process itself stands still tells nothing of whom it waits for.

    Raises:
        TimeoutError: nothing has come. The work is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(math.ceil(patience_s / STEP_S)):
            await asyncio.wait({task}, timeout=STEP_S)
            if task.done():
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _place(account_id: AccountId) -> str:
    """What a token's seal is bound to, besides `auth_data` of the same account."""
    return f"{account_id}/token"
