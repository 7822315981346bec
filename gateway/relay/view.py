"""Who of a pool may be tried now, who rests, and whose limits have no room.

Rules of this file: every member is in one place at a time, and is moved alone: nobody looks at all members because one
of them changed. Who rests, and until when, is the board's to say.

    tiers ──parked──▶ resting ──due, or well again──▶ tiers
    tiers ──chosen, but no room for any call──▶ spent ──its time has come──▶ tiers
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence

from gateway.core.attempts import Resting
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.core.level import SOONEST_S
from gateway.relay.member import Member

INFINITE = float("inf")


class Agenda:
    """Members, each with a moment, in the order of these."""

    __slots__ = ("_entries", "_moments", "first_at")

    def __init__(self) -> None:
        self._entries: list[tuple[Instant, int, Member]] = []
        """The member's rank in the middle: it decides between equal moments."""
        self._moments: dict[int, Instant] = {}
        self.first_at = FOREVER

    def __iter__(self) -> Iterator[tuple[Instant, Member]]:
        return ((at, member) for at, _, member in self._entries)

    def put(self, member: Member, at: Instant) -> None:
        """It must not be there already."""
        insort(self._entries, (at, member.rank, member))
        self._moments[member.rank] = at
        self.first_at = self._entries[0][0]

    def drop(self, member: Member) -> bool:
        """Whether it was there."""
        at = self._moments.pop(member.rank, None)
        if at is None:
            return False
        del self._entries[bisect_left(self._entries, (at, member.rank))]
        self.first_at = self._entries[0][0] if self._entries else FOREVER
        return True

    def due(self, now: Instant) -> list[Member]:
        """Those whose moment has come. They are taken off."""
        count = bisect_right(self._entries, (now, INFINITE))
        members = [member for _, _, member in self._entries[:count]]
        del self._entries[:count]
        for member in members:
            del self._moments[member.rank]
        self.first_at = self._entries[0][0] if self._entries else FOREVER
        return members


class View:
    """Holds until `valid_until`, and for what the board knew at `epoch`."""

    __slots__ = ("_tiers", "dimmed", "epoch", "is_bounded", "resting", "spent", "tiers", "turns", "valid_until")

    def __init__(self, members: Sequence[Member], epoch: int, valid_until: Instant) -> None:
        """Empty: each member is placed next."""
        self.epoch = epoch
        self.valid_until = valid_until
        self._tiers: dict[int, list[Member]] = {tier: [] for tier in sorted({one.account.tier for one in members})}
        self.tiers = tuple(self._tiers.values())
        """Members that may be tried, by tier, in the order of their ranks."""
        self.resting: dict[AccountId, Resting] = {}
        self.spent = Agenda()
        """Whose limits have no room for any call, and when they have some again."""
        self.turns = Agenda()
        """Whom time alone changes, and when: they are to be placed anew."""
        self.dimmed: set[AccountId] = set()
        self.is_bounded = any(member.account.max_concurrency is not None for member in members)
        """Some member has `max_concurrency`: whether it has room must be looked at."""

    def place(
        self,
        member: Member,
        rest: Resting | None,
        now: Instant,
        *,
        changes_at: Instant = FOREVER,
        is_dimmed: bool = False,
    ) -> None:
        """Puts the member where it belongs now. `rest`: why it may not be tried, None: it may."""
        self._take_out(member)
        if rest is not None:
            self.resting[member.account_id] = rest
        elif (wait_s := member.wait_s(1, now)) > SOONEST_S:
            self._put_aside(member, Instant(now + wait_s))
        else:
            self._admit(member)
        if is_dimmed:
            self.dimmed.add(member.account_id)
        if changes_at != FOREVER:
            self.turns.put(member, changes_at)

    def _take_out(self, member: Member) -> None:
        if self.resting.pop(member.account_id, None) is None and not self.spent.drop(member):
            self._dismiss(member)
        self.dimmed.discard(member.account_id)
        self.turns.drop(member)

    def set_aside(self, member: Member, until: Instant) -> None:
        """It was found without room for any call until then."""
        self._dismiss(member)
        self._put_aside(member, until)

    def _put_aside(self, member: Member, until: Instant) -> None:
        self.spent.put(member, until)
        for headroom in member.headrooms:
            headroom.is_awaited = True

    def restore(self, now: Instant) -> None:
        """Members that were set aside and whose time has come may be tried again."""
        for member in self.spent.due(now):
            self._admit(member)

    def _admit(self, member: Member) -> None:
        insort(self._tiers[member.account.tier], member, key=_rank)

    def _dismiss(self, member: Member) -> None:
        tier = self._tiers[member.account.tier]
        place = bisect_left(tier, member.rank, key=_rank)
        if place < len(tier) and tier[place] is member:
            del tier[place]


def _rank(member: Member) -> int:
    return member.rank
