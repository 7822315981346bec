"""Table `cooldowns`: the parks of 5 s and more, so that they survive a restart."""

from datetime import datetime

from sqlalchemy import DateTime, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, TextColumn, UpdatedAt


class CooldownRow(Base):
    """One `core.parks.Park`. Times are the gateway's wall clock, judged by `now()` of the server."""

    __tablename__ = "cooldowns"
    __table_args__ = (Index(None, "until_at"),)

    scope_kind: Mapped[TextColumn] = mapped_column(primary_key=True)
    holder: Mapped[TextColumn] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(Text, primary_key=True, server_default=text("''"))
    reason: Mapped[TextColumn]
    strikes: Mapped[int] = mapped_column(server_default=text("1"))
    since_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    until_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    probe_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    is_rejected: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[UpdatedAt]
