"""Who sees the meters: no more than the limits allow, and all of that where there is enough to do."""

from random import Random

import pytest
from goodput_best import best_of
from goodput_scenes import Scene

PERIOD_S, TOKENS = 8.0, 10_000
KINDS = ("bucket", "fixed", "sliding")


def scene_of(kind, *, accounts=4, **fields):
    return Scene("one", kind, accounts=accounts, period_s=PERIOD_S, **fields)


def arrivals(scene, load, *, seconds=80.0, seed=1):
    rng, at, calls = Random(seed), 0.0, []
    while at < seconds:
        calls.append((at, rng.choice(scene.prompts)))
        at += rng.expovariate(load * scene.capacity)
    return calls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", [{"limit": 10}, {"limit": None, "tokens": TOKENS}], ids=["requests", "tokens"])
def test_an_overload_is_served_to_the_limit(kind, limits):
    scene = scene_of(kind, **limits)

    answers, tokens = best_of(scene, arrivals(scene, 1.5), 40.0, 80.0)

    served = tokens / (40.0 * scene.token_capacity) if scene.tokens else answers / (40.0 * scene.capacity)
    assert 0.98 <= served <= 1.02


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_goes_at_once_where_there_is_room_and_else_when_there_is(kind):
    scene = scene_of(kind, accounts=1, limit=1)
    calls = [(1.0, 1), (2.0, 1)]

    assert best_of(scene, calls, 0.0, 1.5) == (1, 1)
    assert best_of(scene, calls, 1.5, 8.9) == (0, 0)
    assert best_of(scene, calls, 1.5, 9.1) == (1, 1)


@pytest.mark.parametrize(("kind", "passes"), [("bucket", 0), ("fixed", 1), ("sliding", 1)])
def test_small_calls_go_before_a_large_one_into_windows_alone(kind, passes):
    scene = scene_of(kind, accounts=2, limit=None, tokens=100)
    calls = [(0.0, 80), (0.0, 70), (0.1, 100), (0.2, 20)]

    assert best_of(scene, calls, 0.15, 0.3) == (passes, 20 * passes)


def test_who_waited_too_long_is_gone():
    scene = scene_of("fixed", accounts=1, limit=1)

    assert best_of(scene, [(0.0, 1), (0.1, 1), (0.2, 1)], 0.0, 60.0) == (2, 2)
