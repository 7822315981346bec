"""Access tokens of accounts that have none of their own: fetched, shared, refreshed ahead of their expiry.

    a call ─▶ a token that lasts ─────────────────────────────▶ its destination
          └─▶ none ─▶ one fetch of this process, all wait for it ─┬▶ another process' token, from the table
    each second: whose token ends soon ──▶ the same fetch ────────┴▶ claimed here: the token endpoint is asked

Rules of this file:
- one fetch at a time: in this process by the `Entry`, across processes by a claim in the table, which ends by itself;
- without Postgres each process fetches for itself, and shares what it bought later: two tokens do no harm;
- a token that still lasts is used while its successor is fetched, and while fetching fails;
- a failed fetch is not repeated before its rest is over, but when an operator asks for a check;
- what the registry says of an account holds, whichever copy a caller has from before an edit: no old secret buys.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from secrets import token_hex

from msgspec import structs

from gateway.core.ids import NEVER, AccountId, Instant, Secret
from gateway.core.outcome import Fault, Outcome, OutcomeKind
from gateway.core.snapshot import Account, Grant, Provider, Snapshot
from gateway.providers.base import Destination, ProviderKind
from gateway.providers.oauth import MAX_ANSWER_BYTES, AccessToken, no_answer, read_token, token_request, via_for_tokens
from gateway.relay.ports import Clock, TokenStore, Upstream
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

SPARE_S = 10.0
"""A token is not used in the last seconds of its life: the call is on its way meanwhile."""
AHEAD_S = 300.0
AHEAD_SHARE = 0.2
"""Refreshed so long, or so much of its life, before its end, whichever is later."""
CLAIM_S = 30.0
"""How long the others leave a fetch to the process that claimed it: longer than one takes."""
LOOK_S = 0.25
"""How often a process looks whether the one that claimed the fetch is done."""
RESTS = {OutcomeKind.NO_TOKEN: (1.0, 60.0), OutcomeKind.CREDENTIAL_REJECTED: (60.0, 3600.0)}
"""After a fetch that came to this: the first rest, which doubles, and the longest, in seconds."""
RENEW_S = 10.0
"""A token that was bought so lately and is refused already says that the account is, not the token."""
SHARE_AGAIN_S = 5.0
"""Until a token that could not be put into the table is offered to it again."""
FETCHES_AT_ONCE = 8
LATE = Outcome(OutcomeKind.NO_TOKEN, message="no access token could be fetched in time", is_definite_refusal=True)


class Entry:
    """What this process knows of one account's token."""

    __slots__ = (
        "account", "destination", "failed", "failures", "fetch", "fetched", "is_ahead", "kind", "provider",
        "refresh_at", "refused", "rests_until", "share_at", "token", "unshared", "until",
    )  # fmt: skip

    def __init__(self, kind: ProviderKind, provider: Provider, account: Account, *, is_ahead: bool = False) -> None:
        self.kind, self.provider, self.account = kind, provider, account
        self.is_ahead = is_ahead
        """The account was read from its row before the registry was: this is for one check."""
        self.token: Secret | None = None
        self.until = self.refresh_at = self.fetched = NEVER
        """When it may not be used any more, should be refreshed, was bought or found."""
        self.destination: Destination | None = None
        self.refused: Secret | None = None
        """The token that the upstream did not take: not to be found in the table again."""
        self.unshared: Secret | None = None
        """Bought here, and not in the table; `share_at`: when it is offered to it again."""
        self.share_at = NEVER
        self.fetch: asyncio.Task[None] | None = None
        self.failed: Outcome | None = None
        self.failures = 0
        self.rests_until = NEVER

    @property
    def grant(self) -> Grant:
        grant = self.account.credential.grant
        if grant is None:
            raise TypeError("the account presents a key of its own")
        return grant

    def lasts(self, now: Instant) -> bool:
        return self.token is not None and now < self.until

    def present(self, token: Secret) -> None:
        """Its calls go out with this token from now on."""
        self.token = token
        credential = structs.replace(self.account.credential, secret=token)
        self.destination = self.kind.destination_of(self.provider, credential)


class Credentials:
    """One per process. For accounts whose credential has a `grant`."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        store: TokenStore,
        kinds: Mapping[str, ProviderKind],
        clock: Clock,
        registry: Callable[[], Snapshot] = Snapshot,
    ) -> None:
        """`registry`: as it is now; without one accounts are as whoever asks has them."""
        self._registry = registry
        self._upstream = upstream
        self._store = store
        self._kinds = kinds
        self._clock = clock
        self._entries: dict[AccountId, Entry] = {}
        self._seen: Snapshot | None = None
        self._slots = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    # -- calls -----------------------------------------------------------------------------------------------------

    async def destination_of(
        self,
        provider: Provider,
        account: Account,
        *,
        within_s: float | None = None,
        is_check: bool = False,
        is_ahead: bool = False,
    ) -> Destination | Outcome:
        """Where the account's calls go, with a token in it that lasts; else why there is none.

        Waits for a fetch, `within_s` at most. `is_check`: somebody wants to know, so no rest after a failure counts.
        `is_ahead`: the account was read from its row just now, and the registry may not know it yet.
        """
        entry = self._entry_of(provider, account, is_ahead=is_ahead)
        if not entry.lasts(self._clock.now()):
            if is_check:
                entry.rests_until = NEVER
            await self._fetched(entry, within_s)
        return self._ready(entry)

    async def renewed(self, provider: Provider, account: Account, used: Destination) -> Destination | None:
        """The upstream did not take the token in `used`: another one, once. None: the account is at fault."""
        entry, now = self._entry_of(provider, account), self._clock.now()
        if entry.destination is used:
            if now - entry.fetched < RENEW_S:
                return None
            entry.refused, entry.token, entry.unshared = entry.token, None, None
            await self._fetched(entry, None)
        ready = self._ready(entry)
        return ready if isinstance(ready, Destination) and ready is not used else None

    def _ready(self, entry: Entry) -> Destination | Outcome:
        if entry.destination is not None and entry.lasts(self._clock.now()):
            return entry.destination
        return entry.failed or LATE

    def _entry_of(self, provider: Provider, account: Account, *, is_ahead: bool = False) -> Entry:
        """The account's; its token is kept where other columns than the credential have changed."""
        snapshot = self._registry()
        known = snapshot.accounts.get(account.id)
        if known is not None:
            if is_ahead and known.credential != account.credential:
                return Entry(self._kinds[provider.kind], provider, account, is_ahead=True)
            provider, account = snapshot.providers[known.provider_id], known
        entry = self._entries.get(account.id)
        if entry is not None and entry.account is account and entry.provider is provider:
            return entry
        kind = self._kinds[provider.kind]
        if entry is None or entry.account.credential != account.credential:
            entry = self._entries[account.id] = Entry(kind, provider, account)
        entry.kind, entry.provider, entry.account = kind, provider, account
        if entry.token is not None:
            entry.present(entry.token)
        return entry

    def _is_edited(self, entry: Entry) -> bool:
        """The account has another credential by now."""
        known = self._registry().accounts.get(entry.account.id)
        return not entry.is_ahead and known is not None and known.credential != entry.account.credential

    # -- fetching --------------------------------------------------------------------------------------------------

    async def refresh_due(self) -> None:
        """Begins to fetch what is missing or ends soon. Called each second; costs nothing where no account needs it."""
        snapshot = self._registry()
        if snapshot is not self._seen:
            self._seen = snapshot
            granted = [account for account in snapshot.accounts.values() if account.credential.grant is not None]
            kept = {account.id for account in granted}
            self._entries = {id_: entry for id_, entry in self._entries.items() if id_ in kept}
            for account in granted:
                self._entry_of(snapshot.providers[account.provider_id], account)
        now = self._clock.now()
        for entry in self._entries.values():
            if now >= entry.refresh_at:
                self._begin(entry)
            elif entry.unshared is not None and now >= entry.share_at:
                bought = AccessToken(entry.unshared, entry.until - now)
                self._watch(asyncio.create_task(self._share(entry, bought), name=f"sharing {entry.account.id}'s token"))

    async def aclose(self) -> None:
        """Fetches under way end. Who waits for one reads that there is no token."""
        running = list(self._running)
        for fetch in running:
            fetch.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _fetched(self, entry: Entry, within_s: float | None) -> None:
        """Waits for the fetch; one caller's going away does not end it for the others."""
        fetch = self._begin(entry)
        if fetch is not None:
            await asyncio.wait({fetch}, timeout=within_s)

    def _begin(self, entry: Entry) -> asyncio.Task[None] | None:
        """None: the last one failed a moment ago."""
        if entry.fetch is None and self._clock.now() >= entry.rests_until:
            entry.fetch = asyncio.create_task(self._fetch(entry), name=f"token of {entry.account.id}")
            self._watch(entry.fetch)
        return entry.fetch

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, fetch: asyncio.Task[None]) -> None:
        self._running.discard(fetch)
        error = None if fetch.cancelled() else fetch.exception()
        if error is not None:
            get_logger().error(Event.TASK_CRASHED, task=fetch.get_name(), error=type(error).__name__)

    async def _fetch(self, entry: Entry) -> None:
        try:
            async with self._slots:
                if await self._found(entry):
                    return
                if self._is_edited(entry):
                    await self._store.release(entry.account.id)
                    return
                result = await self._bought(entry)
                if isinstance(result, AccessToken):
                    self._keep(entry, result)
                    await self._share(entry, result)
                else:
                    self._fail(entry, result)
                    await self._store.release(entry.account.id)
        finally:
            entry.fetch = None

    async def _share(self, entry: Entry, bought: AccessToken) -> None:
        entry.unshared, entry.share_at = bought.secret, Instant(self._clock.now() + SHARE_AGAIN_S)
        if await self._store.save(entry.account, bought) and entry.unshared is bought.secret:
            entry.unshared = None

    async def _found(self, entry: Entry) -> bool:
        """Whether another process has bought one. If none is at it the fetch is claimed, and there is nothing to find.

        While the old token lasts the others' fetch is not waited for: the next second looks again.
        """
        give_up = self._clock.now() + CLAIM_S
        while not await self._adopted(entry):
            if await self._store.claim(entry.account.id, CLAIM_S):
                if not await self._adopted(entry):  # it may have come between the look and the claim
                    return False
                await self._store.release(entry.account.id)
                return True
            if self._clock.now() >= give_up:
                return False
            if entry.lasts(self._clock.now()):
                return True
            await self._clock.sleep(LOOK_S)
        return True

    async def _adopted(self, entry: Entry) -> bool:
        """Whether the table has a token that is news."""
        shared = await self._store.load(entry.account)
        if shared is None or shared.lifetime_s <= SPARE_S or shared.secret in {entry.refused, entry.token}:
            return False
        self._keep(entry, shared)
        return True

    async def _bought(self, entry: Entry) -> AccessToken | Outcome:
        grant = entry.grant
        assertion = await self._signed(grant)
        answer = await self._upstream.attempt(token_request(grant, via_for_tokens(entry.provider), assertion))
        if isinstance(answer, Fault):
            return no_answer(answer)
        try:
            body = await answer.read_all(MAX_ANSWER_BYTES)
        finally:
            answer.close()
        if isinstance(body, Fault):
            return no_answer(body)
        return read_token(answer.status, dict(answer.headers), body, grant, wall_now=self._clock.wall_now())

    async def _signed(self, grant: Grant) -> Secret | None:
        """What proves who asks where the account has a certificate; None where a secret does."""
        if grant.client_certificate is None:
            return None
        return await asyncio.to_thread(_sign, grant, self._clock.wall_now())

    def _keep(self, entry: Entry, token: AccessToken) -> None:
        now, lifetime_s = self._clock.now(), token.lifetime_s
        entry.present(token.secret)
        entry.fetched = now
        entry.until = Instant(now + lifetime_s - min(SPARE_S, lifetime_s / 10))
        entry.refresh_at = Instant(now + lifetime_s - min(AHEAD_S, lifetime_s * AHEAD_SHARE))
        entry.unshared, entry.failed, entry.failures, entry.rests_until = None, None, 0, NEVER
        get_logger().info(
            Event.CREDENTIAL_REFRESHED,
            provider=entry.provider.id,
            account_id=entry.account.id,
            expires_at=self._clock.wall_now() + timedelta(seconds=lifetime_s),
        )

    def _fail(self, entry: Entry, outcome: Outcome) -> None:
        first_s, longest_s = RESTS[outcome.kind]
        rest_s = max(min(first_s * 2.0 ** min(entry.failures, 20), longest_s), min(outcome.retry_after_s or 0.0, 60.0))
        entry.failed = outcome
        entry.failures += 1
        entry.rests_until = Instant(self._clock.now() + rest_s)
        get_logger().warning(
            Event.CREDENTIAL_REFRESH_FAILED,
            provider=entry.provider.id,
            account_id=entry.account.id,
            status=outcome.status,
            code=outcome.code,
            error=outcome.message,
            next_try_s=round(rest_s, 3),
        )


def _sign(grant: Grant, wall_now: datetime) -> Secret:
    from gateway.providers.assertion import signed_assertion  # noqa: PLC0415  # its library is loaded for none else

    assert grant.client_certificate is not None  # noqa: S101  # whoever calls looked
    return signed_assertion(
        grant.client_certificate,
        client_id=grant.client_id,
        audience=grant.token_url,
        wall_now=wall_now,
        jti=token_hex(16),
    )
