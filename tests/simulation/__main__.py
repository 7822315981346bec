"""`python -m tests.simulation`: how a pool of any size fares over any number of calls, and what each costs to play.

The calls are divided among worlds that know nothing of each other, as many as there are cores: each has as many
accounts, and a seed of its own.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec

from gateway.sandbox.config import Algorithm, LimitRule
from gateway.worker import GARBAGE
from tests.simulation.world import Result, World

LIMIT, PERIOD_S, WARM_UP_S = 10, 4.0, 4.0


class Play(msgspec.Struct, frozen=True):
    """What one world plays."""

    accounts: int
    calls: float
    load: float
    algorithm: Algorithm
    tells: bool
    seed: int

    @property
    def capacity(self) -> float:
        """Calls a second."""
        return self.accounts * LIMIT / PERIOD_S

    @property
    def seconds(self) -> float:
        """That are counted."""
        return max(self.calls / (self.load * self.capacity) - WARM_UP_S, 1.0)


def play(what: Play) -> tuple[Result, float]:
    """With the seconds of CPU that it took."""
    rule = LimitRule(requests=LIMIT, period_s=PERIOD_S, algorithm=what.algorithm)
    world = World((rule,), accounts=what.accounts, tells=what.tells, seed=what.seed)
    rate = what.load * what.capacity
    began = time.process_time()
    result = world.run(rate=rate, capacity=what.capacity, seconds=what.seconds, warm_up_s=WARM_UP_S)
    return result, time.process_time() - began


def be_as_a_worker() -> None:
    """Garbage is looked for as seldom as there."""
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def read_plays(arguments: Sequence[str] | None = None) -> list[Play]:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000, help="each of 10 requests per 4 s")
    parser.add_argument("--calls", type=int, default=1_000_000, help="that arrive in all worlds, about")
    parser.add_argument("--load", type=float, default=1.5, help="what arrives, as a share of what the accounts serve")
    parser.add_argument("--algorithm", type=Algorithm, default=Algorithm.BUCKET, choices=list(Algorithm))
    parser.add_argument("--without-headers", action="store_true", help="the limits are told by refusals alone")
    parser.add_argument("--worlds", type=int, default=os.cpu_count() or 1, help="played at the same time")
    asked = parser.parse_args(arguments)
    calls = asked.calls / asked.worlds
    return [
        Play(asked.accounts, calls, asked.load, asked.algorithm, not asked.without_headers, seed)
        for seed in range(1, asked.worlds + 1)
    ]


def summary(plays: Sequence[Play], played: Sequence[tuple[Result, float]], took_s: float) -> str:
    """`took_s`: of everybody's time."""
    results = [result for result, _ in played]
    calls = sum(one.load * one.capacity * (one.seconds + WARM_UP_S) for one in plays)
    possible = sum(min(result.offered, result.capacity) for result in results)
    served, offered = sum(result.served for result in results), sum(result.offered for result in results)
    return (
        f"{calls:,.0f} calls in {len(plays)} worlds, {plays[0].seconds + WARM_UP_S:.0f} s of their time, "
        f"{took_s:.1f} s of ours: {sum(cpu_s for _, cpu_s in played) / calls * 1e6:.0f} us of CPU each\n"
        f"served of what was possible: {served / possible:.4f}\n"
        f"429s for each answer: {sum(result.wasted for result in results) / max(served, 1):.4f}; "
        f"callers refused: {sum(result.refused for result in results) / max(offered, 1):.4f}\n"
    )


def main() -> None:
    plays, began = read_plays(), time.perf_counter()
    with ProcessPoolExecutor(len(plays), initializer=be_as_a_worker) as processes:
        played = list(processes.map(play, plays))
    sys.stdout.write(summary(plays, played, time.perf_counter() - began))


if __name__ == "__main__":
    main()
