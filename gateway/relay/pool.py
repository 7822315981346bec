"""The accounts that may serve one model at one endpoint, with their live loads: what the board hands to the loop."""

from collections.abc import Collection, Sequence

import msgspec

from gateway.core.attempts import Plan, Resting
from gateway.core.cooldown import ScopeNames
from gateway.core.ids import FOREVER, AccountId, Instant, ModelName
from gateway.core.outcome import Scope
from gateway.core.snapshot import Account, Provider, Validation
from gateway.providers.base import Destination, ProviderKind
from gateway.providers.limits import limits_for

ROOM_S = 1.0
"""Retry-After where all accounts are full."""


class Load:
    """What this worker has running on one account. Mutable; one per account, kept over snapshots."""

    __slots__ = ("in_flight", "served")

    def __init__(self) -> None:
        self.in_flight = 0
        self.served = 0.0
        """Calls taken divided by weight: a virtual time. Who has the least goes first among equally loaded accounts."""


class Member:
    """One account in a pool. Immutable but for the load it points at."""

    __slots__ = ("account", "account_id", "destination", "load", "names", "scopes", "weight")

    def __init__(
        self, account: Account, load: Load, names: ScopeNames, scopes: tuple[Scope, ...], destination: Destination
    ) -> None:
        self.account = account
        self.account_id: AccountId = account.id
        self.weight = account.weight
        self.load = load
        self.names = names
        self.scopes = scopes
        self.destination = destination

    @property
    def in_flight(self) -> int:
        return self.load.in_flight

    @property
    def served(self) -> float:
        return self.load.served

    def has_room(self) -> bool:
        limit = self.account.max_concurrency
        return limit is None or self.load.in_flight < limit


class View(msgspec.Struct, frozen=True):
    """Who of a pool serves and who rests. Holds until `valid_until`, or until the board's epoch moves."""

    epoch: int
    valid_until: Instant
    tiers: tuple[tuple[Member, ...], ...]
    """Members that may be tried, by tier; empty tiers are left out."""
    dimmed: frozenset[AccountId]
    resting: tuple[tuple[AccountId, Resting], ...]
    is_bounded: bool = False
    """Some member has `max_concurrency`: whether it has room must be looked at."""


class Pool:
    """Members for one (provider, model, endpoint) of one snapshot."""

    __slots__ = (
        "clock", "endpoint_name", "fallbacks", "is_model_kept", "key", "kind", "limits", "members", "model", "provider",
        "stream_limits", "turn", "validation", "view",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # what a pool is, by name
        self,
        *,
        key: tuple[str, str, str],
        provider: Provider,
        kind: ProviderKind,
        model: ModelName,
        is_model_kept: bool,
        endpoint_name: str,
        members: Sequence[Member],
        fallbacks: tuple[ModelName, ...],
    ) -> None:
        self.key = key
        self.provider = provider
        self.kind = kind
        self.model = model
        self.is_model_kept = is_model_kept
        """The name goes upstream as each caller wrote it; else `model` is sent."""
        self.endpoint_name = endpoint_name
        self.members = tuple(members)
        self.fallbacks = fallbacks
        self.validation: Validation = provider.settings.validation or kind.validation
        self.limits = limits_for(provider, model, is_stream=False)
        self.stream_limits = limits_for(provider, model, is_stream=True)
        self.turn = 0
        """Calls chosen so far: the position of the round robin."""
        self.clock = max((member.load.served for member in members), default=0.0)
        """The largest virtual time at which a member was chosen: see `core/selection.served_after`."""
        self.view: View | None = None


def candidates_of(view: View, excluded: Collection[AccountId]) -> Sequence[Member]:
    """Members of the lowest tier that may be tried now: not excluded and with room; empty when there are none."""
    if view.tiers and not excluded and not view.is_bounded:
        return view.tiers[0]  # the usual case, at no cost that grows with the accounts
    for tier in view.tiers:
        found = [member for member in tier if member.account_id not in excluded and member.has_room()]
        if found:
            return found
    return ()


def resting_of(view: View, plan: Plan, now: Instant) -> list[Resting]:
    """Members that may not be tried now but may later.

    Those that rest, those without room, and those whose rest is over already but which this call has met before it.
    """
    resting = [resting for _, resting in view.resting]
    for tier in view.tiers:
        for member in tier:
            if not member.has_room() and (member.account_id not in plan.excluded or member.account_id in plan.parked):
                resting.append(no_room(now))
            elif member.account_id in plan.parked:
                resting.append(Resting(None, now, now))
    return resting


def no_room(now: Instant) -> Resting:
    """An account that is well but busy: nobody can say until when, so callers are told to come back soon."""
    return Resting(None, Instant(now + ROOM_S), FOREVER)
