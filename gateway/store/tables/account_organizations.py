"""Table `account_organizations`: the organisation that answers named for an account. Written by gateways alone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, TextColumn


class AccountOrganizationRow(Base):
    """One `core.organizations.Membership`."""

    __tablename__ = "account_organizations"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    organization: Mapped[TextColumn]
    is_shared: Mapped[bool | None]
    """Its accounts were found to share their limits; NULL: not known."""
    learned_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
