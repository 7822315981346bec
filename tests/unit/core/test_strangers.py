"""Who else uses a bucket, by what answers say is left."""

import math
from random import Random

from gateway.core.hints import Quota
from gateway.core.ids import Instant
from gateway.core.level import Level
from gateway.core.places import Place
from gateway.core.strangers import FORGOTTEN_S, MOST, Strangers
from gateway.sandbox.limiter import Bucket

LIMIT, PERIOD_S = 20, 20.0


class Play:
    """One of us, `others` of them, on one bucket: each sends in its turn, `rate` calls a second all together."""

    def __init__(self, others, rate):
        self.now, self.others, self.step_s = 100.0, others, 1 / rate
        self.meter = Bucket(LIMIT, PERIOD_S, self.now)
        self.level = Level(LIMIT, Instant(self.now))
        self.strangers = Strangers()
        self.refused = 0
        self.rng = Random(1)

    def rounds(self, times):
        for _ in range(times):
            for who in range(self.others + 1):
                self.now += self.step_s * self.rng.uniform(0.2, 1.8)
                is_admitted = self.meter.wait_for(1, self.now) <= 0
                self.meter.drain(1, self.now)
                if who == 0:
                    self.hear(is_success=is_admitted)

    def hear(self, *, is_success):
        now = Instant(self.now)
        self.refused += not is_success
        remaining = math.floor(self.meter.free(self.now) + 1e-9)
        quota = Quota(LIMIT, remaining, round(self.meter.until_full(self.now), 3))
        self.level.take(1, now)
        self.level.learn(quota, Place(), sent_at=now, freed=0.0, is_success=is_success)
        self.strangers.note(self.level, remaining, now, is_success=is_success)


def test_nobody_is_suspected_while_nothing_is_refused():
    play = Play(others=3, rate=0.9)

    play.rounds(100)

    assert play.refused == 0
    assert play.strangers.count == 0


def test_those_who_take_what_was_not_ours_are_found():
    play = Play(others=1, rate=2.0)

    play.rounds(60)

    assert play.refused > 0
    assert 1 <= play.strangers.count <= 3


def test_one_who_is_alone_suspects_nobody_however_often_refused():
    play = Play(others=0, rate=1.3)

    play.rounds(200)

    assert play.refused > 10
    assert play.strangers.count <= 1


def test_they_are_forgotten_when_nothing_is_missing_any_more():
    play = Play(others=1, rate=2.0)
    play.rounds(60)

    play.others, play.step_s = 0, 1.05
    play.rounds(40)

    assert play.strangers.count == 0


def test_they_are_forgotten_with_time_and_are_never_more_than_so_many():
    strangers, level = Strangers(), Play(others=1, rate=2.0)
    level.rounds(60)
    strangers = level.strangers

    assert strangers.counted(Instant(level.now + 1)) == strangers.count <= MOST
    assert strangers.counted(Instant(level.now + FORGOTTEN_S + 1)) == 0
