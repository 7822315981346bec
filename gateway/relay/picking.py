"""Which member of a pool a call goes to: one that may be tried and whose limits have room for it.

Rules of this file: nobody looks at all members for one call. A member that is found without room is set aside until
it has some again (`view`), so that who comes next does not meet it; each goes aside once for what is missing.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import chain, islice
from math import log2

import msgspec

from gateway.core.attempts import Plan
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.core.takings import SOONEST_S
from gateway.relay.member import Member
from gateway.relay.overtaking import SCANNED, Short
from gateway.relay.pool import Pool, candidates_of
from gateway.relay.view import View

REFILL_KEPT_S = 0.25
"""How long a pool's refill is believed before it is added up anew…"""
PIECES_S = 30.0
"""So long after a call found room in a window that was too little pieces of windows are looked for."""
SOON_S = 10.0
"""Nobody who is too small by what is known is asked while another has room within this time."""
SIZES = 6
"""…for calls of about one size: so many sizes to a doubling."""


class Pick(msgspec.Struct, frozen=True, gc=False):
    """Who takes the call; None: nobody may, or has room now."""

    member: Member | None
    room_at: Instant = FOREVER
    """When the first of those has room that have some now, but too little for this call."""
    short: Sequence[Short] = ()
    """These."""


def pick(
    view: View,
    excluded: Collection[AccountId],
    tokens: int,
    now: Instant,
    choose: Callable[[Sequence[Member]], int],
) -> Pick:
    """`tokens`: what the call is charged; `choose`: the index of the best of some.

    A member whose whole limit is less than that comes last, and still has its chance: `tokens` is an estimate. But one
    that is large enough and has room soon is waited for.
    """
    short: list[Short] = []
    too_small: Member | None = None
    while found := candidates_of(view, excluded):
        member = found[choose(found)]
        wait_s = member.wait_or_try_s(tokens, now)
        if wait_s <= SOONEST_S:
            if tokens <= member.headrooms[0].token_limit:
                return Pick(member)
            too_small = too_small or member
            excluded = {*excluded, member.account_id}
            continue
        for_any_s = wait_s if member.token_limit == FOREVER else member.wait_or_try_s(1, now)
        if for_any_s > SOONEST_S:
            view.set_aside(member, Instant(now + for_any_s))
        else:
            excluded = {*excluded, member.account_id}
            short.append((wait_s, member))
            if member.loses_room():
                view.pieces_until = Instant(now + PIECES_S)
    if too_small is not None and _is_soon(view, short, tokens, now):
        too_small = None
    room_at = Instant(now + min([wait_s for wait_s, _ in short])) if short else FOREVER
    return Pick(too_small, room_at, short)


def _is_soon(view: View, short: Sequence[Short], tokens: int, now: Instant) -> bool:
    """Whether a member whose limit is large enough has room soon for a call of so many."""
    some = [member for _, member in (*short, *islice(view.spent, SCANNED))]
    return any(tokens <= member.token_limit and member.wait_s(tokens, now) <= SOON_S for member in some)


def too_large(plan: Plan, pool: Pool, refuser: Member, asked: int | None) -> Plan:
    """The plan of a call that `refuser` found too large: no account that is known to be no larger is asked any more.

    Where some are known to be large enough, none of an unknown limit either: the call has one try left. `asked`: what
    the refusal said that the call was charged; None: it did not say.
    """
    least = refuser.token_limit + 1 if asked is None else asked
    known = {member.account_id: member.token_limit for member in pool.members if member.token_limit < FOREVER}
    known[refuser.account_id] = 0.0
    large = {account_id for account_id, limit in known.items() if limit >= least}
    small = {member.account_id for member in pool.members} - large if large else set(known)
    return plan.too_large_for(small, has_larger=bool(large))


def refill_of(pool: Pool, view: View, tokens: int, now: Instant) -> float:
    """Calls of about so many tokens a second that the pool's accounts serve over a long time; 0.0 = unknown."""
    size = round(SIZES * log2(max(tokens, 1)))
    kept_until, refill = pool.refill.get(size, (now, 0.0))
    if now >= kept_until:
        refill = _refill_of(view, tokens)
        pool.refill[size] = (Instant(now + REFILL_KEPT_S), refill)
    return refill


def _refill_of(view: View, tokens: int) -> float:
    members = [*chain(*view.tiers), *view.full.values(), *view.spent.members]
    holders = {member.account.holder: member for member in members}
    rates = [member.refill(tokens) for member in holders.values()]
    return sum(rates) if all(rates) else 0.0
