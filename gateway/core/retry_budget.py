"""How many attempts after a fault of the upstream the traffic of one worker may add.

Retries multiply the load on an upstream that is already in trouble: bounded by the calls in flight they can never be
more than a fifth of it. Attempts after a fault of the *account* (429, quota, 401) do not draw on this.
"""

import msgspec


class RetryBudget(msgspec.Struct, frozen=True):
    """SPEC §4: 20 % of calls in flight, never fewer than 3 at once per worker."""

    share: float = 0.2
    floor: int = 3

    def allowed(self, calls: int) -> int:
        """How many retries may be under way at once while `calls` are in flight (retries' own calls included)."""
        return max(self.floor, int(calls * self.share))


DEFAULT_BUDGET = RetryBudget()


def may_retry(retries: int, calls: int, budget: RetryBudget = DEFAULT_BUDGET) -> bool:
    """Whether one more retry may start while `retries` are under way and `calls` in flight, both in this worker."""
    return retries < budget.allowed(calls)
