"""A discrete-event simulation: the real board and its picking in front of the sandbox's limits. No sockets, no waiting.

One `World` per gateway of any number of processes (`process`): the events between them, callers, and the upstream.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random

import msgspec

from gateway.core.hints import UNKNOWN, Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.core.uses import Audience
from gateway.providers.base import Headers
from gateway.relay.headrooms import NEWS_S
from gateway.relay.lease import Lease
from gateway.sandbox.config import KeyConfig, LimitRule
from gateway.sandbox.limits import Limits, Reading, Refusal, rate_headers
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import account
from tests.simulation.process import MODEL, Answered, Process

OK = Outcome(OutcomeKind.OK, 200)


class Result(msgspec.Struct):
    """What a run came to."""

    served: int = 0
    offered: int = 0
    refused: int = 0
    """Callers that were refused."""
    wasted: int = 0
    """Upstream 429s."""
    tokens: int = 0
    """Of those that were served."""
    offered_tokens: int = 0
    largest: int = 0
    """Calls of the largest size that were served…"""
    offered_largest: int = 0
    """…and that came."""
    capacity: float = 0.0
    """Calls that the upstream could have served between the warm-up's end and the run's."""

    @property
    def goodput(self) -> float:
        return self.served / self.capacity

    @property
    def waste(self) -> float:
        return self.wasted / max(self.served, 1)


class World:
    """Accounts, their upstream, and the processes between."""

    def __init__(
        self, rules: tuple[LimitRule, ...], *, accounts: int = 8, orgs: int | None = None, grouped: bool = True,
        processes: int = 1, tells: bool = True, delays_to_s: float | None = 0.001, latency_s: float = 0.3,
        seed: int = 1, late_share: float = 0.0, names_organizations: bool = False, one_name: str | None = None,
        favoured: int = 1, transit_s: float = 0.004, whole: Callable[[float], float] | None = None,
        are_neighbours: bool = False, writes: bool = False,
        misleads: Callable[[Reading, float], Reading] | None = None, names_in_text_alone: bool = False,
    ) -> None:  # fmt: skip
        """`one_name`: answers name this organisation, whichever it is. `favoured`: so many times as many calls come to
        the first process as to each other. `transit_s`: what a call takes to the upstream at most. `whole`: how resets
        are rounded to whole seconds. `are_neighbours`: the processes are workers of one service.
        `writes`: headers are written as text, and read. `misleads`: what headers tell instead, at that moment.
        `names_in_text_alone`: only refusals name organisations.

        `late_share`: of all calls, which are up to 30 ms longer on their way. `delays_to_s`: refusals name their delay,
        rounded up to this; None: they name none.
        """
        self.clock, self.rng = FakeClock(), Random(seed)
        self.late_share = late_share
        self.tells, self.writes = tells, writes
        self.latency_s, self.delays_to_s = latency_s, delays_to_s
        self.names_organizations, self.one_name = names_organizations or one_name is not None, one_name
        self.names_in_text_alone = names_in_text_alone
        self.transit_s, self.whole, self.misleads = transit_s, whole, misleads
        orgs = orgs or accounts
        self.keys = {f"a{i}": KeyConfig(org=f"org-{i % orgs}") for i in range(accounts)}
        self.limits = Limits(rules, charges_refused=True)
        some = [
            account(f"a{i}", quota_group=f"g{i % orgs}" if grouped and orgs != accounts else None)
            for i in range(accounts)
        ]
        audience = Audience.NEIGHBOURS if are_neighbours else Audience.REPLICAS
        self.processes = [Process(self, f"p{i}", accounts=some, seed=seed, audience=audience) for i in range(processes)]
        self.doors = [*self.processes, *self.processes[:1] * (favoured - 1)]
        """Where calls come in, one as often as another."""
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.order = itertools.count()
        self.result = Result()
        self.is_counting = self.is_talking = False
        self.largest = 0
        self.came: list[tuple[float, int]] | None = None
        """When calls came, after the world's beginning, and their tokens; None: nobody asks."""
        self.began = self.clock.now()

    def later(self, at: float, what: Callable[..., None], *facts: object) -> None:
        heappush(self.events, (at, next(self.order), what, facts))

    def refuse(self) -> None:
        self.result.refused += self.is_counting

    def send(self, process: Process, lease: Lease) -> None:
        """The request reaches the upstream some milliseconds later, and the answer comes after its latency."""
        on_way_s = 0.001 + (self.transit_s - 0.001) * self.rng.random()  # as `uniform` has it
        if self.late_share and self.rng.random() < self.late_share:
            on_way_s += self.rng.uniform(0.0, 0.03)
        self.later(lease.started + on_way_s, self._admit, process, lease)

    def _admit(self, process: Process, lease: Lease) -> None:
        now, key = self.clock.now(), self.keys[lease.member.account_id]
        verdict = self.limits.admit(key, MODEL, lease.tokens, now)
        if verdict.refusal is None:
            outcome, after_s = OK, self.latency_s * (0.5 + self.rng.random())
            self._count(lease.tokens)
        else:
            outcome, after_s = self._refused(verdict.refusal), 0.002
            self.result.wasted += self.is_counting
        readings = ()
        if self.tells:
            readings = verdict.readings if self.whole is None else in_wholes(verdict.readings, self.whole)
            if self.misleads is not None:
                readings = tuple([self.misleads(one, now) for one in readings])
        is_named = self.names_organizations and not self.names_in_text_alone
        organization = (self.one_name or key.org).encode() if is_named else None
        if self.writes:
            answer = Answered(outcome, headers=written(readings, organization))
        else:
            answer = Answered(outcome, handed_over(readings), organization)
        at = Instant(now + after_s)
        if verdict.owed:
            self.later(at, self.limits.settle, verdict, at)
        self.later(at, process.answered, lease, answer, at)

    def _count(self, tokens: int) -> None:
        if self.is_counting:
            self.result.served += 1
            self.result.tokens += tokens
            self.result.largest += tokens >= self.largest

    def _refused(self, refusal: Refusal) -> Outcome:
        if refusal.is_too_large:
            return Outcome(OutcomeKind.TOO_LARGE, 429)
        return Outcome(
            OutcomeKind.RATE_LIMITED,
            429,
            retry_after_s=self._delay(refusal),
            limit=refusal.limit,
            organization=(self.one_name or refusal.org) if self.names_organizations else None,
        )

    def _delay(self, refusal: Refusal) -> float | None:
        if not self.delays_to_s:
            return None
        return math.ceil(refusal.wait_s / self.delays_to_s) * self.delays_to_s

    def run(
        self, *, rate: float, capacity: float, seconds: float, warm_up_s: float = 20.0,
        tokens: int | Sequence[int] = 10, large: int | None = None,
    ) -> Result:  # fmt: skip
        """`rate`: calls a second that come, at random moments; `capacity`: calls a second that the upstream allows.

        `large`: calls of so many tokens and more count as of the largest size.
        """
        end = self.clock.now() + warm_up_s + seconds
        self.later(self.clock.now() + warm_up_s, self._begin)
        sizes = (tokens,) if isinstance(tokens, int) else tuple(tokens)
        self.largest = large or max(sizes)
        self.later(self.clock.now(), self._arrive, rate, end, sizes)
        events, move_to = self.events, self.clock.move_to
        while events:
            at, _, what, facts = heappop(events)
            if at > end:
                break
            move_to(Instant(at))
            what(*facts)
        self.result.capacity = capacity * seconds
        return self.result

    def tell_uses(self) -> None:
        """From now on processes hear each other, as `app.py` has it."""
        self.is_talking = True
        for process in self.processes:
            self.later(self.clock.now() + self.rng.uniform(0, NEWS_S), process.tell_news)
            self.later(self.clock.now() + self.rng.uniform(0, 1.0), process.tell_near)

    def tell(self, sender: Process, hear: Callable[[Process], object], audience: Audience) -> None:
        """The other processes hear it some milliseconds later; neighbours sooner."""
        fastest_s = 0.006 if audience is Audience.REPLICAS else 0.0003
        if self.is_talking:
            for other in self.processes:
                if other is not sender:
                    self.later(self.clock.now() + self.rng.uniform(fastest_s, 2 * fastest_s), hear, other)

    def _begin(self) -> None:
        self.is_counting = True

    def _arrive(self, rate: float, end: float, sizes: Sequence[int]) -> None:
        now, tokens = self.clock.now(), sizes[0] if len(sizes) == 1 else self.rng.choice(sizes)
        if self.is_counting:
            self.result.offered += 1
            self.result.offered_tokens += tokens
            self.result.offered_largest += tokens >= self.largest
        if self.came is not None:
            self.came.append((now - self.began, tokens))
        self.rng.choice(self.doors).arrive(tokens, now)
        at = now - math.log(1.0 - self.rng.random()) / rate  # as `expovariate` has it
        if at < end:
            self.later(at, self._arrive, rate, end, sizes)


def in_wholes(readings: tuple[Reading, ...], whole: Callable[[float], float]) -> tuple[Reading, ...]:
    return tuple([one if one.reset_s is None else _in_wholes(one, one.reset_s, whole) for one in readings])


def _in_wholes(reading: Reading, reset_s: float, whole: Callable[[float], float]) -> Reading:
    return msgspec.structs.replace(reading, reset_s=whole(round(reset_s, 6)))


def written(readings: tuple[Reading, ...], organization: bytes | None) -> Headers:
    """As an answer's headers."""
    named = () if organization is None else ((b"openai-organization", organization),)
    told = tuple([(name.encode(), value.encode()) for name, value in rate_headers(readings)])
    return ((b"content-type", b"application/json"), *named, *told)


def handed_over(readings: tuple[Reading, ...]) -> RateLimits | None:
    """What would be read from them: resets are written in whole milliseconds, rounded up."""
    if not readings:
        return None
    requests = tokens = UNKNOWN
    for one in readings:
        quota = Quota(one.limit, one.remaining, _in_ms(one.reset_s))
        if one.what == "requests":
            requests = quota
        else:
            tokens = quota
    return RateLimits(requests, tokens)


def _in_ms(reset_s: float | None) -> float | None:
    return None if reset_s is None else math.ceil(round(reset_s * 1000, 6)) / 1000
