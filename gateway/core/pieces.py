"""What is left of a scope's limits on tokens, and what becomes of it: pieces of windows are used or lost."""

from gateway.core.freeing import BUCKET, FIXED
from gateway.core.ids import Instant
from gateway.core.level import Level

Levels = tuple[tuple[Level, bool], ...]
"""With whether each counts tokens that a call is charged at admission."""
INFINITE = float("inf")
HALF = 0.5
HALVINGS = 5
"""So exactly a process knows how much of what is left it may take."""


def token_room(levels: Levels, now: Instant) -> float:
    """A call that is charged more does not fit now; infinite where no limit of tokens is known."""
    return min([_room(level, now) for level, is_tokens in levels if is_tokens], default=float("inf"))


def _room(level: Level, now: Instant) -> float:
    least, most = 0.0, level.level(now)
    if level.shares is None or most <= 0 or level.wait_s(most, now) <= 0:
        return most
    for _ in range(HALVINGS):  # what is left is not all for this process
        middle = (least + most) / 2
        least, most = (middle, most) if level.wait_s(middle, now) <= 0 else (least, middle)
    return least


def piece(levels: Levels, now: Instant) -> float:
    """What is left of a window of tokens that is used up by half; infinite where there is none."""
    least = INFINITE
    for level, is_tokens in levels:
        if is_tokens and level.kind is not BUCKET and (left := level.level(now)) <= HALF * level.limit:
            least = min(least, left)
    return least


def spare(levels: Levels, tokens: int, at: Instant) -> float:
    """Tokens that are left over when a call of `tokens` goes at that moment, for which its room is expected; not below
    0. Who takes no more than these until then does not delay it. Of limits that other processes use nothing is.
    """
    least = float("inf")
    for level, is_tokens in levels:
        left = 0.0 if level.shares is not None else level.left_by(at) - (tokens if is_tokens else 1)
        least = min(least, left if is_tokens or left < 1 else float("inf"))
    return max(0.0, least)


def loses_room(levels: Levels) -> bool:
    """What is left of its tokens now is not there later: they are a window's."""
    return any(is_tokens and level.kind is not BUCKET for level, is_tokens in levels)


def frees_at_once(levels: Levels) -> bool:
    """What its windows have left is gone when they end."""
    return all(level.kind is FIXED for level, _ in levels)
