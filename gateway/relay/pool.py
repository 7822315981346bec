"""The accounts that may serve one model at one endpoint, with their live loads: what the board hands to the loop."""

from collections.abc import Collection, Sequence

from gateway.core.attempts import Plan, Resting
from gateway.core.call import Endpoint
from gateway.core.ids import FOREVER, AccountId, Instant, ModelName
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Provider, Validation
from gateway.providers.base import ProviderKind, Translation
from gateway.providers.limits import limits_for
from gateway.relay.member import Member
from gateway.relay.view import View, soonest_of

ROOM_S = 1.0
"""Retry-After where all accounts are full."""
LOOKED_AT = 8
"""Accounts at their limits that are asked when one call fits for sure: the soonest of them is told."""


class Pool:
    """Members for one (provider, model, endpoint) of one snapshot."""

    __slots__ = (
        "_by_holder", "charges_answers", "clock", "endpoint_name", "fallbacks", "is_model_kept", "key", "kind",
        "limits", "members", "model", "provider", "refill", "stream_limits", "translation", "turn", "validation",
        "view",
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
        self.refill: dict[int, tuple[Instant, float]] = {}
        """By the size of calls: how many a second all members together serve over a long time, 0.0 = unknown; and until
        when that holds."""
        self._by_holder: dict[str, list[Member]] | None = None

    def members_of(self, holder: str) -> Sequence[Member]:
        """Members of which some scope is that account's, quota group's or organisation's."""
        if self._by_holder is None:
            self._by_holder = {}
            for member in self.members:
                for name in {member.names.account, member.names.holder}:
                    self._by_holder.setdefault(name, []).append(member)
        return self._by_holder.get(holder, ())


def candidates_of(view: View, excluded: Collection[AccountId]) -> Sequence[Member]:
    """Members of the lowest tier that may be tried now and are not excluded; empty when there are none."""
    if not excluded:  # the usual case, at no cost that grows with the accounts
        for tier in view.tiers:
            if tier:
                return tier
        return ()
    for tier in view.tiers:
        found = [member for member in tier if member.account_id not in excluded]
        if found:
            return found
    return ()


def resting_of(view: View, plan: Plan, now: Instant) -> list[Resting]:
    """Why members may not be tried now, and when they may; the soonest of those for which the same holds.

    Members that rest, whose limit has room again, that are full, and whose rest is over already but which this call
    has met before it.
    """
    unfit, parked = plan.unfit, plan.parked
    resting = [*view.soonest()]
    if unfit:
        resting = soonest_of(rest for account_id, rest in view.resting.items() if account_id not in unfit)
    spent = _spent(view, plan, now) if view.spent else None
    if spent is not None:
        resting.append(spent)
    if view.full and not (plan.excluded - parked).issuperset(view.full):
        resting.append(no_room(now))
    if parked and any(member.account_id in parked for tier in view.tiers for member in tier):
        resting.append(Resting(None, now, now))
    return resting


def _spent(view: View, plan: Plan, now: Instant) -> Resting | None:
    """When the first of the spent members that this call may still try may have room, and when one has for sure."""
    excluded = plan.excluded - plan.parked if plan.tried or plan.failed else plan.tried
    room_at, surely_at, looked_at = FOREVER, FOREVER, 0
    for at, member in view.spent:
        if member.account_id in excluded:
            continue
        if at >= surely_at or looked_at == LOOKED_AT:  # as a rule the second one: nobody is sooner
            break
        looked_at += 1
        room_at = min(room_at, at)
        surely_at = min(surely_at, max(at, Instant(now + member.sure_wait_s(now))))
    return None if room_at == FOREVER else no_headroom(surely_at, wake_at=room_at)


def no_headroom(until: Instant, *, wake_at: Instant | None = None) -> Resting:
    """An account that is well, but at its limit: a call more would be refused. `wake_at`: None is `until`."""
    return Resting(OutcomeKind.RATE_LIMITED, until, until if wake_at is None else wake_at)


def no_room(now: Instant) -> Resting:
    """An account that is well but busy: nobody can say until when, so callers are told to come back soon."""
    return Resting(None, Instant(now + ROOM_S), FOREVER)
