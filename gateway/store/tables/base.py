"""What all tables share: the metadata, the naming of constraints, and the columns that come again."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import DateTime, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every default is the server's: operators write these tables with plain SQL."""

    metadata = MetaData(naming_convention=NAMING)


TextColumn = Annotated[str, mapped_column(Text)]
JsonList = Annotated[object, mapped_column(JSONB, server_default=text("'[]'::jsonb"))]
JsonObject = Annotated[object, mapped_column(JSONB, server_default=text("'{}'::jsonb"))]
Active = Annotated[bool, mapped_column(server_default=text("true"))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))]
"""The clock, not the transaction's start: rows of one INSERT keep the order in which they were written."""
UpdatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))]
"""Kept by the trigger `touch_updated_at`."""
