"""Small calls of our own, with an account's credential and outside of any caller's call."""

from collections.abc import Mapping
from random import Random

from gateway.core.call import Call, Endpoint
from gateway.core.ids import CallId
from gateway.core.outcome import Fault, Outcome
from gateway.core.snapshot import Account, Provider
from gateway.providers.base import Destination, Headers, Limits, ProviderKind
from gateway.relay.credentials import Credentials
from gateway.relay.ports import Upstream, UpstreamAnswer


class Asking:
    """One per process. They take no lease: they are not calls, and an account that rests may be asked."""

    def __init__(
        self, *, upstream: Upstream, kinds: Mapping[str, ProviderKind], credentials: Credentials, rng: Random
    ) -> None:
        self._upstream = upstream
        self._kinds = kinds
        self._credentials = credentials
        self._rng = rng

    def kind_of(self, provider: Provider) -> ProviderKind:
        return self._kinds[provider.kind]

    async def destination_of(
        self,
        provider: Provider,
        account: Account,
        *,
        within_s: float | None = None,
        is_check: bool = False,
        is_ahead: bool = False,
    ) -> Destination | Outcome:
        """Where the account's calls go; else why there is no token for it. As `Credentials.destination_of`."""
        if account.credential.grant is None:
            return self.kind_of(provider).destination_of(provider, account.credential)
        return await self._credentials.destination_of(
            provider, account, within_s=within_s, is_check=is_check, is_ahead=is_ahead
        )

    async def renewed(self, provider: Provider, account: Account, used: Destination) -> Destination | None:
        """Where they go with another token than the one in `used`, which was refused; None: there is no other."""
        if account.credential.grant is None:
            return None
        return await self._credentials.renewed(provider, account, used)

    async def ask(
        self,
        provider: Provider,
        destination: Destination,
        endpoint: Endpoint,
        *,
        limits: Limits,
        path: str = "",
        headers: Headers = (),
    ) -> UpstreamAnswer | Fault:
        """What the account says; whoever gets an answer closes it."""
        call = Call(id=CallId(f"{endpoint.name}_{self._rng.getrandbits(64):016x}"), endpoint=endpoint, path=path)
        request = self.kind_of(provider).prepare(
            call, destination, model=None, headers=headers, body=b"", limits=limits
        )
        return await self._upstream.attempt(request)
