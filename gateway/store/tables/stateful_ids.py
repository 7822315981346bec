"""Table `stateful_ids`: which account has an object, and whose it is. One row an object; ids are the upstream's."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, TextColumn


class StatefulIdRow(Base):
    """One `core.affinity.Binding`. No foreign keys: a row outlives its account, to say that this is gone."""

    __tablename__ = "stateful_ids"
    __table_args__ = (
        Index(None, "kind", "account_id", "created_at", postgresql_where=text("is_listed")),
        Index(None, "owner", "kind", "account_id", postgresql_where=text("is_listed")),
        Index(None, "stored_at", postgresql_using="brin"),
    )

    id: Mapped[TextColumn] = mapped_column(primary_key=True)
    kind: Mapped[TextColumn]
    """The collection it is read from: `files`, `fine_tuning/jobs`."""
    provider_id: Mapped[TextColumn]
    account_id: Mapped[UUID]
    realm: Mapped[str | None] = mapped_column(Text)
    """Provider, organisation and project of the account, when the project was known."""
    owner: Mapped[str | None] = mapped_column(Text)
    """Of the client key that made it. NULL: everybody's."""
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """As the upstream says, never a guess: cursors of lists are chosen by it. NULL: it has not said so yet."""
    is_listed: Mapped[bool]
    """Some list shows objects of its kind."""
    stored_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
