"""Who of a pool may be tried now, who rests, and whose limits have no room.

Rules of this file: every member is in one place at a time, and is moved alone: nobody looks at all members because one
of them changed. Who rests, and until when, is the board's to say.

    tiers ──parked──▶ resting ──due, or well again──▶ tiers
    tiers ──chosen, but no room for any call──▶ spent ──its time has come──▶ tiers
    tiers ──all its `max_concurrency` calls are under way──▶ full ──one of them ends──▶ tiers

Who met faults of the upstream in a row stands in a tier of its own, behind all others.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from gateway.core.attempts import Resting
from gateway.core.ids import FOREVER, NEVER, AccountId, Instant
from gateway.core.outcome import OutcomeKind
from gateway.core.takings import SOONEST_S
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

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def members(self) -> list[Member]:
        return [member for _, _, member in self._entries]

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

    __slots__ = (
        "_avoided", "_last", "_soonest", "_tiers", "dimmed", "epoch", "full", "is_bounded", "loads_epoch",
        "pieces_until", "resting", "spent", "tiers", "turns", "valid_until",
    )  # fmt: skip

    def __init__(self, members: Sequence[Member], epoch: int, valid_until: Instant) -> None:
        """Empty: each member is placed next."""
        self.epoch = epoch
        self.loads_epoch = 0
        """Up to which changes of loads it has been told."""
        self.valid_until = valid_until
        self._tiers: dict[int, list[Member]] = {tier: [] for tier in sorted({one.account.tier for one in members})}
        self._last: list[Member] = []
        self._avoided: set[AccountId] = set()
        """Who is asked last: `_last` is their tier."""
        self.tiers = tuple(self._tiers.values())
        """Members that may be tried, by tier, in the order of their ranks."""
        self.resting: dict[AccountId, Resting] = {}
        self._soonest: list[Resting] | None = None
        self.spent = Agenda()
        """Whose limits have no room for any call, and when they have some again."""
        self.full: dict[AccountId, Member] = {}
        self.turns = Agenda()
        """Whom time alone changes, and when: they are to be placed anew."""
        self.dimmed: set[AccountId] = set()
        self.pieces_until = NEVER
        """Some had room of late, but too little: what is left of windows is to be used up piece by piece."""
        self.is_bounded = any(member.account.max_concurrency is not None for member in members)
        """Some member has `max_concurrency`: it must be told of loads."""

    def soonest(self) -> Sequence[Resting]:
        """For each reason to rest the soonest of all that rest for it: more than these matter to no call."""
        if self._soonest is None:
            self._soonest = soonest_of(self.resting.values())
        return self._soonest

    def place(
        self,
        member: Member,
        rest: Resting | None,
        now: Instant,
        *,
        changes_at: Instant = FOREVER,
        is_dimmed: bool = False,
        is_avoided: bool = False,
    ) -> None:
        """Puts the member where it belongs now. `rest`: why it may not be tried, None: it may."""
        self._take_out(member)
        if is_avoided:
            self._avoided.add(member.account_id)
        if rest is not None:
            self.resting[member.account_id] = rest
            self._soonest = None
        elif (wait_s := member.wait_or_try_s(1, now)) > SOONEST_S:
            self._put_aside(member, Instant(now + wait_s))
        else:
            self._admit(member)
        if is_dimmed:
            self.dimmed.add(member.account_id)
        if changes_at != FOREVER:
            self.turns.put(member, changes_at)

    def _take_out(self, member: Member) -> None:
        if self.resting.pop(member.account_id, None) is not None:
            self._soonest = None
        elif not self.spent.drop(member) and self.full.pop(member.account_id, None) is None:
            self._dismiss(member)
        self.dimmed.discard(member.account_id)
        self._avoided.discard(member.account_id)
        self.turns.drop(member)

    def set_aside(self, member: Member, until: Instant) -> None:
        """It was found without room for any call until then."""
        self._dismiss(member)
        self._put_aside(member, until)

    def _put_aside(self, member: Member, until: Instant) -> None:
        self.spent.put(member, until)
        for headroom in member.headrooms:
            headroom.awaited_at = max(headroom.awaited_at, until)

    def restore(self, now: Instant) -> None:
        """Members that were set aside and whose time has come may be tried again."""
        for member in self.spent.due(now):
            self._admit(member)

    def note_load(self, member: Member) -> None:
        """Its account became full, or has room again."""
        if self.full.pop(member.account_id, None) is not None or (not member.has_room() and self._dismiss(member)):
            self._admit(member)

    def _admit(self, member: Member) -> None:
        if member.has_room():
            insort(self._tier_of(member), member, key=_rank)
            self._order_tiers()
        else:
            self.full[member.account_id] = member
            member.load.is_awaited = True

    def _dismiss(self, member: Member) -> bool:
        """Whether it was in its tier."""
        tier = self._tier_of(member)
        place = bisect_left(tier, member.rank, key=_rank)
        if place < len(tier) and tier[place] is member:
            del tier[place]
            self._order_tiers()
            return True
        return False

    def _tier_of(self, member: Member) -> list[Member]:
        return self._last if member.account_id in self._avoided else self._tiers[member.account.tier]

    def _order_tiers(self) -> None:
        """The last tier is there while somebody stands in it."""
        if bool(self._last) is not (len(self.tiers) > len(self._tiers)):
            self.tiers = (*self._tiers.values(), self._last) if self._last else tuple(self._tiers.values())


def soonest_of(resting: Iterable[Resting]) -> list[Resting]:
    """One for each reason, with the earliest of the moments that are named."""
    found: dict[tuple[OutcomeKind | None, bool], Resting] = {}
    for rest in resting:
        key = rest.reason, rest.is_broken
        first = found.get(key, rest)
        until, wake_at = min(first.until, rest.until), min(first.wake_at, rest.wake_at)
        found[key] = Resting(rest.reason, until, wake_at, rest.is_broken)
    return list(found.values())


def _rank(member: Member) -> int:
    return member.rank
