"""The public tables → one `Snapshot`. A row that makes no sense is left out and reported; it never stops the others."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import ProviderId
from gateway.core.parks import MARK_BYTES
from gateway.core.snapshot import Account, ClientKey, Credential, Provider, Route, RowProblem, Snapshot, build_snapshot
from gateway.store.auth_data import credential_text
from gateway.store.cipher import BrokenSeal, Cipher, UnknownKey, is_sealed
from gateway.store.row_checks import (
    Row,
    RowRefused,
    account_doubts,
    account_of,
    is_retired,
    key_of,
    provider_doubts,
    provider_of,
    route_of,
)
from gateway.store.tables import AccountRow, Base, ClientKeyRow, ModelRouteRow, ProviderRow

T = TypeVar("T")


class UnsealedRow(NamedTuple):
    """An account whose `auth_data` is to be sealed."""

    id: str
    stored: object
    """What the column holds: plain JSON, or an envelope under an older key."""
    auth_data: object
    """The same, opened."""

    def __repr__(self) -> str:
        return f"UnsealedRow({self.id!r}, ***)"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What one reading of the tables gave."""

    snapshot: Snapshot
    plain: tuple[UnsealedRow, ...] = ()
    """Rows to seal, as somebody wrote them: also of inactive accounts and of those that were refused."""
    stale: tuple[UnsealedRow, ...] = ()
    """Rows sealed or digested with a key that is no longer the first."""


class Tables(NamedTuple):
    """All rows of the four tables, each in the order in which they were written."""

    providers: Sequence[Row]
    accounts: Sequence[Row]
    routes: Sequence[Row]
    keys: Sequence[Row]


class _Reading:
    """What one reading finds on its way: problems, and rows to seal."""

    def __init__(self, cipher: Cipher) -> None:
        self.cipher = cipher
        self.problems: list[RowProblem] = []
        self.plain: list[UnsealedRow] = []
        self.stale: list[UnsealedRow] = []

    def kept(self, table: str, rows: Iterable[Row], read: Callable[[Row], T]) -> Iterator[tuple[Row, T]]:
        """The rows that `read` does not refuse, each with what it made of them."""
        for row in rows:
            try:
                value = read(row)
            except RowRefused as refused:
                self.problems.append(RowProblem(table, str(row["id"]), str(refused)))
                continue
            yield row, value

    def mark_of(self, auth_data: object) -> str | None:
        """By which other processes know the credential."""
        text = credential_text(auth_data)
        return None if text is None else self.cipher.digest(text)[:MARK_BYTES].hex()

    def doubt(self, table: str, row: Row, messages: Iterable[str]) -> None:
        self.problems.extend(RowProblem(table, str(row["id"]), message, is_skipped=False) for message in messages)

    def opened(self, row: Row) -> object:
        """`auth_data` in plain; remembers the row if it is to be sealed. Raises RowRefused."""
        stored, account_id = row["auth_data"], str(row["id"])
        if not is_sealed(stored):
            if stored:  # {} and null hold no secret
                self.plain.append(UnsealedRow(account_id, stored, stored))
            return stored
        try:
            auth_data = self.cipher.open(stored, account_id)
        except (UnknownKey, BrokenSeal) as error:
            raise RowRefused(f"auth_data cannot be opened: {error}") from error
        text = credential_text(auth_data)
        digest = None if text is None else self.cipher.digest(text)
        if self.cipher.needs_sealing(stored) or digest != row["credential_digest"]:
            self.stale.append(UnsealedRow(account_id, stored, auth_data))
        return auth_data


async def load_snapshot(
    connection: AsyncConnection,
    *,
    version: int,
    cipher: Cipher,
    kinds: frozenset[str],
    default_provider: ProviderId | None = None,
) -> Loaded:
    """Reads all four tables. `kinds` are the provider kinds that this release has code for."""
    tables = Tables(
        providers=await _rows(connection, ProviderRow),
        accounts=await _rows(connection, AccountRow),
        routes=await _rows(connection, ModelRouteRow),
        keys=await _rows(connection, ClientKeyRow),
    )
    # Some ms of CPU for some hundred accounts: the calls in flight should not wait for it.
    return await asyncio.to_thread(
        read_tables, tables, version=version, cipher=cipher, kinds=kinds, default_provider=default_provider
    )


def read_tables(
    tables: Tables,
    *,
    version: int,
    cipher: Cipher,
    kinds: frozenset[str],
    default_provider: ProviderId | None = None,
) -> Loaded:
    """The pure part of `load_snapshot`."""
    reading = _Reading(cipher)
    providers = _providers(reading, tables.providers, kinds)
    resting = frozenset(row["id"] for row in tables.providers if is_retired(row) and not row["is_active"])
    accounts = _accounts(reading, tables.accounts, providers, resting)
    routes = _routes(reading, tables.routes)
    keys = _keys(reading, tables.keys)
    if default_provider is not None and default_provider not in providers:
        message = "the setting default_provider names it, but it is not an active provider"
        reading.problems.append(RowProblem("providers", default_provider, message, is_skipped=False))
    snapshot = build_snapshot(
        version=version,
        providers=providers.values(),
        accounts=accounts,
        routes=routes,
        keys=keys,
        problems=reading.problems,
        default_provider=default_provider,
    )
    return Loaded(snapshot=snapshot, plain=tuple(reading.plain), stale=tuple(reading.stale))


def _providers(reading: _Reading, rows: Sequence[Row], kinds: frozenset[str]) -> dict[ProviderId, Provider]:
    kept: dict[ProviderId, Provider] = {}
    active = (row for row in rows if row["is_active"])
    for row, provider in reading.kept("providers", active, lambda row: provider_of(row, kinds)):
        kept[provider.id] = provider
        reading.doubt("providers", row, provider_doubts(row, provider))
    return kept


def _accounts(
    reading: _Reading, rows: Sequence[Row], providers: dict[ProviderId, Provider], resting: frozenset[str]
) -> list[Account]:
    """`resting`: providers that rest only because nobody declares them any more."""

    def read(row: Row) -> Account | None:
        auth_data = reading.opened(row)
        if not row["is_active"]:
            return None
        if row["provider_id"] in resting:
            raise RowRefused(
                "provider_id names a provider that rests since it is no longer declared: "
                "set is_active of the provider to true"
            )
        provider = providers.get(ProviderId(row["provider_id"]))
        if provider is None:
            return None
        is_exact = provider.settings.exact_base_url
        account = account_of(row, auth_data, provider.auth_strategy, has_exact_url=is_exact)
        return msgspec.structs.replace(account, credential_mark=reading.mark_of(auth_data))

    kept: list[Account] = []
    for row, account in reading.kept("accounts", rows, read):
        if account is not None:
            kept.append(account)
            reading.doubt("accounts", row, account_doubts(row))
    reading.problems.extend(_shared_credentials(kept))
    return kept


def _shared_credentials(accounts: Sequence[Account]) -> Iterator[RowProblem]:
    """Two accounts with one credential share their limits without knowing it."""
    first: dict[tuple[ProviderId, Credential], Account] = {}
    for account in accounts:
        credential = account.credential
        if not credential.secret and credential.grant is None:
            continue
        same = msgspec.structs.replace(credential, header=None)
        earlier = first.setdefault((account.provider_id, same), account)
        if earlier is not account:
            message = f"auth_data holds the same credential as account {earlier.id}: delete one of the two"
            yield RowProblem("accounts", account.id, message, is_skipped=False)


def _routes(reading: _Reading, rows: Sequence[Row]) -> list[Route]:
    active = (row for row in rows if row["is_active"])
    return [route for _, route in reading.kept("model_routes", active, route_of)]


def _keys(reading: _Reading, rows: Sequence[Row]) -> list[ClientKey]:
    def read(row: Row) -> ClientKey:
        if not reading.cipher.knows_digest(row["digest"]):
            raise RowRefused("digest was made with an encryption key that is not configured: the key must be made anew")
        return key_of(row)

    usable = (row for row in rows if row["is_active"] and row["revoked_at"] is None)
    return [key for _, key in reading.kept("client_keys", usable, read)]


async def _rows(connection: AsyncConnection, table: type[Base]) -> list[Row]:
    """All rows in the order in which they were written."""
    columns = table.__table__.c
    result = await connection.execute(select(*columns).order_by(columns.created_at, columns.id))
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]
