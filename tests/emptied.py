"""Databases for tests: made once from the migrated template, emptied after each use, and used again.

Making one costs the server 100 ms of CPU and more where the disk is busy, emptying one 5 ms: the connection that does
it stays, for a new one would get to know all the tables anew, for 10 ms. A database that cannot be made as good as new
(its structure was changed, it has grown, somebody holds on to it) is dropped, and the next test gets a new one.
"""

import uuid
from io import BytesIO
from urllib.parse import urlsplit

import asyncpg

from tests.databases import sibling_url

MAX_TABLE_BYTES = 1024 * 1024
"""Of a table after a test; a larger one would make later tests slow, for rows that were deleted are still there."""
USER_OIDS = 16384
"""Postgres gives what people create an oid from here on."""
STRUCTURE = f"""
    SELECT md5(jsonb_build_array(
        (SELECT array_agg((c.oid, c.xmin) ORDER BY c.oid) FROM pg_class c WHERE c.oid >= {USER_OIDS}),
        (SELECT array_agg((a.attrelid, a.attnum, a.xmin) ORDER BY a.attrelid, a.attnum) FROM pg_attribute a
         WHERE a.attrelid >= {USER_OIDS} AND a.attnum > 0),
        (SELECT array_agg((p.oid, p.xmin) ORDER BY p.oid) FROM pg_proc p WHERE p.oid >= {USER_OIDS}),
        (SELECT array_agg((t.oid, t.xmin) ORDER BY t.oid) FROM pg_trigger t),
        (SELECT array_agg((o.oid, o.xmin) ORDER BY o.oid) FROM pg_constraint o WHERE o.oid >= {USER_OIDS}),
        (SELECT array_agg((n.oid, n.xmin) ORDER BY n.oid) FROM pg_namespace n WHERE n.oid >= {USER_OIDS}),
        (SELECT array_agg(s.setconfig) FROM pg_db_role_setting s
         JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database())
    )::text)
"""  # noqa: S608  # a number of ours
"""Which tables, columns, functions, triggers and settings there are, and which transaction wrote each last.

Any change of the structure gives another value; rows that come and go do not.
"""
LARGEST = f"SELECT coalesce(max(pg_table_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND oid >= {USER_OIDS}"  # noqa: S608  # a number of ours
OTHERS_END = """
    SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
SEQUENCES = "SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'public'"
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a connection says that was ended from outside, or a database that is gone."""


class AsNew:
    """What a database is like that was just made from the template."""

    def __init__(self, tables: list[str], sequences: list[str], seeds: dict[str, bytes]) -> None:
        clear = [f"DELETE FROM {table}" for table in tables]  # noqa: S608  # names of our own tables
        restart = [f"SELECT setval('{sequence}', 1, false)" for sequence in sequences]  # the same
        self.clear = "; ".join([*clear, *restart])
        self.seeds = seeds
        """Table → its rows, as COPY writes them."""


async def read_as_new(connection: "asyncpg.Connection[asyncpg.Record]") -> AsNew:
    tables = [row[0] for row in await connection.fetch(TABLES)]
    sequences = [row[0] for row in await connection.fetch(SEQUENCES)]
    seeds = {}
    for table in tables:
        rows = BytesIO()
        await connection.copy_from_table(table, output=rows)
        if rows.getvalue():
            seeds[table] = rows.getvalue()
    return AsNew(tables, sequences, seeds)


class Databases:
    """Those of one server. Each is one test's at a time."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[str] = []
        self._structures: dict[str, str] = {}
        """Name → the structure it was made with."""
        self._connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        self._as_new: AsNew | None = None

    async def take(self) -> str:
        """The URL of a database like the template."""
        if self._free:
            return sibling_url(self._server_url, self._free.pop())
        name = await create_database(self._server_url, template=self._template)
        url = sibling_url(self._server_url, name)
        connection = await self._connection(url, name)
        self._structures[name] = await connection.fetchval(STRUCTURE)
        self._as_new = self._as_new or await read_as_new(connection)
        return url

    async def give_back(self, url: str) -> None:
        """Whatever its test did to it, it is as good as new afterwards, or gone."""
        name = _name_of(url)
        if await self._is_emptied(url, name):
            self._free.append(name)
        else:
            await self._drop(name)

    async def close(self) -> None:
        for name in list(self._structures):
            await self._drop(name)

    async def opened(self, url: str) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection to a database that was taken, to write what a test needs; it is not the test's to close."""
        return await self._connection(url, _name_of(url))

    async def _drop(self, name: str) -> None:
        del self._structures[name]
        if name in self._connections:
            self._connections.pop(name).terminate()
        await drop_database(self._server_url, name)

    async def _connection(self, url: str, name: str) -> "asyncpg.Connection[asyncpg.Record]":
        """The one that stays, as if new, or another where a test has ended it."""
        if (kept := self._connections.get(name)) is not None:
            try:
                await kept.reset()
            except LOST:
                kept.terminate()
            else:
                return kept
        made = self._connections[name] = await asyncpg.connect(url)
        return made

    async def _is_emptied(self, url: str, name: str) -> bool:
        assert self._as_new is not None
        try:
            connection = await self._connection(url, name)
            await connection.execute(OTHERS_END)
            if await connection.fetchval(STRUCTURE) != self._structures[name]:
                return False
            if await connection.fetchval(LARGEST) > MAX_TABLE_BYTES:
                return False
            async with connection.transaction():
                await connection.execute(f"SET LOCAL session_replication_role = replica; {self._as_new.clear}")
                for table, rows in self._as_new.seeds.items():
                    await connection.copy_to_table(table, source=BytesIO(rows))
        except LOST:
            return False  # or an old server, or a role that may not do that
        return True


def _name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def create_database(server_url: str, *, template: str = "template0") -> str:
    name = f"gw_test_{uuid.uuid4().hex[:16]}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
    return name


async def drop_database(server_url: str, name: str) -> None:
    await _execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _execute(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
