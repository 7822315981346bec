"""`python -m tests.simulation`: how a pool of any size fares over any number of calls, and what each costs to play."""

import argparse
import sys
import time

from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

LIMIT, PERIOD_S, WARM_UP_S = 10, 4.0, 4.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000, help="each of 10 requests per 4 s")
    parser.add_argument("--calls", type=int, default=1_000_000, help="that arrive in all, about")
    parser.add_argument("--load", type=float, default=1.5, help="what arrives, as a share of what the accounts serve")
    parser.add_argument("--algorithm", type=Algorithm, default=Algorithm.BUCKET, choices=list(Algorithm))
    parser.add_argument("--without-headers", action="store_true", help="the limits are told by refusals alone")
    asked = parser.parse_args()
    capacity = asked.accounts * LIMIT / PERIOD_S
    rule = LimitRule(requests=LIMIT, period_s=PERIOD_S, algorithm=asked.algorithm)
    world = World((rule,), accounts=asked.accounts, tells=not asked.without_headers)
    seconds = max(asked.calls / (asked.load * capacity) - WARM_UP_S, 1.0)

    began = time.process_time()
    result = world.run(rate=asked.load * capacity, capacity=capacity, seconds=seconds, warm_up_s=WARM_UP_S)
    took_s = time.process_time() - began

    calls = asked.load * capacity * (seconds + WARM_UP_S)
    sys.stdout.write(
        f"{calls:,.0f} calls in {seconds + WARM_UP_S:.0f} s of their time, {took_s:.1f} s of ours: "
        f"{took_s / calls * 1e6:.0f} us each\n"
        f"served of what was possible: {result.served / min(result.offered, result.capacity):.4f}\n"
        f"429s for each answer: {result.waste:.4f}; callers refused: {result.refused / max(result.offered, 1):.4f}\n"
    )


if __name__ == "__main__":
    main()
