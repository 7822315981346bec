"""Table `owed_usage`: what uses tokens after its call, until somebody sees its end. Written by gateways alone."""

from datetime import datetime

from sqlalchemy import DateTime, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, TextColumn


class OwedUsageRow(Base):
    """One `core.owed_usage.OwedUsage`. Whoever deletes the row counts the usage."""

    __tablename__ = "owed_usage"
    __table_args__ = (Index(None, "owed_at", postgresql_using="brin"),)

    id: Mapped[TextColumn] = mapped_column(primary_key=True)
    model: Mapped[str | None] = mapped_column(Text)
    client_key_id: Mapped[str | None] = mapped_column(Text)
    owed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
