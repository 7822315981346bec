"""Table `audit_log`: one row for every change made through the admin API or the command line."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, JsonObject, TextColumn


class AuditRow(Base):
    """Who changed which row, and how."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    actor: Mapped[TextColumn]
    """`admin`, `cli`, `reconcile`: never a token."""
    action: Mapped[TextColumn]
    """`created`, `changed`, `deleted`, …"""
    table_name: Mapped[TextColumn]
    row_id: Mapped[str] = mapped_column(Text, server_default=text("''"))
    changes: Mapped[JsonObject]
    """Column → new value; secrets are left out or masked before they come here."""
