"""One dimension of a limit that other processes use as well."""

from gateway.core.freeing import Freeing
from gateway.core.hints import Quota
from gateway.core.ids import Instant
from gateway.core.level import Level
from gateway.core.places import Place
from gateway.sandbox.config import Algorithm
from gateway.sandbox.limiter import make_meter

LIMIT, START = 20_000, 1000.0


def fixed():
    """A window of 10 s with calls of ours in it, that another process uses, too; and when it ends."""
    meter, level = make_meter(Algorithm.FIXED, LIMIT, 10.0, 0.0), Level(LIMIT, Instant(START - 100))
    for at in [*[START - 100 + 2.3 * number for number in range(43)], START]:
        level.take(1000, Instant(at))
        meter.drain(1000, at)
        quota = Quota(LIMIT, int(meter.free(at)), meter.until_full(at))
        level.learn(quota, Place(), sent_at=Instant(at), freed=0, is_success=True)
    level.divide(2, 0, is_hungry=True)
    return level, START + meter.until_full(START)


def test_what_another_takes_as_our_window_ends_is_of_the_next_one():
    level, ends_at = fixed()

    level.hear("other", 8000, Instant(ends_at + 0.013), age_s=0.01, is_hungry=True)  # it knew the end a little sooner

    assert level.kind is Freeing.FIXED
    assert level.level(Instant(ends_at + 0.02)) == LIMIT - 8000
    assert level.shares.opened == 8000


def test_an_answer_that_was_overtaken_forgets_nothing_that_another_took():
    level, ends_at = fixed()
    before = level.left
    level.hear("other", 8000, Instant(START + 1), age_s=0.0, is_hungry=True)
    level.take(4000, Instant(START + 1))

    quota = Quota(LIMIT, int(before) - 4000, ends_at - START - 1)  # it was admitted before what the other had sent
    level.learn(quota, Place(), sent_at=Instant(START + 1), freed=0, is_success=True)

    assert level.left == before - 4000 - 8000
