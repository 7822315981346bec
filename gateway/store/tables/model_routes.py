"""Table `model_routes`: which provider serves a model. Public: operators write it with plain SQL."""

from uuid import UUID

from sqlalchemy import Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Active, Base, CreatedAt, JsonList, TextColumn, UpdatedAt


class ModelRouteRow(Base):
    """Pattern → provider. No foreign key: the seeded routes name providers that need not exist yet.

    Patterns may come more than once: the higher priority goes first, and the seeded rows have -100.
    """

    __tablename__ = "model_routes"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    pattern: Mapped[TextColumn]
    """A model's name, or a prefix that ends in `*`. Case does not matter."""
    provider_id: Mapped[TextColumn]
    upstream_model: Mapped[str | None] = mapped_column(Text)
    """What the upstream calls the model; NULL: as the caller wrote it."""
    fallbacks: Mapped[JsonList]
    """Models to try when every account of this one has failed."""
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[Active]
    managed_by: Mapped[str | None] = mapped_column(Text)
    """As `providers.managed_by`; `seed`: made by a migration."""
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
