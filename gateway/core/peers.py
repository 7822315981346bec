"""What processes tell each other of single calls on a scope without headers, and what each makes of it.

Rules of this file:
- a limit that nobody names is learned from the whole stream of calls that the upstream sees: when each was sent, which
  came through, which was refused; who knows but its own calls learns a limit that is not there;
- moments are told in milliseconds of the sender's clock, which also name the call; they are moved to ours by the
  shortest way that a message ever took;
- replicas whose callers wait take turns: who took the longest ago goes first, the next one a little later if that one
  did not. Nobody has a part of its own: what one leaves another takes;
- the last calls of a window neighbours take each in a time of its own, some milliseconds long, which all know: they
  have one clock, and two who take at the same moment cannot know of each other.

Mutable.
"""

from collections import deque
from itertools import islice

import msgspec

from gateway.core.ids import Instant
from gateway.core.shares import HEARD_S, HEARD_SOON_S
from gateway.core.slices import OPEN_S, next_slice
from gateway.core.uses import Audience, Belief, Calls

MOST_TOLD = 64
"""Calls of each sort at a time: the newest."""
KNOWN = 512
"""Calls of another process whose verdict is still awaited."""
ON_WAY_S = 0.006
"""What the fastest message takes."""
DRIFT_S = 0.0005
"""By so much from message to message clocks may part."""
APART_S = 1e-5
"""Calls of one millisecond are told apart by so much."""
LEFT = 4
"""So many times what all need to hear of it the last call of a window is left to others by who had his part."""
OVERTAKEN_S = 0.1
"""A call that another process sent so soon after a refusal was sent before it knew of that."""


class CallLog:
    """What an audience has not been told of this process' calls."""

    __slots__ = ("admitted", "refused", "sent")

    def __init__(self) -> None:
        self.sent: deque[float] = deque(maxlen=MOST_TOLD)
        self.admitted: deque[float] = deque(maxlen=MOST_TOLD)
        self.refused: deque[tuple[float, float | None]] = deque(maxlen=MOST_TOLD)

    def tell(self, now: Instant) -> Calls:
        """All of it, which is thereby told."""
        told_ms = round(now * 1000)
        calls = Calls(
            told_ms,
            tuple([told_ms - round(at * 1000) for at in self.sent]),
            tuple([told_ms - round(at * 1000) for at in self.admitted]),
            tuple([(told_ms - round(at * 1000), fits_in_s) for at, fits_in_s in self.refused]),
        )
        self.sent.clear()
        self.admitted.clear()
        self.refused.clear()
        return calls


class Verdicts(msgspec.Struct, frozen=True, gc=False):
    """What a message told, by our clock. Of calls that were admitted or refused: when they were sent."""

    sent: list[Instant]
    admitted: list[Instant]
    refused: list[tuple[Instant, float | None]]


class Peer:
    """Another process on the scope."""

    __slots__ = ("_known", "_offset_s", "belief", "is_hungry", "took_at")

    def __init__(self) -> None:
        self.is_hungry = False
        self.belief: Belief | None = None
        self.took_at = float("-inf")
        self._offset_s = float("inf")
        """Of our clock to its."""
        self._known: dict[int, list[Instant]] = {}
        """Its calls by its own clock, whose verdict may still come."""

    def hear(self, calls: Calls, now: Instant, audience: Audience) -> Verdicts:
        if audience is Audience.NEIGHBOURS:
            self._offset_s = ON_WAY_S  # one machine has one clock
        else:
            self._offset_s = min(self._offset_s + DRIFT_S, now - calls.told_ms / 1000)
        sent = [self._note(calls.told_ms - age_ms, now) for age_ms in sorted(calls.sent, reverse=True)]
        admitted = [at for age_ms in calls.admitted if (at := self._settle(calls.told_ms - age_ms)) is not None]
        refused = [
            (at, fits_in_s)
            for age_ms, fits_in_s in calls.refused
            if (at := self._settle(calls.told_ms - age_ms)) is not None
        ]
        for stamp in list(islice(self._known, max(0, len(self._known) - KNOWN))):
            del self._known[stamp]
        return Verdicts(sent, admitted, refused)

    def _note(self, stamp: int, now: Instant) -> Instant:
        alike = self._known.setdefault(stamp, [])
        at = Instant(min(now, stamp / 1000 + self._offset_s - ON_WAY_S) + len(alike) * APART_S)
        alike.append(at)
        self.took_at = max(self.took_at, at)
        return at

    def _settle(self, stamp: int) -> Instant | None:
        """A call with that stamp got its verdict: by our clock, when it was sent. None: nobody told of it."""
        alike = self._known.get(stamp)
        if alike is None:
            return None
        at = alike.pop()
        if not alike:
            del self._known[stamp]
        return at


class Turn(msgspec.Struct, frozen=True, gc=False):
    """When this process may take a call of a window: when so many fit, or somewhat after one does."""

    calls: int
    after_s: float
    """Those whose turn it is first would have taken it by then."""
    knows_at: float
    """When all that was sent at the same time as its own last call is known."""

    def comes_at(self, one_at: float, all_at: float) -> float:
        """`one_at`: when one call fits; `all_at`: when `calls` do."""
        return min(max(one_at, all_at), max(one_at, self.knows_at) + self.after_s)


class Slice(msgspec.Struct, frozen=True, gc=False):
    """When this process may take a call of a window that neighbours share: when so many fit, or in its own time.

    They have one clock. When one's time comes it knows what was sent in the others', unless there was room for one call
    of each just now: then others may have taken theirs.
    """

    calls: int
    now: float
    began: float
    """Any moment at which a time of its own began."""
    lasts_s: float
    """Everybody's time, together."""
    knows_at: float
    """When all is known that was sent while there was room for one call of each."""

    def comes_at(self, one_at: float, all_at: float) -> float:
        """`one_at`: when one call fits; `all_at`: when `calls` do."""
        at = max(one_at, self.now, self.knows_at)
        return min(max(one_at, all_at), next_slice(at, self.began, self.lasts_s, OPEN_S))


AT_ONCE = Turn(1, 0.0, float("-inf"))


class Peers:
    """The other processes on one scope."""

    __slots__ = ("_by_name", "_met", "_recent", "heard_s", "offset", "own_name", "roomy_at", "took_at")

    def __init__(self) -> None:
        self._by_name: dict[str, Peer] = {}
        self._met: set[str] = set()
        """Those that ever were there: who comes back sent nothing while it was silent."""
        self.own_name = ""
        self.heard_s = HEARD_S
        """What any of them sent is known so much later, at most."""
        self.offset = 0
        """So that not the same process is the first on every scope."""
        self.took_at = float("-inf")
        """When this process took last…"""
        self.roomy_at = float("-inf")
        """…while there was room for one call of each."""
        self._recent: deque[float] = deque()
        """Its calls that not all may know of."""

    def of(self, name: str) -> Peer:
        self._met.add(name)
        return self._by_name.setdefault(name, Peer())

    def has_met(self, name: str) -> bool:
        return name in self._met

    def leave(self, name: str) -> None:
        self._by_name.pop(name, None)

    @property
    def count(self) -> int:
        """How many processes use the scope."""
        return 1 + len(self._by_name)

    def take(self, now: Instant, *, is_roomy: bool = False) -> None:
        """This process sends a call now. `is_roomy`: while there is room for one call of each."""
        if is_roomy:
            self.roomy_at = now
        self.took_at = now
        self._recent.append(now)

    @property
    def leader(self) -> Peer | None:
        """Whose beliefs hold: of all that believe something the one with the first name. None: this process."""
        names = [name for name, peer in self._by_name.items() if peer.belief is not None and name < self.own_name]
        return self._by_name[min(names)] if names else None

    @property
    def beliefs(self) -> list[Belief]:
        return [peer.belief for peer in self._by_name.values() if peer.belief is not None]

    @property
    def ahead(self) -> int:
        """Others whose callers wait and whose turn it is before this process'."""
        return sum([peer.is_hungry and self._is_before(name, peer) for name, peer in self._by_name.items()])

    def _is_before(self, name: str, peer: Peer) -> bool:
        """It took longer ago. Who took at the same time goes by name: neither knew of the other."""
        apart_s = self.took_at - peer.took_at
        return apart_s > 0 if abs(apart_s) > self.heard_s / 2 else name < self.own_name

    @property
    def are_neighbours(self) -> bool:
        """All are workers of one service."""
        return self.heard_s <= HEARD_SOON_S

    def turn(self, now: Instant, own: int, limit: int) -> Turn | Slice:
        """`own`: what this process sent of the window's `limit`.

        Of others whose callers wait each may have taken as much as this process did while nobody heard of it. While
        no callers wait anywhere, who had its part leaves the last call for a moment: another may take it just now.
        """
        while self._recent and self._recent[0] <= now - self.heard_s:
            self._recent.popleft()
        known_at, count = self.took_at + self.heard_s, self.count
        hungry = sum([peer.is_hungry for peer in self._by_name.values()])
        if self.are_neighbours:
            slot = (self._place + self.offset) % count
            all_calls = count + hungry * len(self._recent)
            return Slice(all_calls, now, slot * self.heard_s, count * self.heard_s, self.roomy_at + self.heard_s)
        if not hungry:
            return AT_ONCE if own * count < limit else Turn(2, LEFT * self.heard_s, known_at)
        ahead = self.ahead
        # Looks are planned ahead, so that two may mean the same moment: each has its own place in it.
        after_s = (ahead + self._place / count) * self.heard_s if ahead else 0.0
        return Turn(1 + ahead + hungry * len(self._recent), after_s, known_at)

    @property
    def _place(self) -> int:
        """This process' among them all, from 0."""
        return sum([name < self.own_name for name in self._by_name])
