"""Table `providers`: upstream services. Public: operators write it with plain SQL."""

from sqlalchemy import Text, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Active, Base, CreatedAt, JsonList, JsonObject, TextColumn, UpdatedAt


class ProviderRow(Base):
    """One upstream service. No value is constrained here: a row that makes no sense is reported, not refused."""

    __tablename__ = "providers"

    id: Mapped[TextColumn] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, server_default=text("''"))
    base_url: Mapped[TextColumn]
    auth_type: Mapped[str] = mapped_column(Text, server_default=text("'api_key'"))
    """Informative: `api_key`, `oauth`, `none`."""
    auth_strategy: Mapped[str] = mapped_column(Text, server_default=text("'api_key'"))
    kind: Mapped[str] = mapped_column(Text, server_default=text("'openai'"))
    supported_models: Mapped[JsonList]
    """Names or globs; empty means all."""
    settings: Mapped[JsonObject]
    is_active: Mapped[Active]
    managed_by: Mapped[str | None] = mapped_column(Text)
    """`env` or `file`: made from a declaration, and changed or removed with it. NULL: made by people, theirs alone."""
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
