"""The time that telemetry asks for. `relay.ports.Clock` fits it."""

from datetime import datetime
from typing import Protocol

from gateway.core.ids import Instant


class Clock(Protocol):
    def now(self) -> Instant: ...

    def wall_now(self) -> datetime: ...
