"""The dimensions of a scope's limits by name, and which of them count what."""

from collections.abc import Mapping
from functools import partial

import msgspec

from gateway.core.charged_level import ChargedLevel
from gateway.core.freeing import SLIDING
from gateway.core.hearsay import Hearsay
from gateway.core.hints import Quota
from gateway.core.ids import Instant
from gateway.core.level import Level
from gateway.core.pace import Pace
from gateway.core.pieces import Levels
from gateway.core.uses import CHARGED_TOKENS, OUTPUT, Reading, Sent, Totals

ROOMY = 0.5
"""With more than half of every limit left…"""
ROOMY_S = 0.02
"""…headers are read so often only: what is sent is counted anyway."""
HUNGRY_S = 0.25
"""Calls that waited so lately still wait, as far as others should know."""
SHARER_S = 3.0
"""Another process that used the scope so lately shares its rate…"""
PERIODS, LONGEST_SHARER_S = 1.5, 100.0
"""…within so many periods of a window, or times in which a bucket fills; never longer than 100 s."""


Early = list[tuple[int, Instant]]
"""Calls that were sent before anything was known: what each is charged, and when."""


def new_level(name: str, limit: float, now: Instant, hearsay: Hearsay, early: Early) -> Level:
    """`hearsay`: of the scopes whose limits may be the same."""
    if name == OUTPUT:
        return Level(limit, now)
    is_of_tokens = name in CHARGED_TOKENS
    level = (
        ChargedLevel(limit, now, hearsay.factor)
        if is_of_tokens
        else Level(limit, now, is_of_tokens=False, alike_of=partial(hearsay.alike, name))
    )
    for tokens, at in early:
        level.note_early(tokens if is_of_tokens else 1, at)
    return level


def levels_of(names: Mapping[str, Level]) -> tuple[Levels, Levels]:
    """All of them, and those that are charged at admission: all but the output's."""
    levels = tuple([(level, name in CHARGED_TOKENS) for name, level in names.items()])
    return levels, tuple([pair for pair in levels if pair[0] is not names.get(OUTPUT)])


def look_at(levels: Levels) -> tuple[bool, bool]:
    """Whether one is a sliding window, and whether all are roomy."""
    slides, is_roomy = False, True
    for level, _ in levels:
        slides |= level.kind is SLIDING
        is_roomy &= level.left > ROOMY * level.limit
    return slides, is_roomy


def guessed(level: Level | None, name: str, quota: Quota, sent: Sent, *, is_success: bool) -> Quota:
    """Some vendors name no limit: it is the most that any answer showed, with what its own call was charged."""
    charged = 0 if not is_success or name == OUTPUT else sent.charged if name in CHARGED_TOKENS else 1
    known = 0 if level is None else int(level.told_limit)
    return msgspec.structs.replace(quota, limit=max(known, (quota.remaining or 0) + charged))


def refill_of(names: Mapping[str, Level], tokens: int, produced: float) -> float:
    """Calls of so many tokens that fit in a second, over a long time; 0.0 = unknown. `produced`: by each answer."""
    rates = []
    for name, level in names.items():
        if name == OUTPUT:
            rates.append(level.rate / produced if produced else 0.0)
        else:
            rates.append(level.own_rate / max(tokens, 1) if name in CHARGED_TOKENS else level.own_rate)
    return min([rate for rate in rates if rate > 0], default=0.0)


def amount_of(name: str, totals: Totals) -> int:
    """What of it that limit counts."""
    if name == OUTPUT:
        return totals.produced
    return totals.tokens if name in CHARGED_TOKENS else totals.requests


def readings(names: Mapping[str, Level], now: Instant) -> tuple[Reading, ...]:
    """What answers told of them last."""
    some = [level.reading(name, now) for name, level in names.items()]
    return tuple([reading for reading in some if reading is not None])


def hear_reading(names: Mapping[str, Level], reading: Reading, now: Instant, *, is_new: bool) -> None:
    """What an answer told another process. `is_new`: it was never heard, so that nobody knows what it sent before."""
    level = names.get(reading.dimension)
    if level is not None and level.told_limit == reading.limit:
        level.hear_reading(reading, now)
        if is_new:
            level.cap(reading.remaining, now)


def remembered_s(levels: Levels, pace: Pace | None = None) -> float:
    """What was taken is missing until a window ends, or a bucket is full: so long whoever took it is reckoned with.

    Else what a process says after a pause is the first that is heard of it, and what it just sent is not counted.
    `pace`: what was learned of limits that no header tells of.
    """
    longest = SHARER_S if pace is None else max(SHARER_S, PERIODS * pace.span_s)
    for level, _ in levels:
        longest = max(longest, PERIODS * level.span_s)
    return min(longest, LONGEST_SHARER_S)
