"""The ways through the relay, connected: of a call, of a session over a WebSocket, and of both with a caller's own key.

call ─────▶ restarting ─▶ fallbacks ─▶ loop of attempts ─▶ upstream
session ────────────────▶ fallbacks ─▶ loop of attempts ─▶ upstream's WebSockets
own key ─────────────────────────────▶ one attempt
"""

from collections.abc import Mapping
from random import Random

from gateway.providers.base import ProviderKind
from gateway.relay.attempt import Attempts
from gateway.relay.board import Board
from gateway.relay.credentials import Credentials
from gateway.relay.fallbacks import FallbackRelay
from gateway.relay.loop import Relay
from gateway.relay.own_keys import OwnKeys
from gateway.relay.ports import Clock, Upstream
from gateway.relay.restart import RestartingRelay
from gateway.relay.waiting import Waiting


class Ways:
    """One per worker."""

    def __init__(  # noqa: PLR0913  # the parts they share, by name
        self,
        *,
        board: Board,
        waiting: Waiting,
        credentials: Credentials,
        upstream: Upstream,
        sockets: Upstream,
        kinds: Mapping[str, ProviderKind],
        clock: Clock,
        rng: Random,
        takes_own_keys: bool,
    ) -> None:
        """`sockets`: the upstream whose attempts are upgrades to WebSockets."""
        loop, upgrades = (
            Relay(
                board=board,
                attempts=Attempts(board=board, upstream=way, credentials=credentials, clock=clock),
                waiting=waiting,
                clock=clock,
                rng=rng,
            )
            for way in (upstream, sockets)
        )
        self.sockets = sockets
        """For sessions that choose their account later."""
        upgrades.blast = loop.blast  # what many accounts refuse alike is the same for both
        self.blast = loop.blast
        self.calls = RestartingRelay(relay=FallbackRelay(relay=loop, board=board, clock=clock), clock=clock)
        self.sessions = FallbackRelay(relay=upgrades, board=board, clock=clock)
        self.own_keys, self.own_session_keys = (
            OwnKeys(upstream=way, credentials=credentials, kinds=kinds, clock=clock, are_taken=takes_own_keys)
            for way in (upstream, sockets)
        )
