"""The declared accounts of one provider → rows of `accounts`."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import ProviderId, masked
from gateway.store.auth_data import credential_text, shown_key
from gateway.store.cipher import BrokenSeal, Cipher, UnknownKey, is_sealed
from gateway.store.declarations import DeclaredAccount, Source
from gateway.store.managed import Writer, is_ours, standing
from gateway.store.row_checks import Row
from gateway.store.rows import table_of
from gateway.store.tables import AccountRow

ACCOUNTS = table_of(AccountRow)

_DIGEST_SHOWN = slice(4, 8)
"""Bytes of a digest after the four that name its key: enough to tell two credentials of one mask apart."""


class AccountsOfProvider:
    """The accounts that one provider has, while the declared ones are brought in."""

    def __init__(self, writer: Writer, cipher: Cipher, provider_id: ProviderId, rows: Sequence[Row]) -> None:
        self._writer = writer
        self._cipher = cipher
        self._provider_id = provider_id
        self._rows = list(rows)
        self._labels = {row["label"] for row in rows}
        self._added: set[str] = set()

    async def bring_in(self, account: DeclaredAccount, source: Source) -> UUID | None:
        """The id of the row that stands for `account`; None when it is declared twice."""
        credential = credential_text(account.auth_data)
        if credential is not None and credential in self._added:
            return None
        row = self._row_of(account, source)
        if row is None:
            return await self._add(account, source)
        self._rows.remove(row)
        if is_ours(row, source):
            await self._writer.change(ACCOUNTS, row, self._changes(row, account, source))
        else:
            self._writer.done.kept += 1
        return UUID(str(row["id"]))

    def _row_of(self, account: DeclaredAccount, source: Source) -> Row | None:
        """The row with the same credential; else the managed one of the same label, whose credential was exchanged."""
        credential = credential_text(account.auth_data)
        if credential is not None:
            for row in self._rows:
                if credential_text(self._opened(row)) == credential:
                    return row
        named = (row for row in self._rows if row["label"] == self._label_of(account, source))
        return next((row for row in named if is_ours(row, source)), None)

    async def _add(self, account: DeclaredAccount, source: Source) -> UUID:
        account_id = uuid4()
        values = {
            "id": account_id,
            "provider_id": self._provider_id,
            "label": self._free_label(self._label_of(account, source)),
            **_columns_of(account),
            **self._sealed(account_id, account.auth_data),
            **standing(None, source, is_active=account.is_active),
        }
        await self._writer.add(ACCOUNTS, values)
        self._labels.add(values["label"])
        if (credential := credential_text(account.auth_data)) is not None:
            self._added.add(credential)
        return account_id

    def _changes(self, row: Row, account: DeclaredAccount, source: Source) -> dict[str, object]:
        values = {**_columns_of(account), **standing(row, source, is_active=account.is_active)}
        if account.label is not None and account.label not in self._labels:
            values["label"] = account.label
            self._labels.add(account.label)
        if self._opened(row) != account.auth_data:
            values.update(self._sealed(row["id"], account.auth_data))
        return values

    def _opened(self, row: Row) -> object:
        """None for what cannot be opened: the declared credential takes its place."""
        if not is_sealed(row["auth_data"]):
            return row["auth_data"]
        try:
            return self._cipher.open(row["auth_data"], str(row["id"]))
        except (UnknownKey, BrokenSeal):
            return None

    def _sealed(self, account_id: UUID, auth_data: object) -> dict[str, object]:
        credential = credential_text(auth_data)
        return {
            "auth_data": self._cipher.seal(auth_data, str(account_id)) if auth_data else {},
            "credential_digest": None if credential is None else self._cipher.digest(credential),
        }

    def _label_of(self, account: DeclaredAccount, source: Source) -> str:
        credential = credential_text(account.auth_data)
        if account.label is not None or credential is None:
            return account.label or source.value
        mark = self._cipher.digest(credential)[_DIGEST_SHOWN].hex()
        return f"{source.value} {masked(shown_key(account.auth_data))} {mark}"

    def _free_label(self, label: str) -> str:
        """The label, with a number behind it when somebody has it already."""
        if label not in self._labels:
            return label
        return next(
            other for number in range(2, len(self._labels) + 3) if (other := f"{label} ({number})") not in self._labels
        )


async def load_account_rows(connection: AsyncConnection, provider_id: ProviderId) -> list[Row]:
    statement = select(ACCOUNTS).where(ACCOUNTS.c.provider_id == provider_id).order_by(ACCOUNTS.c.created_at)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


def _columns_of(account: DeclaredAccount) -> dict[str, object]:
    """The columns that are taken over as they are declared."""
    values = msgspec.structs.asdict(account)
    return {name: value for name, value in values.items() if name not in {"auth_data", "label", "is_active"}}
