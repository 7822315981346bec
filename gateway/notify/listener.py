"""Hears what other processes and the tables' triggers tell: its own connection, a heartbeat, a reconnect.

Rules of this file: what was sent while the connection was away is lost, so each connect says `Resynced` once it
listens, and the owner reads everything again; events come in the order in which they were sent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec

from gateway.core.organizations import Membership
from gateway.core.outcome import Scope
from gateway.core.parks import Park
from gateway.core.uses import Use
from gateway.notify.connection import CONNECTION_ERRORS, Backoff, connect
from gateway.notify.messages import read_message
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

REGISTRY_CHANNEL = "gateway_registry"
"""The tables' triggers send on it; the payload is the table's name."""
HEALTH_CHANNEL = "gateway_health"
"""Processes send on it; the payload is of `messages.py`."""
HEARTBEAT_S = 10.0

_log = get_logger()


class RegistryChanged(msgspec.Struct, frozen=True):
    """Rows of this table changed."""

    table: str


class ParksHeard(msgspec.Struct, frozen=True):
    """Another process parked these."""

    parks: tuple[Park, ...]


class RecoveriesHeard(msgspec.Struct, frozen=True):
    """Another process found that these serve again."""

    scopes: tuple[Scope, ...]


class UsesHeard(msgspec.Struct, frozen=True):
    """Another process uses these scopes, near their limits."""

    process: str
    uses: tuple[Use, ...]


class OrganizationsHeard(msgspec.Struct, frozen=True):
    """Another process learned which accounts belong together."""

    memberships: tuple[Membership, ...]


class Resynced(msgspec.Struct, frozen=True):
    """Listening from now on; what was sent before may have been missed: read the tables again."""


ListenerEvent = RegistryChanged | ParksHeard | RecoveriesHeard | UsesHeard | OrganizationsHeard | Resynced


class ListenerState(msgspec.Struct, frozen=True):
    """For metrics and /health."""

    is_connected: bool = False
    since: float = 0.0
    """Monotonic seconds when it became so."""
    connects: int = 0
    """How often it has connected."""


class Listener:
    """`run()` as a background task. `on_event` is called on the event loop and must not block."""

    def __init__(
        self,
        dsn: str,
        on_event: Callable[[ListenerEvent], None],
        *,
        sender: str,
        sleep: Callable[[float], Awaitable[None]],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """`sender`: this process' own name, whose messages it does not hear. `dsn` leads to a session, not a pooler."""
        self.state = ListenerState(since=time.monotonic())
        self._dsn = dsn
        self._on_event = on_event
        self._sender = sender
        self._sleep = sleep
        self._heartbeat_s = heartbeat_s
        self._backoff = Backoff()

    async def run(self) -> None:
        """Forever; ends by cancellation."""
        while True:
            try:
                await self._listen_once()
            except CONNECTION_ERRORS as error:
                pause_s = self._backoff.next_s()
                self._note_loss(error, pause_s)
                await self._sleep(pause_s)

    async def _listen_once(self) -> None:
        """One connection's life. Always ends by an exception."""
        connection = await connect(self._dsn, name="gateway listener")
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(REGISTRY_CHANNEL, self._hear_registry)
            await connection.add_listener(HEALTH_CHANNEL, self._hear_health)
            self._note_connect()
            self._on_event(Resynced())
            await self._stay(connection, ended)
        finally:
            # Not `close()`: a server that does not answer must not hold us here.
            connection.terminate()

    async def _stay(self, connection: asyncpg.Connection, ended: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await ended.wait()
            except TimeoutError:
                await connection.execute("SELECT 1")
            else:
                raise ConnectionResetError("the server ended the connection")

    def _hear_registry(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._on_event(RegistryChanged(str(payload)))

    def _hear_health(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        text = str(payload)
        message = read_message(text)
        if message is None:
            _log.warning(
                Event.MESSAGE_IGNORED,
                channel=channel,
                reason="of another version, or not readable",
                payload_bytes=len(text.encode()),
            )
        elif message.sender != self._sender:
            if message.recoveries:
                self._on_event(RecoveriesHeard(message.recoveries))
            if message.parks:
                self._on_event(ParksHeard(message.parks))
            if message.uses:
                self._on_event(UsesHeard(message.sender, message.uses))
            if message.organizations:
                self._on_event(OrganizationsHeard(message.organizations))

    def _note_connect(self) -> None:
        now, before, attempts = time.monotonic(), self.state, self._backoff.tries
        self._backoff.reset()
        self.state = ListenerState(is_connected=True, since=now, connects=before.connects + 1)
        if before.connects:
            _log.info(Event.LISTENER_RECONNECTED, away_s=round(now - before.since, 3), attempts=attempts)
        else:
            _log.info(Event.LISTENER_CONNECTED, channels=[REGISTRY_CHANNEL, HEALTH_CHANNEL])

    def _note_loss(self, error: Exception, next_try_s: float) -> None:
        if self.state.is_connected:
            self.state = msgspec.structs.replace(self.state, is_connected=False, since=time.monotonic())
        if self._backoff.tries == 1:  # once a loss, not once a try
            _log.warning(Event.LISTENER_LOST, error=type(error).__name__, next_try_s=next_try_s)
