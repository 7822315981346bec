"""Table `accounts`: identities at providers. Public: operators write it with plain SQL."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Active, Base, CreatedAt, JsonObject, UpdatedAt


class AccountRow(Base):
    """One identity at a provider. It goes with its provider: a credential that nothing can use must not lie around."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("provider_id", "label"), Index(None, "credential_digest"))

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    provider_id: Mapped[str] = mapped_column(Text, ForeignKey("providers.id", ondelete="CASCADE", onupdate="CASCADE"))
    label: Mapped[str] = mapped_column(
        # As Postgres writes it back, so that `alembic check` finds the two the same.
        Text,
        server_default=text("""('account-'::text || "left"((gen_random_uuid())::text, 8))"""),
    )
    auth_data: Mapped[JsonObject]
    """Plain JSON as an operator writes it, or the envelope of `store/cipher.py` once the gateway has sealed it."""
    credential_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Keyed hash of the credential: finds one that is entered twice. Written when the row is sealed, so not unique:
    plain SQL may have brought the same credential in before."""
    quota_group: Mapped[str | None] = mapped_column(Text)
    """Accounts with the same text share their rate limits; NULL: on its own."""
    tier: Mapped[int] = mapped_column(server_default=text("0"))
    weight: Mapped[float] = mapped_column(server_default=text("1"))
    max_concurrency: Mapped[int | None]
    rpm_limit: Mapped[int | None]
    tpm_limit: Mapped[int | None] = mapped_column(BigInteger)
    supported_models: Mapped[object | None] = mapped_column(JSONB)
    """Names or globs; NULL: the provider's."""
    extra: Mapped[JsonObject] = mapped_column("metadata")
    """Column `metadata`; the attribute has another name because SQLAlchemy keeps that one for itself."""
    is_active: Mapped[Active]
    managed_by: Mapped[str | None] = mapped_column(Text)
    """As `providers.managed_by`."""
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
