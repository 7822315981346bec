"""What a worker hears from other processes, and whom it tells of it."""

from gateway.core.uses import Audience, Use
from gateway.notify.listener import (
    ListenerEvent,
    OrganizationsHeard,
    ParksHeard,
    RecoveriesHeard,
    RegistryChanged,
    Resynced,
    UsesHeard,
)
from gateway.relay.board import Board
from gateway.relay.ports import Clock
from gateway.store.watcher import RegistryWatcher
from gateway.upkeep import ParkUpkeep


class Hearing:
    """Over Postgres `hear`, from this service's other workers `hear_neighbour`."""

    def __init__(
        self, service: str, *, board: Board, watcher: RegistryWatcher, park_upkeep: ParkUpkeep, clock: Clock
    ) -> None:
        """`service`: with what the names of neighbours begin; empty where there are none."""
        self._service = service
        self._board = board
        self._watcher = watcher
        self._park_upkeep = park_upkeep
        self._clock = clock

    def hear(self, event: ListenerEvent) -> None:
        match event:
            case RegistryChanged():
                self._watcher.reload_soon()
            case ParksHeard(parks):
                self._board.hear_parks(parks)
            case RecoveriesHeard(scopes):
                self._board.hear_recoveries(scopes)
            case UsesHeard(process, uses):
                if not (self._service and process.startswith(self._service)):  # a neighbour tells them itself
                    self._hear_uses(process, uses, Audience.REPLICAS)
            case OrganizationsHeard(memberships):
                self._board.pools.hear_organizations(memberships)
            case Resynced():
                self._watcher.reload_soon()
                self._park_upkeep.note_resync()

    def hear_neighbour(self, process: str, uses: tuple[Use, ...]) -> None:
        self._hear_uses(process, uses, Audience.NEIGHBOURS)

    def _hear_uses(self, process: str, uses: tuple[Use, ...], audience: Audience) -> None:
        self._board.headrooms.hear_uses(process, uses, self._clock.now(), audience)
