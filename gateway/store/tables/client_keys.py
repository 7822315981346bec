"""Table `client_keys`: what callers present to us. Only keyed hashes of the keys are here."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Numeric, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Active, Base, CreatedAt, JsonList, JsonObject, UpdatedAt


class ClientKeyRow(Base):
    """One client key. Revoking sets `revoked_at`; the row stays, because ids and usage belong to its owner."""

    __tablename__ = "client_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    name: Mapped[str] = mapped_column(Text, server_default=text("''"))
    owner: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """Who the stateful ids belong to. Empty: the key is its own owner."""
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    """`Cipher.digest` of the whole key text."""
    hint: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """How the key is shown to people: `gw-…abcd`."""
    models: Mapped[JsonList]
    """Names or globs; empty means all."""
    rpm: Mapped[int | None]
    tpm: Mapped[int | None] = mapped_column(BigInteger)
    max_concurrency: Mapped[int | None]
    budget_usd: Mapped[Decimal | None] = mapped_column(Numeric(16, 6))
    budget_period: Mapped[str | None] = mapped_column(Text)
    """`day`, `week` or `month`."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    extra: Mapped[JsonObject] = mapped_column("metadata")
    """Column `metadata`; the attribute has another name because SQLAlchemy keeps that one for itself."""
    is_active: Mapped[Active]
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
