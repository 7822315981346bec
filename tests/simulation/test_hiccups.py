"""An upstream that refuses once for no reason that comes again, and serves everything after."""

import pytest

from gateway.sandbox.limits import Refusal, Verdict
from tests.simulation.world import World

RATE, SECONDS, NAMED_S = 6.0, 20.0, 2.0


class Hiccups:
    """Fits `Limits`: refuses the calls of these numbers, from 1, and says `NAMED_S`."""

    def __init__(self, refused):
        self.refused = refused
        self.calls = 0

    def admit(self, key, model, tokens, now):
        self.calls += 1
        if self.calls not in self.refused:
            return Verdict(None, ())
        return Verdict(Refusal("requests", model, key.org, 60.0, 0, 0, 1, NAMED_S), ())


def with_hiccups(refused, *, workers, seed, accounts=1):
    world = World((), accounts=accounts, processes=workers, are_neighbours=True, tells=False, seed=seed)
    if workers > 1:
        world.tell_uses()
    world.limits = Hiccups(refused)
    return world.run(rate=RATE, capacity=RATE, seconds=SECONDS, warm_up_s=0.0)


@pytest.mark.parametrize("refused", [1, 2, 5, 20])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whom_a_wait_of_two_seconds_saves_nobody_refuses(refused, workers, seed):
    result = with_hiccups({refused}, workers=workers, seed=seed)

    assert result.wasted == 1
    assert result.refused == 0
    assert result.served >= 0.97 * result.offered  # the last ones are still under way


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_two_accounts_the_other_serves_meanwhile(workers, seed):
    result = with_hiccups({3}, workers=workers, seed=seed, accounts=2)

    assert result.refused == 0
    assert result.served >= 0.97 * result.offered
