"""The bench's scenes of tokens before several processes, held against who sees the meters and sends in no time.

A call of 2000 needs a fifth of a limit: between two processes it would need two fifths of each one's part.
"""

import pytest
from goodput_best import best_of
from goodput_scenes import PROMPTS, TOKENS, TOKENS_PERIOD_S, Scene

from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

ACCOUNTS, WARM_UP_S, SECONDS = 8, 24.0, 56.0
CAPACITY = ACCOUNTS * TOKENS / TOKENS_PERIOD_S
MOST_WASTE = 0.02
WINDOWS = (Algorithm.FIXED, Algorithm.SLIDING)


def play(algorithm, load, *, processes=2, seed=1, **fields):
    """What came of it, and the tokens that the best serves of the same calls."""
    rule = LimitRule(tokens=TOKENS, period_s=TOKENS_PERIOD_S, algorithm=algorithm)
    world = World((rule,), accounts=ACCOUNTS, processes=processes, latency_s=0.2, seed=seed, **fields)
    world.tell_uses()
    world.came = []
    rate = load * CAPACITY * len(PROMPTS) / sum(PROMPTS)
    result = world.run(rate=rate, capacity=CAPACITY, seconds=SECONDS, warm_up_s=WARM_UP_S, tokens=PROMPTS)
    scene = Scene("", algorithm, limit=None, tokens=TOKENS, period_s=TOKENS_PERIOD_S)
    return result, best_of(scene, world.came, WARM_UP_S, WARM_UP_S + SECONDS)[1]


@pytest.mark.parametrize("load", [1.0, 1.5])
@pytest.mark.parametrize("algorithm", WINDOWS)
def test_two_workers_serve_what_can_be_served(algorithm, load):
    served = possible = 0.0
    for seed in (1, 2, 3):
        result, best = play(algorithm, load, seed=seed, are_neighbours=True)
        served += result.tokens
        possible += min(best, SECONDS * CAPACITY)

        assert result.waste <= 0.002

    assert served >= 0.99 * possible


@pytest.mark.parametrize("load", [1.0, 1.5])
@pytest.mark.parametrize("algorithm", WINDOWS)
def test_so_do_four(algorithm, load):
    result, best = play(algorithm, load, processes=4, are_neighbours=True)

    assert result.tokens >= 0.985 * min(best, SECONDS * CAPACITY)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("algorithm", WINDOWS)
def test_no_worker_refuses_while_there_is_room(algorithm, processes):
    result, _ = play(algorithm, 0.9, processes=processes, are_neighbours=True)

    assert result.refused == 0
    assert result.waste <= 0.002
