"""The pace of a scope whose upstream tells no limits: learned from what came through between refusals.

Rules of this file: a refusal means that nothing was left. Three beliefs, the first that holds:
- a window (`core/windows`): refusals that named their delay agree that N calls fit in a period;
- a bucket: refusals named the same delay again and again, the time in which one call comes back;
- even steps (`core/even_steps`).
Now and then each asks for a little more, since limits rise. Before the first refusal everything fits.
"""

import msgspec

from gateway.core.even_steps import FEWEST_SURE, EvenSteps
from gateway.core.evidence import is_exact
from gateway.core.hearsay import Hearsay
from gateway.core.ids import Instant
from gateway.core.peers import AT_ONCE, OVERTAKEN_S, CallLog, Peers, Verdicts
from gateway.core.uses import Audience, Belief, Use
from gateway.core.windows import SETTLES_S, Windows

TIGHT = 0.5
"""A call sent so much of a step after it might have been belongs to a demand that uses the pace up."""
BURST_S = 2.0
"""What a bucket may save up for us: halved when a call is refused that was not sent at once."""
FEW_TIGHT = 3
NEARLY = 0.998
WIDEST = 1.25
"""A bucket whose step is known between bounds is not taken to be faster by more."""
CLIMB, CLIMBS, WIDE = 60, 800, 0.13
"""From its slow bound it goes to the fast one in so many calls, where it is known but for an eighth; in more where
refusals say the same again and again (`Windows.care`)."""
CREEP_CALLS = 150.0
"""Then it goes on by the square of so many calls: what is believed may be wrong."""
SPAN, UNKNOWN_SPAN_S = 5, 40.0
"""One call of a bucket counts for the time of so many; where nothing is believed for so long: most are a minute's."""
MOST_IN_A_ROW = 5
"""Refusals of which each waits twice as long as the one before it."""
MOST_REST_S = 1.0
"""Seconds after a refusal that named no delay: so long everybody rests who knows nothing of the limit."""


class Pace:
    """Starts unknown."""

    __slots__ = (
        "_at", "_born", "_burst_s", "_hearsay", "_left", "_quiet_until", "_refused_at", "_refused_in_a_row", "_since",
        "_steps", "_taken_at", "logs", "peers", "refusals", "windows",
    )  # fmt: skip

    def __init__(self, now: Instant, hearsay: Hearsay | None = None) -> None:
        """`hearsay`: what is told by scopes whose limits may be the same."""
        self._hearsay = hearsay
        self.windows = Windows(hearsay)
        self._steps = EvenSteps(now)
        self._born = now
        self._since = 0
        """Admitted since the last refusal, whatever was believed."""
        self._burst_s = BURST_S
        """How much of its pace a bucket is taken to save up."""
        self._refused_at = float("-inf")
        self._refused_in_a_row = 0
        """Nothing came through between them."""
        self._quiet_until = float("-inf")
        self._left = 0.0
        self._at: float = now
        self._taken_at: float = now
        self.logs = tuple([CallLog() for _ in Audience])
        """What each audience has not been told."""
        self.refusals = 0
        """Calls that were refused, ever."""
        self.peers: Peers | None = None
        """None: no other process is known to use the scope."""

    @property
    def _is_believed(self) -> bool:
        """In a window or a bucket: there are no even steps."""
        return bool(self.windows.told or self.windows.limit or self.windows.bucket_s)

    @property
    def rate(self) -> float:
        """Calls a second; 0.0 = unknown."""
        windows = self.windows
        if windows.told is not None:
            return windows.told.rate
        if windows.limit:
            return windows.limit / windows.period_s
        if windows.bucket_s:
            return self._bucket_rate()
        return self._steps.rate

    @property
    def refill(self) -> float:
        """The same where callers may be told by it that they would wait in vain; 0.0 = unknown."""
        return 0.0 if self._is_guess else self.rate

    @property
    def _is_guess(self) -> bool:
        told = self.windows.told
        return bool(self._steps.guess) and not self._is_believed if told is None else told.is_guess

    @property
    def span_s(self) -> float:
        """So long a call is missing from what is believed in, about."""
        return self.windows.kept_s or (SPAN / self.rate if self._is_bucket else UNKNOWN_SPAN_S)

    @property
    def belief(self) -> Belief | None:
        """What the other processes should hear."""
        windows, rate = self.windows, self.rate
        if not rate:
            return None
        return Belief(rate, windows.size, windows.kept_s, is_bucket=self._is_bucket, is_guess=self._is_guess)

    @property
    def window(self) -> tuple[int, float]:
        """Calls in a period that this process believes in by itself: others keep to it."""
        windows = self.windows
        return (windows.size, windows.kept_s) if windows.told is None else (0, 0.0)

    @property
    def _is_bucket(self) -> bool:
        told = self.windows.told
        return bool(self.windows.bucket_s) if told is None else told.is_bucket

    def _bucket_rate(self) -> float:
        """From what it surely gives back to what it may, the sooner the less is known; then on, in no haste."""
        slow_s = self.windows.bucket_s
        span = max(slow_s / max(self.windows.shortest_bucket_s, slow_s / WIDEST), 1 + 1e-9) - 1
        calls = self.windows.care * max(CLIMB, CLIMBS * span) if span < WIDE else FEWEST_SURE
        beyond = max(0.0, self._since - calls) / (CREEP_CALLS * self.windows.care)
        return (NEARLY + span * self._since * self.windows.haste / calls + beyond**2) / slow_s

    def _most(self, rate: float) -> float:
        if self._is_bucket:
            return max(1.0, rate * self._burst_s)
        return 2.0 if self._steps.guess else 1.0

    def expect(self) -> None:
        """Begins with what others believe whose limits may be the same."""
        if self._hearsay is not None:
            self._lead(self._hearsay.expected)

    def take(self, now: Instant) -> None:
        """A call is sent now."""
        if self.peers is not None:
            peers = self.peers
            peers.take(now, is_roomy=peers.are_neighbours and self.windows.fits_at(peers.count, now) <= now)
        for log in self.logs:
            log.sent.append(now)
        self._take(now)
        self.windows.take(now)

    def _take(self, now: Instant) -> None:
        rate = self.rate
        if rate:
            ahead = 0 if self.peers is None else self.peers.ahead
            most = self._most(rate) + ahead
            level = self._left + rate * (now - self._at)
            self._steps.tight = self._steps.tight + 1 if level <= 1 + ahead + TIGHT else 0
            self._left = max(min(most, level) - 1, -most)
            self._at = now
        else:
            self._steps.pause(now - self._taken_at)
        self._taken_at = max(self._taken_at, now)  # what others sent is heard of late

    def admit(self, sent_at: Instant) -> None:
        """The call that was sent then came through."""
        if sent_at <= self._born:
            self.windows.note(sent_at)
        for log in self.logs:
            if sent_at <= self._born:
                log.sent.append(sent_at)
            log.admitted.append(sent_at)
        self._admit(sent_at)

    def _admit(self, sent_at: Instant) -> None:
        self.windows.admit(sent_at)
        self._since += 1
        self._steps.admit(sent_at, self._taken_at, are_kept=not self._is_believed)

    def refuse(self, now: Instant, sent_at: Instant, fits_in_s: float | None) -> None:
        """A call that was sent then met the limit; what was under way when the last one did is the same refusal.

        `fits_in_s`: when a call fits again, if the upstream said it.
        """
        self.refusals += 1
        for log in self.logs:
            log.refused.append((sent_at, fits_in_s))
        self._refuse(now, sent_at, fits_in_s)

    def _refuse(self, now: Instant, sent_at: Instant, fits_in_s: float | None) -> None:
        self.windows.untake(sent_at)
        if sent_at <= self._refused_at:
            return
        if self._is_bucket and self._steps.tight < FEW_TIGHT:
            self._burst_s /= 2
        self._rest(now, fits_in_s)
        rate = self.rate
        self.windows.refuse(now, sent_at, fits_in_s)
        if self._is_believed:
            self._steps.refuse_other(now, rate)
        else:
            self._steps.refuse(now, fits_in_s)
        self._note_belief()
        self._since, self._left = 0, 0.0
        self._refused_at = self._at = now
        if fits_in_s is not None and not self._is_bucket:
            rate = self.rate
            self._left = max(1 - rate * fits_in_s, -self._most(rate))

    def _note_belief(self) -> None:
        belief = self.belief
        if self._hearsay is not None and belief is not None and self._is_believed:
            self._hearsay.expect(belief, 1 if self.peers is None else self.peers.count)

    def _rest(self, now: Instant, fits_in_s: float | None) -> None:
        """A refused call may cost as much as an admitted one: several who share a limit, and do not know it, keep it
        empty for ever when each tries as soon as one fits.
        """
        self._refused_in_a_row = 1 if self._since else min(self._refused_in_a_row + 1, MOST_IN_A_ROW)
        if self._refused_in_a_row > 1 and fits_in_s:
            self._quiet_until = now + 2 ** (self._refused_in_a_row - 1) * fits_in_s

    def rest_s(self, named_s: float | None, now: Instant) -> float | None:
        """After a refusal: a call's time, if that is known; it waits for room anyway. None: what was named holds.

        Each in a row waits twice as long as the one before it. A delay in whole seconds was rounded up, most likely:
        the first time what is believed tells when in its last second there is room.
        """
        if not self._is_believed or (named_s and (is_exact(named_s) or self._refused_in_a_row > 1)):
            return None
        rest_s = min(1 / self.rate, MOST_REST_S) * 2.0 ** (self._refused_in_a_row - 1)
        return min(max(rest_s, named_s - 1, self.windows.fits_at(1, now) - now), named_s) if named_s else rest_s

    def hear(  # what another process told, by name
        self, process: str, use: Use, sent: int, now: Instant, *, own: str, audience: Audience = Audience.REPLICAS
    ) -> None:
        """Another process told of its calls, which the upstream counts as well: it sent so many since it told last."""
        if self.peers is None:
            self.peers = Peers()
        self.peers.own_name = own
        if not self.peers.has_met(process) and self.windows.is_young:
            self._begin_anew()
        peer = self.peers.of(process)
        peer.is_hungry, peer.belief = use.is_hungry, use.belief
        learns = not self.rate and use.tells_a_first_refusal
        if not learns:
            self._follow(self.peers)
        told = Verdicts([Instant(now - use.age_s)] * sent, [], [])
        if use.calls is not None:  # older releases tell totals alone
            told = peer.hear(use.calls, now, audience)
        for at in told.sent:
            self._take(Instant(max(at, self._at)))
            self.windows.hear(at)
        for at in told.admitted:
            self._admit(at)
        for at, fits_in_s in told.refused:
            self._hear_refusal(now, at, fits_in_s)
        if learns:  # from the calls of all; what the other believes came of its own alone
            self._follow(self.peers)

    def _begin_anew(self) -> None:
        """What was learned by then was learned from a part of the calls; who knows of none begins as others do."""
        if self.windows.was_refused:
            self.windows.forget_refusals()
            self._steps.begin_anew()
        elif not self._since:
            self.expect()

    def _hear_refusal(self, now: Instant, at: Instant, fits_in_s: float | None) -> None:
        if at > self._refused_at + OVERTAKEN_S:
            self._refuse(now, at, fits_in_s)
        else:
            self.windows.untake(at)

    def tell(self, use: Use, now: Instant, audience: Audience) -> Use:
        """That, and what the other processes should hear of calls."""
        return msgspec.structs.replace(use, calls=self.logs[audience].tell(now), belief=self.belief)

    def divide(self, heard_s: float, offset: int = 0) -> None:
        """What another process sent is heard of so much later, at most. `offset`: of the scope, for all of them."""
        if self.peers is not None:
            self.peers.heard_s, self.peers.offset = heard_s, offset
            self.windows.settles_s = max(SETTLES_S, heard_s)

    def leave(self, process: str) -> None:
        """Another process uses the scope no more."""
        if self.peers is not None:
            self.peers.leave(process)
            self._follow(self.peers)

    def _follow(self, peers: Peers) -> None:
        """One process' beliefs hold for all: each of its own they would leave too much between them, or too little."""
        leader = peers.leader
        if leader is not None:
            self.windows.told = leader.belief
        elif self.windows.told is not None:
            self._lead(self.windows.told)
        elif not self.rate:
            self._lead(next(iter(peers.beliefs), None))

    def _lead(self, belief: Belief | None) -> None:
        """Goes on from what another process found."""
        self.windows.told = None
        if belief is None:
            return
        self.windows.adopt(belief)
        if not self._is_believed:
            self._steps.follow(belief.rate, is_guess=belief.is_guess)

    def wait_s(self, now: Instant, sharers: int = 1) -> float:
        """Seconds until a call may go."""
        peers = None if sharers == 1 else self.peers
        window_s = max(self._window_at(now, peers), self._quiet_until) - now
        rate = 0.0 if self.windows.size else self.rate
        if not rate:
            return max(0.0, window_s)
        ahead = 0 if sharers == 1 or self.peers is None else self.peers.ahead
        level = min(self._most(rate) + ahead, self._left + rate * (now - self._at))
        return max(window_s, (1 + ahead - level - 1e-9) / rate)

    def _window_at(self, now: Instant, peers: Peers | None) -> float:
        """When a call fits into the window, and it is this process' turn."""
        windows = self.windows
        one_at = windows.room_at(1, now)
        if peers is None:
            return one_at
        own = 0 if peers.are_neighbours else windows.sent_here(now)  # whose turns are their own
        turn = peers.turn(now, own, windows.size)
        return one_at if turn is AT_ONCE else turn.comes_at(one_at, windows.room_at(turn.calls, now))


def expected_pace(hearsay: Hearsay, now: Instant) -> Pace | None:
    """Of a scope of which nothing is known: what others believe. None: they know of no limit."""
    if hearsay.expected is None:
        return None
    pace = Pace(now, hearsay)
    pace.expect()
    return pace
