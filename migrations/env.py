"""Runs migrations on the connection that `gateway/store/migrate.py` hands over, or on DATABASE_URL."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from gateway.store.engine import make_engine
from gateway.store.tables import Base


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_on_database_url() -> None:
    """`alembic …` by hand. `make migrate` takes the way through `gateway migrate`, which holds the lock as well."""
    engine = make_engine(os.environ["DATABASE_URL"], 1, statement_timeout_s=0)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(url="postgresql+asyncpg://", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(run_on_database_url())
