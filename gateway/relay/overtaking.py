"""Who may go before the head of a line: smaller calls, into room that the head cannot use.

Rules of this file: the account that has room for the head the soonest is kept for it, so that nobody delays it; what
the others have left is for the first in the line whom it is enough for. Where windows end and free all at once,
nothing is kept: what is left until then is of no use to the head. Of buckets nobody takes anything before his turn:
what is left in them is not lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.relay.member import Member
from gateway.relay.waiting import Ticket, Waiting

SCANNED = 32
"""So many accounts are looked at."""
Short = tuple[float, Member]
"""Seconds until a call fits, and the member: it has some room, but too little."""


class Gap(NamedTuple):
    """What the head leaves to others."""

    kept: frozenset[AccountId]
    tokens: float
    """A larger call fits nowhere."""
    grows_at: Instant
    """When it is enough for a call of `least`, if it is not now."""


def gap_beside(short: Sequence[Short], least: int, now: Instant) -> Gap:
    """`short`: members with too little room for the head; `least`: what the smallest call behind it is charged."""
    kept: frozenset[AccountId] = frozenset()
    tokens, grows_at = 0.0, FOREVER
    first = min(short, key=_wait_s)[1] if short else None
    for _, member in short:
        if not member.loses_room() or (member is first and not member.frees_at_once()):
            kept |= {member.account_id}
            continue
        room = member.token_room(now)
        tokens = max(tokens, room)
        if room < least:
            grows_at = min(grows_at, Instant(now + member.wait_s(least, now)))
    return Gap(kept, tokens, grows_at)


def let_pass(waiting: Waiting, head: Ticket, short: Sequence[Short], now: Instant) -> Instant:
    """The head found no room: the first behind it for whom there is some may look. When the head looks again for them.

    Whoever goes wakes the head, so that the next may go.
    """
    behind = waiting.smaller_behind(head)
    if not behind or not short:
        rooms = [member.token_room(now) for _, member in short if member.loses_room()]
        waiting.leave_gap(head, max(rooms, default=0.0))
        return FOREVER
    gap = gap_beside(short, min([ticket.tokens for ticket in behind]), now)
    waiting.leave_gap(head, gap.tokens)
    for ticket in behind:
        if ticket.tokens <= gap.tokens:
            ticket.kept = gap.kept
            ticket.ring()
            break
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
