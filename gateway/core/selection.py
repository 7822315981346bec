"""(candidates, rng) → one of them.

The caller passes the candidates of one tier: accounts that may serve the call now and have room. Where all else is
equal accounts take turns by *virtual time*: what an account has served divided by its weight, so weight 2 gets two
turns of three against weight 1. An account that was parked or stuck must not then get every call "to catch up": its
virtual time jumps to the pool's clock with its first turn (`served_after`).
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from random import Random
from typing import Protocol

from gateway.core.ids import AccountId
from gateway.core.snapshot import SelectionStrategy

SCANNED = 32
"""Up to so many candidates are all looked at."""
SAMPLED = 8
"""Of more only so many, drawn at random: the best of a handful is nearly the best, and the cost stays flat."""
DIMMED = 0.5
"""An account in doubt (overloaded or silent a moment ago) counts with half its weight."""
SLACK_TURNS = 2.0
"""How many turns an account may be behind the pool's clock and still catch up."""


class Candidate(Protocol):
    """An account that may serve now, and its load."""

    @property
    def account_id(self) -> AccountId: ...

    @property
    def weight(self) -> float:
        """Above 0."""
        ...

    @property
    def load(self) -> "Load": ...


class Load(Protocol):
    """What an account has running and has served, kept by the caller."""

    @property
    def in_flight(self) -> int:
        """Calls it has running, here and now."""
        ...

    @property
    def served(self) -> float:
        """Its virtual time: see `served_after`."""
        ...


Candidates = Sequence[Candidate]
Dimmed = Collection[AccountId]


def choose(  # the facts of one choice, by name
    candidates: Candidates,
    strategy: SelectionStrategy,
    *,
    rng: Random,
    affinity: str | None = None,
    turn: int = 0,
    dimmed: Dimmed = (),
) -> int:
    """The index of the one to use; there must be at least one.

    `affinity` is used by CACHE_AFFINITY, which is BALANCED without one; `turn` by ROUND_ROBIN: how many calls of this
    pool were chosen before. `dimmed` names the accounts in doubt.
    """
    if len(candidates) == 1:
        return 0
    match strategy:
        case SelectionStrategy.BALANCED:
            return _least_loaded(candidates, rng, dimmed)
        case SelectionStrategy.FILL_FIRST:
            return 0
        case SelectionStrategy.ROUND_ROBIN:
            return turn % len(candidates)
        case SelectionStrategy.CACHE_AFFINITY:  # pragma: no branch  # there is no other
            return _least_loaded(candidates, rng, dimmed) if affinity is None else _rendezvous(candidates, affinity)


def served_after(served: float, weight: float, *, clock: float, is_dimmed: bool = False) -> float:
    """The virtual time of a chosen account once it took its turn.

    `clock` is the pool's: the largest `served` at which an account of the pool was ever chosen. So the caller does
    `clock = max(clock, chosen.served)`, then `chosen.served = served_after(...)`. A newcomer, or one that comes back
    from a rest, has its share of turns from its first one on, and not more.
    """
    turn = 1 / (weight * DIMMED if is_dimmed else weight)
    return max(served, clock - SLACK_TURNS * turn) + turn


def _least_loaded(candidates: Candidates, rng: Random, dimmed: Dimmed) -> int:
    """The least in flight for its weight; of equals who served least for its weight; of these anyone."""
    count = len(candidates)
    if count <= SCANNED:
        return _best(candidates, range(count), rng.random, dimmed)
    random = rng.random
    return _best(candidates, [int(random() * count) for _ in range(SAMPLED)], random, dimmed)


def _best(candidates: Candidates, indices: Collection[int], random: Callable[[], float], dimmed: Dimmed) -> int:
    # One plain loop: this runs for every attempt, and a key function with tuples costs three times as much.
    best, least, best_served, equals = 0, float("inf"), float("inf"), 1
    for index in indices:
        candidate = candidates[index]
        load = candidate.load
        weighed = load.in_flight / candidate.weight
        if dimmed and candidate.account_id in dimmed:
            weighed /= DIMMED
        if weighed > least:
            continue
        served = load.served
        if weighed < least or served < best_served:
            best, least, best_served, equals = index, weighed, served, 1
        elif served == best_served:
            equals += 1
            if random() * equals < 1:  # each of k equals is kept with chance 1/k
                best = index
    return best


_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: the multiplier of Fibonacci hashing, spreads over the high bits
_UNIT = 2.0**-53


def _rendezvous(candidates: Candidates, affinity: str) -> int:
    """Weighted rendezvous hashing: the same key goes to the same account while that is there, on every replica.

    Without an account only its own keys move. The highest −weight / ln(u) wins, u in (0, 1) from key and account.
    """
    key = _point(affinity)
    best, best_score = 0, -1.0
    for index, candidate in enumerate(candidates):
        mixed = _point(candidate.account_id) ^ key
        mixed = (mixed * _ODD) & _MASK
        mixed = ((mixed ^ (mixed >> 32)) * _ODD) & _MASK
        score = -candidate.weight / log(((mixed >> 11) + 0.5) * _UNIT)
        if score > best_score:
            best, best_score = index, score
    return best


@lru_cache(maxsize=8192)
def _point(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
