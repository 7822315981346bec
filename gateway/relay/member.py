"""One account in a pool, with its live load."""

from gateway.core import pieces
from gateway.core.cooldown import ScopeNames
from gateway.core.headroom import Headroom
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import Scope
from gateway.core.snapshot import Account
from gateway.providers.base import Destination
from gateway.relay.affiliations import Watch

INFINITE = float("inf")


class Load:
    """What this worker has running on one account. Mutable; one per account, kept over snapshots."""

    __slots__ = ("in_flight", "is_awaited", "served")

    def __init__(self) -> None:
        self.in_flight = 0
        self.is_awaited = False
        """Some view has set the account aside as full: it wants to be told when a call ends."""
        self.served = 0.0
        """Calls taken divided by weight: a virtual time. Who has the least goes first among equally loaded accounts."""


class Member:
    """One account in a pool. Immutable but for the load it points at."""

    __slots__ = (
        "account", "account_id", "destination", "headrooms", "load", "names", "rank", "scopes", "watch", "weight",
    )  # fmt: skip

    def __init__(  # what a member is, by name
        self,
        account: Account,
        load: Load,
        names: ScopeNames,
        scopes: tuple[Scope, ...],
        destination: Destination,
        headrooms: tuple[Headroom, ...],
    ) -> None:
        self.account = account
        self.account_id: AccountId = account.id
        self.weight = account.weight
        self.load = load
        self.names = names
        self.scopes = scopes
        self.destination = destination
        self.headrooms = headrooms
        """Of its model's scope, and of every family whose limit the model shares."""
        self.watch: Watch | None = None
        """What is learned of its organisation; None where an operator grouped it."""
        self.rank = 0
        """Its place among the pool's members."""

    def has_room(self) -> bool:
        limit = self.account.max_concurrency
        return limit is None or self.load.in_flight < limit

    @property
    def token_limit(self) -> float:
        """A call that is charged more never fits; infinite where that is not known."""
        least = INFINITE
        for headroom in self.headrooms:
            least = min(least, headroom.token_limit)
        return least

    def token_room(self, now: Instant) -> float:
        """A call that is charged more does not fit now; infinite where no limit of tokens is known."""
        return min([pieces.token_room(headroom.levels, now) for headroom in self.headrooms])

    def piece(self, now: Instant) -> float:
        """What is left of a window of tokens that is used up by half; infinite where there is none."""
        least = INFINITE
        for headroom in self.headrooms:  # asked of every candidate while there are pieces
            least = min(least, pieces.piece(headroom.levels, now))
        return least

    def spare(self, tokens: int, at: Instant) -> float:
        """Tokens that are left over when a call of `tokens` goes then."""
        return min([pieces.spare(headroom.levels, tokens, at) for headroom in self.headrooms])

    def loses_room(self) -> bool:
        """What is left of its tokens now is not there later: they are a window's."""
        return any(pieces.loses_room(headroom.levels) for headroom in self.headrooms)

    def frees_at_once(self) -> bool:
        """All of its limits are fixed windows."""
        return all(pieces.frees_at_once(headroom.levels) for headroom in self.headrooms)

    def wait_s(self, tokens: int, now: Instant) -> float:
        """Seconds until a call that is charged so many tokens fits its limits; 0.0 where none are known."""
        longest = 0.0
        for headroom in self.headrooms:
            longest = max(longest, headroom.wait_s(tokens, now))
        return longest

    def refill(self, tokens: int) -> float:
        """Calls of so many tokens that fit in a second, over a long time; 0.0 = unknown."""
        return min([headroom.refill(tokens) for headroom in self.headrooms])

    def wait_or_try_s(self, tokens: int, now: Instant) -> float:
        """The same, or less where headers ask for a wait that is to be tried: for who sends the call then."""
        longest = 0.0
        for headroom in self.headrooms:
            longest = max(longest, headroom.wait_or_try_s(tokens, now))
        return longest

    def sure_wait_s(self, now: Instant) -> float:
        """Seconds until a call fits for sure, whatever other processes take; 0.0 where `wait_s` says that."""
        return max([headroom.sure_wait_s(now) for headroom in self.headrooms], default=0.0)
