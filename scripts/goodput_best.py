"""What who sees the meters and sends in no time serves of the same calls: to hold a front's figure against.

Random callers leave a window unused now and late ones wait when the count ends, whoever decides. Who decides here has
the sandbox's own meters before him: the first in line goes as soon as it fits, where it leaves the least over; into
windows the largest behind that fits goes before it, but not where the first will fit the soonest. Pure.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from goodput_scenes import FOREVER, Scene

from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import Meter, make_meter

PATIENCE_S = 10.0
"""So long callers wait, as the gateway has it by default."""
SCANNED = 64
"""So many of a line are looked at."""
SOONEST_S = 1e-6

Came = tuple[float, int]
"""When a call came, and its tokens."""


class Account:
    """One organisation's limits."""

    def __init__(self, scene: Scene, number: int) -> None:
        algorithm, requests = Algorithm(scene.algorithm), scene.requests(number)
        self._tokens = None if scene.tokens is None else make_meter(algorithm, scene.tokens, scene.period_s, 0.0)
        self._requests = None if requests is None else make_meter(algorithm, requests, scene.period_s, 0.0)

    def _charged(self, tokens: int) -> list[tuple[Meter, int]]:
        pairs = ((self._tokens, tokens), (self._requests, 1))
        return [(meter, amount) for meter, amount in pairs if meter is not None]

    def wait_s(self, tokens: int, now: float) -> float:
        return max(meter.wait_for(amount, now) for meter, amount in self._charged(tokens))

    def room(self, now: float) -> float:
        """A larger call does not fit now."""
        if self._requests is not None and self._requests.wait_for(1, now) > 0:
            return 0.0
        return FOREVER if self._tokens is None else self._tokens.free(now)

    def frees_in_s(self, now: float) -> float:
        """Until more is free than now; infinite where all is."""
        return min(meter.until_next(now) or FOREVER for meter, _ in self._charged(1))

    def take(self, tokens: int, now: float) -> None:
        for meter, amount in self._charged(tokens):
            meter.drain(amount, now)


def best_of(scene: Scene, calls: Sequence[Came], since: float, until: float) -> tuple[int, int]:
    """How many of them, and how many tokens, are admitted between these moments."""
    accounts = [Account(scene, number) for number in range(scene.organisation_count)]
    is_bucket = scene.algorithm == Algorithm.BUCKET
    coming, line, now = deque(sorted(calls)), deque[Came](), 0.0
    answers = tokens = 0
    while now < until:
        while coming and coming[0][0] <= now:
            line.append(coming.popleft())
        while line and now - line[0][0] >= PATIENCE_S:
            line.popleft()
        while line and (taken := _next(line, accounts, now, is_bucket=is_bucket)) is not None:
            call, account = taken
            line.remove(call)
            account.take(call[1], now)
            answers += since <= now
            tokens += call[1] * (since <= now)
        now = max(now + SOONEST_S, _look_at(line, coming, accounts, now, is_bucket=is_bucket))
    return answers, tokens


def _next(
    line: Sequence[Came], accounts: Sequence[Account], now: float, *, is_bucket: bool
) -> tuple[Came, Account] | None:
    """Who goes now, and where to."""
    waits_s = [account.wait_s(line[0][1], now) for account in accounts]
    if min(waits_s) <= 0:
        fitting = [account for account, wait_s in zip(accounts, waits_s, strict=True) if wait_s <= 0]
        return line[0], min(fitting, key=lambda account: account.room(now))
    if is_bucket:
        return None
    soonest = accounts[waits_s.index(min(waits_s))]
    rooms = [(account.room(now), account) for account in accounts if account is not soonest]
    gap = max([room for room, _ in rooms], default=0.0)
    small = [call for call in islice(line, 1, SCANNED) if call[1] <= gap]
    if not small:
        return None
    call = max(small, key=lambda one: one[1])
    return call, min([pair for pair in rooms if pair[0] >= call[1]], key=lambda pair: pair[0])[1]


def _look_at(
    line: Sequence[Came], coming: Sequence[Came], accounts: Sequence[Account], now: float, *, is_bucket: bool
) -> float:
    """When somebody may go next."""
    at = coming[0][0] if coming else FOREVER
    if line:
        head = line[0]
        at = min(at, head[0] + PATIENCE_S, now + min(account.wait_s(head[1], now) for account in accounts))
        if not is_bucket:
            at = min(at, now + min(account.frees_in_s(now) for account in accounts))
    return at
