"""When dead workers come back, and when the start is given up."""

from gateway.respawn import DEATHS_TO_GIVE_UP, LONGEST_DELAY_S, QUICK_S, Respawns


def after_quick_deaths(count: int, *, was_ready: bool) -> Respawns:
    respawns = Respawns()
    for _ in range(count):
        respawns = respawns.after_death(0.1, was_ready=was_ready)
    return respawns


def test_death_after_a_long_life_is_answered_at_once():
    respawns = after_quick_deaths(3, was_ready=True).after_death(QUICK_S, was_ready=True)

    assert respawns.delay_s == 0.0


def test_quick_deaths_double_the_delay_up_to_its_bound():
    delays = [after_quick_deaths(count, was_ready=True).delay_s for count in range(1, 12)]

    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(delays) == delays[-1] == LONGEST_DELAY_S


def test_worker_that_never_served_is_given_up():
    assert not after_quick_deaths(DEATHS_TO_GIVE_UP - 1, was_ready=False).is_hopeless
    assert after_quick_deaths(DEATHS_TO_GIVE_UP, was_ready=False).is_hopeless


def test_slow_death_without_having_served_counts_as_well():
    respawns = Respawns()
    for _ in range(DEATHS_TO_GIVE_UP):
        respawns = respawns.after_death(60.0, was_ready=False)

    assert respawns.is_hopeless


def test_worker_that_once_served_is_never_given_up():
    respawns = Respawns().after_death(1.0, was_ready=True)
    for _ in range(20):
        respawns = respawns.after_death(0.1, was_ready=False)

    assert not respawns.is_hopeless
