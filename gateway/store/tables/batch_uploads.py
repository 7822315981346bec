"""Tables `batch_uploads` and `batch_parts`: batches' files that come in parts. Written by gateways alone."""

from datetime import datetime

from sqlalchemy import DateTime, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.store.tables.base import Base, TextColumn


class BatchUploadRow(Base):
    """An upload (`/v1/uploads`) whose parts are looked into."""

    __tablename__ = "batch_uploads"
    __table_args__ = (Index(None, "begun_at", postgresql_using="brin"),)

    id: Mapped[TextColumn] = mapped_column(primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))


class BatchPartRow(Base):
    """One `core.batch_upload.BatchPart`. Its ends are pieces of callers' prompts: sealed, and gone with the upload."""

    __tablename__ = "batch_parts"
    __table_args__ = (Index(None, "sent_at", postgresql_using="brin"),)

    upload_id: Mapped[TextColumn] = mapped_column(primary_key=True)
    id: Mapped[TextColumn] = mapped_column(primary_key=True)
    first_end: Mapped[bytes] = mapped_column(LargeBinary)
    last_end: Mapped[bytes] = mapped_column(LargeBinary)
    held_bytes: Mapped[int]
    """Of both ends, before they were sealed."""
    lines: Mapped[int]
    has_line_end: Mapped[bool]
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
