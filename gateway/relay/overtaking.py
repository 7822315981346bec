"""Who may go before the head of a line: smaller calls, into room that the head cannot use.

Rules of this file: the account that has room for the head the soonest, be it one without any now, is kept for it, so
that nobody delays it; where it is the only one with some room, what the head will leave over there is free. What the
others have left is for the largest in the line whom it is enough for: so the least is lost. Where windows end and free
all at once, nothing is kept: what is left until then is of no use to the head. Of buckets nobody takes anything before
his turn: what is left in them is not lost.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.core.takings import SOONEST_S
from gateway.relay.line import Line, Waiter
from gateway.relay.member import Member
from gateway.relay.waiting import Ticket, Waiting

SCANNED = 32
"""So many accounts are looked at."""
Short = tuple[float, Member]
"""Seconds until a call fits, and the member: it has some room, but too little."""
Spent = tuple[Instant, Member]
"""When a member has some room again that has none now; sorted by that."""


class Gap(msgspec.Struct, frozen=True, gc=False):
    """What the head leaves to others."""

    kept: frozenset[AccountId]
    tokens: float
    """A larger call fits nowhere."""
    grows_at: Instant
    """When it is enough for the smallest call behind, if it is not now."""


NO_GAP = Gap(frozenset(), 0.0, FOREVER)


def gap_beside(line: Line[Waiter], short: Sequence[Short], spent: Iterable[Spent], now: Instant) -> Gap:
    """`short`: members with too little room for the line's head; `spent`: without any. Noted by the line."""
    if not short:
        line.gap = NO_GAP.tokens
        return NO_GAP
    least = line.least
    if least is None:  # who comes now and is small enough makes the head look again
        rooms = [member.token_room(now) for _, member in short if member.loses_room()]
        gap = Gap(frozenset(), max(rooms, default=0.0), FOREVER)
    else:
        gap = _gap_beside(short, spent, (line.calls[0].tokens, least), now)
    line.gap = gap.tokens
    return gap


def _gap_beside(short: Sequence[Short], spent: Iterable[Spent], sizes: tuple[int, int], now: Instant) -> Gap:
    """`sizes`: what the head is charged, and the smallest call behind it."""
    kept: frozenset[AccountId] = frozenset()
    tokens, grows_at = 0.0, FOREVER
    needed, least = sizes
    first = _first(short, spent, needed, now)
    for wait_s, member in short:
        room = member.token_room(now)
        if not member.loses_room():
            kept |= {member.account_id}
            continue
        if member is first and not member.frees_at_once():
            spare = member.spare(needed, Instant(now + wait_s)) if len(short) == 1 else 0.0
            if spare < least:
                kept |= {member.account_id}
                continue
            room = min(room, spare)
        if room < least and (least_s := member.wait_s(least, now)) > SOONEST_S:
            grows_at = min(grows_at, Instant(now + least_s))
        else:
            room = max(room, least)  # the room is known but roughly where other processes have their part
        tokens = max(tokens, room)
    return Gap(kept, tokens, grows_at)


def _first(short: Sequence[Short], spent: Iterable[Spent], needed: int, now: Instant) -> Member | None:
    """Who has room for the head the soonest; None: a member that is not among the short ones."""
    large = [pair for pair in short if needed <= pair[1].token_limit]
    wait_s, first = min(large, key=_wait_s, default=(0.0, None))
    for room_at, member in islice(spent, SCANNED):
        if room_at >= now + wait_s:
            break
        if needed <= member.token_limit and member.wait_s(needed, now) < wait_s:
            return None
    return first


def let_pass(waiting: Waiting, head: Ticket, short: Sequence[Short], spent: Iterable[Spent], now: Instant) -> Instant:
    """The head found no room: the largest behind for whom there is some may look. When the head looks again for them.

    Whoever goes wakes the head, so that the next may go.
    """
    line = waiting.line_of(head)
    gap = gap_beside(line, short, spent, now)
    passer = line.largest(gap.tokens)
    if passer is not None:
        passer.kept = gap.kept
        passer.ring()
    return gap.grows_at


def tightest(found: Sequence[Member], tokens: int, now: Instant) -> int | None:
    """The index of the member with the smallest piece of a window left that is large enough; None: there are no pieces.

    Room for large calls is kept whole: pieces here and there serve none of them.
    """
    best, least = None, float(FOREVER)
    for index in range(min(len(found), SCANNED)):
        room = found[index].piece(now)
        if tokens <= room < least:
            best, least = index, room
    return best


def _wait_s(short: Short) -> float:
    return short[0]
