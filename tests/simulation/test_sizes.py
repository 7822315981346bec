"""Callers with prompts of all sizes, before limits on tokens: how much of these is served, and to whom."""

import pytest

from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

LIMIT, PERIOD_S, ACCOUNTS = 20_000, 10.0, 8
CAPACITY = ACCOUNTS * LIMIT / PERIOD_S
EVEN = tuple(range(200, 4001, 100))
FEW_LARGE = (200,) * 8 + (4000,) * 2


def play(algorithm, sizes, load, **fields):
    world = World((LimitRule(tokens=LIMIT, period_s=PERIOD_S, algorithm=algorithm),), accounts=ACCOUNTS, **fields)
    rate = load * CAPACITY / (sum(sizes) / len(sizes))
    return world.run(rate=rate, capacity=CAPACITY, seconds=200, warm_up_s=30, tokens=sizes)


@pytest.mark.parametrize("sizes", [EVEN, FEW_LARGE], ids=["even", "few-large"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_nobody_is_refused_while_there_is_room(algorithm, sizes):
    result = play(algorithm, sizes, 0.9)

    assert result.refused == 0
    assert result.waste <= 0.02


@pytest.mark.parametrize("sizes", [EVEN, FEW_LARGE], ids=["even", "few-large"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_small_calls_use_what_large_ones_cannot(algorithm, sizes, seed):
    result = play(algorithm, sizes, 1.5, seed=seed)

    assert result.tokens >= 0.99 * result.capacity
    assert result.waste <= 0.02


@pytest.mark.parametrize("sizes", [EVEN, FEW_LARGE], ids=["even", "few-large"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_large_calls_have_their_share(algorithm, sizes):
    result = play(algorithm, sizes, 1.5)

    assert result.largest / result.offered_largest >= 0.5 * result.served / result.offered
