"""The other processes that use a scope: who they are, how soon they hear of a call, and what they were told last.

Rules of this file:
- neighbours, the workers of one service, hear of each other's calls within some milliseconds, replicas within 150: two
  audiences, each told of what it has not heard;
- who told nothing for as long as what it took may be missing is gone.

Mutable; one per scope.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from gateway.core.ids import NEVER, Instant
from gateway.core.shares import HEARD_S, HEARD_SOON_S
from gateway.core.uses import Audience, Totals

NEIGHBOURS, REPLICAS = Audience  # Python 3.11 takes as long to find a member as to call a function
T = TypeVar("T")

TOLD_S = 1.0
"""While nobody of an audience uses it a scope that is near its limit is told of so often."""


class News(Generic[T]):
    """Scopes of which there may be something to tell."""

    __slots__ = ("_untold", "on_news")

    def __init__(self) -> None:
        self._untold: list[dict[T, None]] = [{} for _ in Audience]
        """In the order in which they came: sets would have another one in each process."""
        self.on_news: Callable[[], None] | None = None
        """Called when there is something for neighbours, and there was nothing. None: there are no neighbours."""

    def add(self, scope: T) -> None:
        self._untold[REPLICAS][scope] = None
        if self.on_news is not None:
            if not self._untold[NEIGHBOURS]:
                self.on_news()
            self._untold[NEIGHBOURS][scope] = None

    def take(self, audience: Audience) -> dict[T, None]:
        """All that there is for them, which is thereby told."""
        scopes, self._untold[audience] = self._untold[audience], {}
        return scopes

    def put_back(self, audience: Audience, scopes: Iterable[T]) -> None:
        """They were not told after all: the next time it is their turn."""
        self._untold[audience].update(dict.fromkeys(scopes))
        if audience is NEIGHBOURS and self.on_news is not None:
            self.on_news()


class Told(msgspec.Struct, frozen=True, gc=False):
    """What an audience heard of a scope."""

    sent: Totals = Totals()
    order: int = 0
    """The newest answer's place."""
    is_hungry: bool = False
    refusals: int = 0
    """Calls that were refused without a header."""
    window: tuple[int, float] = (0, 0.0)
    """That this process believes in where no header tells of any: calls in a period."""


class _Other(msgspec.Struct, frozen=True, gc=False):
    """What another process told of itself, and when."""

    at: Instant
    sent: Totals
    audience: Audience


class Company:
    """Starts alone."""

    __slots__ = (
        "_all_heard_at", "_audiences", "_offset", "_own_name", "_told", "_told_at", "count", "heard_s", "others",
        "place",
    )  # fmt: skip

    def __init__(self) -> None:
        self._offset = 0
        self._own_name = ""
        self.others: dict[str, _Other] = {}
        """To be asked by every call whether there are any."""
        self._audiences: frozenset[Audience] = frozenset()
        """Those that some of them belong to."""
        self._all_heard_at = NEVER
        """Each was heard then, or later."""
        self.count = 1
        """Processes that share the scope, this one included."""
        self.place = 0
        """This process' among them, from 0."""
        self.heard_s = HEARD_SOON_S
        """What any of them sent is known so much later, at most, while all are well."""
        self._told = [Told() for _ in Audience]
        self._told_at = [NEVER for _ in Audience]

    @property
    def offset(self) -> int:
        """So that not the same process is the first on every scope."""
        return self._offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = offset
        self._number()

    @property
    def late_s(self) -> float:
        """What others sent is known so much later; 0.0 where there are none."""
        return self.heard_s if self.others else 0.0

    @property
    def is_first(self) -> bool:
        """Of all processes, by name: what one is to do, this one does."""
        return all(self._own_name < name for name in self.others)

    def has(self, audience: Audience) -> bool:
        return audience in self._audiences

    def hear(self, process: str, sent: Totals, audience: Audience, now: Instant, *, own: str) -> Totals | None:
        """How much more it sent than when it was heard last; None: it was never heard. `own`: this process' name."""
        before = self.others.get(process)
        self.others[process] = _Other(now, sent, audience)
        if before is None or before.audience is not audience or self._own_name != own:
            self._own_name = own
            self._number()
        return None if before is None else sent.since(before.sent)

    def has_silent(self, now: Instant, lasts_s: float) -> bool:
        """Whether somebody told nothing for so long."""
        if now - self._all_heard_at >= lasts_s:
            self._all_heard_at = min([other.at for other in self.others.values()], default=now)
        return now - self._all_heard_at >= lasts_s

    def part(self, now: Instant, lasts_s: float) -> list[str]:
        """Who told nothing for so long, and is gone from now on."""
        gone = [name for name, other in self.others.items() if now - other.at >= lasts_s]
        for name in gone:
            del self.others[name]
        if gone:
            self._number()
        return gone

    def last_told(self, audience: Audience) -> Told:
        return self._told[audience]

    def rests(self, audience: Audience, now: Instant) -> bool:
        """Nobody of them is known to be there, and they were told not long ago."""
        return now - self._told_at[audience] < TOLD_S and not self.has(audience)

    def is_news(self, audience: Audience, news: Told) -> bool:
        """Whether those that are there have not heard it."""
        return news != self._told[audience] or not self.has(audience)

    def tell(self, audience: Audience, news: Told, now: Instant) -> None:
        self._told[audience], self._told_at[audience] = news, now

    def _number(self) -> None:
        self.count = 1 + len(self.others)
        self.place = (sum(name < self._own_name for name in self.others) + self._offset) % self.count
        self._audiences = frozenset([other.audience for other in self.others.values()])
        self.heard_s = HEARD_S if REPLICAS in self._audiences else HEARD_SOON_S
