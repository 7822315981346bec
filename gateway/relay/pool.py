"""The accounts that may serve one model at one endpoint, with their live loads: what the board hands to the loop."""

from collections.abc import Collection, Sequence

import msgspec

from gateway.core.attempts import Plan, Resting
from gateway.core.call import Endpoint
from gateway.core.cooldown import ScopeNames
from gateway.core.headroom import Headroom
from gateway.core.ids import FOREVER, AccountId, Instant, ModelName
from gateway.core.outcome import OutcomeKind, Scope
from gateway.core.snapshot import Account, Provider, Validation
from gateway.providers.base import Destination, ProviderKind, Translation
from gateway.providers.limits import limits_for
from gateway.relay.affiliations import Watch

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

    __slots__ = (
        "account", "account_id", "destination", "headrooms", "load", "names", "rank", "scopes", "watch", "weight",
    )  # fmt: skip

    def __init__(  # what a member is, by name
        self,
        account: Account,
        load: Load,
        names: ScopeNames,
        scopes: tuple[Scope, ...],
        destination: Destination,
        headrooms: tuple[Headroom, ...],
    ) -> None:
        self.account = account
        self.account_id: AccountId = account.id
        self.weight = account.weight
        self.load = load
        self.names = names
        self.scopes = scopes
        self.destination = destination
        self.headrooms = headrooms
        """Of its model's scope, and of every family whose limit the model shares."""
        self.watch: Watch | None = None
        """What is learned of its organisation; None where an operator grouped it."""
        self.rank = 0
        """Its place among the pool's members."""

    def has_room(self) -> bool:
        limit = self.account.max_concurrency
        return limit is None or self.load.in_flight < limit

    @property
    def token_limit(self) -> float:
        """A call that is charged more never fits; infinite where that is not known."""
        return min(headroom.token_limit for headroom in self.headrooms)

    def wait_s(self, tokens: int, now: Instant) -> float:
        """Seconds until a call that is charged so many tokens fits its limits; 0.0 where none are known."""
        longest = 0.0
        for headroom in self.headrooms:
            longest = max(longest, headroom.wait_s(tokens, now))
        return longest


Spent = tuple[Instant, int, int, Member]
"""When it has room again, the member's rank, the index of its tier, the member. In the order of time."""


class View(msgspec.Struct, frozen=True):
    """Who of a pool serves and who rests. Holds until `valid_until`, or until the board's epoch moves.

    Members whose limit has no room for any call go from `tiers` to `spent` and back as time goes on: see `picking`.
    """

    epoch: int
    valid_until: Instant
    tiers: tuple[list[Member], ...]
    """Members that may be tried, by tier, in the order of their ranks. Tiers in which all rest are left out."""
    dimmed: frozenset[AccountId]
    resting: tuple[tuple[AccountId, Resting], ...]
    spent: list[Spent] = []
    """A heap."""
    is_bounded: bool = False
    """Some member has `max_concurrency`: whether it has room must be looked at."""


class Pool:
    """Members for one (provider, model, endpoint) of one snapshot."""

    __slots__ = (
        "charges_answers", "clock", "endpoint_name", "fallbacks", "is_model_kept", "key", "kind", "limits", "members",
        "model", "provider", "refill", "stream_limits", "translation", "turn", "validation", "view",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # what a pool is, by name
        self,
        *,
        key: tuple[str, ...],
        provider: Provider,
        kind: ProviderKind,
        model: ModelName,
        is_model_kept: bool,
        endpoint: Endpoint,
        members: Sequence[Member],
        fallbacks: tuple[ModelName, ...],
    ) -> None:
        self.key = key
        self.provider = provider
        self.kind = kind
        self.model = model
        self.is_model_kept = is_model_kept
        """The name goes upstream as each caller wrote it; else `model` is sent."""
        self.endpoint_name = endpoint.name
        self.translation: Translation | None = kind.translation_for(endpoint)
        """None, as a rule: the upstream speaks what the caller speaks."""
        self.charges_answers = kind.charges_answers
        self.members = tuple(members)
        for rank, member in enumerate(self.members):
            member.rank = rank
        self.fallbacks = fallbacks
        self.validation: Validation = provider.settings.validation or kind.validation
        if self.translation is not None and self.validation is Validation.OFF:
            self.validation = Validation.TYPES  # what is translated must be understood
        self.limits = limits_for(provider, model, is_stream=False, kind=endpoint.stream)
        self.stream_limits = limits_for(provider, model, is_stream=True, kind=endpoint.stream)
        self.turn = 0
        """Calls chosen so far: the position of the round robin."""
        self.clock = max((member.load.served for member in members), default=0.0)
        """The largest virtual time at which a member was chosen: see `core/selection.served_after`."""
        self.view: View | None = None
        self.refill: tuple[Instant, float] = (Instant(float("-inf")), 0.0)
        """Calls a second that all members together serve over a long time, 0.0 = unknown; and until when that holds."""


def candidates_of(view: View, excluded: Collection[AccountId]) -> Sequence[Member]:
    """Members of the lowest tier that may be tried now: not excluded and with room; empty when there are none."""
    if not excluded and not view.is_bounded:  # the usual case, at no cost that grows with the accounts
        for tier in view.tiers:
            if tier:
                return tier
        return ()
    for tier in view.tiers:
        found = [member for member in tier if member.account_id not in excluded and member.has_room()]
        if found:
            return found
    return ()


def resting_of(view: View, plan: Plan, now: Instant) -> list[Resting]:
    """Members that may not be tried now but may later.

    Those that rest, the first whose limit has room again, those that are full, and those whose rest is over already
    but which this call has met before it.
    """
    unfit = plan.unfit
    resting = [resting for account_id, resting in view.resting if not unfit or account_id not in unfit]
    room_at = _room_at(view, plan)
    if room_at is not None:
        resting.append(no_headroom(room_at))
    for tier in view.tiers:
        for member in tier:
            if not member.has_room() and (member.account_id not in plan.excluded or member.account_id in plan.parked):
                resting.append(no_room(now))
            elif member.account_id in plan.parked:
                resting.append(Resting(None, now, now))
    return resting


def _room_at(view: View, plan: Plan) -> Instant | None:
    """When the first of the spent members has room again that this call may still try."""
    excluded = plan.excluded - plan.parked
    if not view.spent or not excluded:
        return view.spent[0][0] if view.spent else None
    return min((at for at, _, _, member in view.spent if member.account_id not in excluded), default=None)


def no_headroom(until: Instant) -> Resting:
    """An account that is well, but at its limit: a call more would be refused."""
    return Resting(OutcomeKind.RATE_LIMITED, until, until)


def no_room(now: Instant) -> Resting:
    """An account that is well but busy: nobody can say until when, so callers are told to come back soon."""
    return Resting(None, Instant(now + ROOM_S), FOREVER)
