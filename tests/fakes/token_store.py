"""`MemoryTokens`: fits `relay.ports.TokenStore`. Several processes of a test share one, as replicas share the table."""

from gateway.core.ids import AccountId, Instant
from gateway.core.snapshot import Account
from gateway.providers.oauth import AccessToken
from tests.fakes.clock import FakeClock


class MemoryTokens:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.is_away = False
        """As Postgres is when it is gone."""
        self.kept: dict[AccountId, tuple[object, AccessToken, Instant]] = {}
        self.claims: dict[AccountId, Instant] = {}

    async def load(self, account: Account) -> AccessToken | None:
        found = None if self.is_away else self.kept.get(account.id)
        if found is None:
            return None
        grant, token, until = found
        left_s = until - self._clock.now()
        return AccessToken(token.secret, left_s) if left_s > 0 and grant == account.credential.grant else None

    async def claim(self, account_id: AccountId, seconds: float) -> bool:
        if not self.is_away and self.claims.get(account_id, Instant(0.0)) > self._clock.now():
            return False
        self.claims[account_id] = Instant(self._clock.now() + seconds)
        return True

    async def save(self, account: Account, token: AccessToken) -> bool:
        if self.is_away:
            return False
        until = Instant(self._clock.now() + token.lifetime_s)
        self.kept[account.id] = (account.credential.grant, token, until)
        self.claims.pop(account.id, None)
        return True

    async def release(self, account_id: AccountId) -> None:
        self.claims.pop(account_id, None)
