"""What happens once before anything serves: database, schema, encryption keys, declarations."""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import asyncpg
import msgspec
from alembic.util import CommandError

from gateway.core.ids import Secret
from gateway.declared_settings import declared_in_environment, declared_in_file
from gateway.relay.ports import Clock
from gateway.settings import Settings
from gateway.store.cipher import Cipher, EncryptionKey, InvalidKeys, UnknownKey, parse_keys
from gateway.store.declarations import Reconciled
from gateway.store.declared import reconcile
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.engine import StoreUnavailable, make_engine, plain_dsn, store_errors
from gateway.store.key_file import load_or_create_key_file
from gateway.store.migrate import upgrade
from gateway.store.pg_binaries import PostgresNotFound
from gateway.store.pg_process import PostgresFailed
from gateway.store.sealing import check_keys

OLDEST_POSTGRES = 13
RETRY_S = 0.5
CONNECT_TIMEOUT_S = 5.0

_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # and wrong passwords, a kind of it
    asyncpg.InvalidCatalogNameError,
)
"""What waiting does not mend."""


class StartFailed(Exception):
    """The service cannot start; the message says why and what to set, on one line, with no secret in it."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker is told."""

    dsn: Secret
    listen_dsn: Secret
    encryption_keys: Secret
    """As `parse_keys` reads it."""
    reconciled: Reconciled


def embedded_postgres(settings: Settings) -> EmbeddedPostgres | None:
    """The embedded server's owner, not yet started; None where DATABASE_URL names another server."""
    return None if settings.database_url else EmbeddedPostgres(settings.home / "postgres")


def start_embedded(server: EmbeddedPostgres) -> str:
    """Its DSN, once it accepts connections. From the main thread only.

    Raises:
        StartFailed: it does not start.
    """
    try:
        return server.start()
    except (PostgresFailed, PostgresNotFound) as error:
        raise StartFailed(str(error)) from error


@contextlib.contextmanager
def opened_database(settings: Settings) -> Iterator[str]:
    """For one command: the DSN of the database in use, the embedded server started for as long if nobody runs it.

    Raises:
        StartFailed: the embedded server does not start.
    """
    server = embedded_postgres(settings)
    if server is None:
        yield plain_dsn(settings.database_url.reveal()) if settings.database_url else ""
        return
    try:
        yield start_embedded(server)
    finally:
        server.stop()


async def prepare(settings: Settings, dsn: str, clock: Clock, tell: Callable[[str], None]) -> Prepared:
    """Brings the database at `dsn` to what this release and the settings want. `tell` is for a person who waits.

    Raises:
        StartFailed: with what to do about it.
    """
    await wait_for_database(dsn, settings.database.wait_s, clock, tell)
    keys = encryption_keys(settings)
    try:
        await asyncio.to_thread(upgrade, dsn)
        reconciled = await _reconcile(settings, dsn, Cipher(keys))
    except CommandError as error:
        raise StartFailed(f"the database's schema is of another release: {error}") from error
    except (UnknownKey, StoreUnavailable) as error:
        raise StartFailed(str(error)) from error
    return Prepared(
        dsn=Secret(dsn),
        listen_dsn=Secret(plain_dsn(settings.listen_database_url.reveal()))
        if settings.listen_database_url
        else Secret(dsn),
        encryption_keys=Secret(_written(keys)),
        reconciled=reconciled,
    )


async def wait_for_database(dsn: str, wait_s: float, clock: Clock, tell: Callable[[str], None]) -> None:
    """Returns once the server answers; what waiting cannot mend, a wrong password say, ends it at once.

    Raises:
        StartFailed: it refuses us, is too old, or did not answer within `wait_s`.
    """
    deadline = clock.now() + wait_s
    is_told = False
    while True:
        try:
            await _check_server(dsn)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _refuse_hopeless(error)
            if clock.now() >= deadline:
                reason = f"{type(error).__name__} after {wait_s:g} s of trying"
                raise StartFailed(
                    f"Postgres at {_where(dsn)} cannot be reached ({reason}): see DATABASE_URL"
                ) from error
            if not is_told:
                tell(f"Waiting for Postgres at {_where(dsn)} ...")
                is_told = True
            await clock.sleep(RETRY_S)
        else:
            return


def encryption_keys(settings: Settings) -> tuple[EncryptionKey, ...]:
    """The configured keys, else those of the key file, which is made if need be.

    Raises:
        StartFailed: they cannot be read.
    """
    try:
        if settings.encryption_keys:
            return parse_keys(settings.encryption_keys.reveal())
        return load_or_create_key_file(settings.home)
    except InvalidKeys as error:
        raise StartFailed(f"GATEWAY_ENCRYPTION_KEYS: {error}") from error
    except OSError as error:
        raise StartFailed(f"the key file in {settings.home} cannot be used: {error.strerror}") from error


async def _check_server(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        version = connection.get_server_version().major
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    if version < OLDEST_POSTGRES:
        raise StartFailed(
            f"Postgres at {_where(dsn)} is version {version}, but {OLDEST_POSTGRES} is the oldest that works"
        )


def _refuse_hopeless(error: Exception) -> None:
    if isinstance(error, _REFUSALS):
        raise StartFailed(f"Postgres refuses DATABASE_URL: {error}") from error
    if isinstance(error, ValueError):  # asyncpg's words may hold a part of the password
        raise StartFailed(
            "DATABASE_URL cannot be read: expected postgresql://user:password@host:port/database, "
            "special characters of the password percent-encoded"
        ) from None


async def _reconcile(settings: Settings, dsn: str, cipher: Cipher) -> Reconciled:
    engine = make_engine(dsn, 1)
    try:
        with store_errors():
            async with engine.begin() as connection:
                await check_keys(connection, cipher)
                file, env = declared_in_file(settings), declared_in_environment(settings)
                return await reconcile(connection, cipher, file=file, env=env)
    finally:
        await engine.dispose()


def _written(keys: tuple[EncryptionKey, ...]) -> str:
    return ",".join(f"{key.id}:{base64.b64encode(key.secret).decode()}" for key in keys)


def _where(dsn: str) -> str:
    """Host and port, or the socket's folder; never user or password."""
    try:
        parts = urlsplit(dsn)
        host = f"{parts.hostname}:{parts.port or 5432}" if parts.hostname else "its socket"
    except ValueError:
        return "DATABASE_URL"
    return host
