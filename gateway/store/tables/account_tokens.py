"""Table `account_tokens`: access tokens that were bought with accounts' client credentials, for all processes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, JsonObject


class AccountTokenRow(Base):
    """One account's. It may be deleted at any time: another token is bought."""

    __tablename__ = "account_tokens"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True
    )
    sealed: Mapped[JsonObject]
    """The token and a digest of what it was bought with, as the envelope of `store/cipher.py`."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """By the server's clock. NULL: there is no token."""
    claimed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until then one process fetches and the others wait. NULL: nobody is at it."""
