"""What processes tell each other of single calls on a scope without headers, and what each makes of it.

Rules of this file:
- a limit that nobody names is learned from the whole stream of calls that the upstream sees: when each was sent, which
  came through, which was refused; who knows but its own calls learns a limit that is not there;
- moments are told in milliseconds of the sender's clock, which also name the call; they are moved to ours by the
  shortest way that a message ever took;
- who has callers waiting takes turns with others that have, too: who took the longest ago goes first.

Mutable.
"""

from collections import deque
from itertools import islice
from typing import NamedTuple

from gateway.core.ids import Instant
from gateway.core.shares import Shares
from gateway.core.uses import Belief, Calls

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
OVERTAKEN_S = 0.1
"""A call that another process sent so soon after a refusal was sent before it knew of that."""


class CallLog:
    """What the others have not been told of this process' calls."""

    __slots__ = ("admitted", "refusals", "refused", "sent")

    def __init__(self) -> None:
        self.sent: deque[float] = deque(maxlen=MOST_TOLD)
        self.admitted: deque[float] = deque(maxlen=MOST_TOLD)
        self.refused: deque[tuple[float, float | None]] = deque(maxlen=MOST_TOLD)
        self.refusals = 0
        """Ever."""

    def refuse(self, sent_at: float, fits_in_s: float | None) -> None:
        self.refused.append((sent_at, fits_in_s))
        self.refusals += 1

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


class Verdicts(NamedTuple):
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

    def hear(self, calls: Calls, now: Instant) -> Verdicts:
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


class Peers:
    """The other processes on one scope."""

    __slots__ = ("_by_name", "own_name", "shares", "took_at")

    def __init__(self) -> None:
        self._by_name: dict[str, Peer] = {}
        self.shares = Shares()
        """Of the window that is believed in."""
        self.own_name = ""
        self.took_at = float("-inf")
        """When this process took last."""

    def of(self, name: str) -> Peer:
        return self._by_name.setdefault(name, Peer())

    def knows(self, name: str) -> bool:
        return name in self._by_name

    def leave(self, name: str) -> None:
        self._by_name.pop(name, None)
        self.shares.others.pop(name, None)

    def divide(self, sharers: int, place: int, *, is_hungry: bool) -> None:
        """So many processes use the scope now, this one included."""
        self.shares.count, self.shares.place, self.shares.is_hungry = sharers, place, is_hungry

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
        return sum([peer.is_hungry and peer.took_at < self.took_at for peer in self._by_name.values()])
