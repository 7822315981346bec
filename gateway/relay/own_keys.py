"""Calls of those who bring a provider's key of their own (BYOK): one attempt with it, and nothing is kept of it.

    x-provider + Authorization ─▶ a pool of one, made for this call alone ─▶ attempt ─▶ the answer, whatever it is

Rules of this file: no account is used, parked, learned from or counted, nor is anything held against the provider;
there is no other account to go to, so the caller reads what the upstream says, a 401 or 429 too; no log has the key.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.call import Call
from gateway.core.cooldown import ScopeNames
from gateway.core.errors import AllOutOfQuota, AllRateLimited, GatewayError, InvalidCall, Unauthenticated
from gateway.core.ids import AccountId, CallId, Instant, Secret
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.core.routing import own_key_targets_for
from gateway.core.snapshot import Account, AuthStrategy, Credential, Provider, Snapshot
from gateway.providers.base import Destination, ProviderKind
from gateway.relay.answer import Answer
from gateway.relay.attempt import Attempts, Failed
from gateway.relay.credentials import Credentials
from gateway.relay.job import Job
from gateway.relay.lease import Lease
from gateway.relay.member import Load, Member
from gateway.relay.pool import Pool
from gateway.relay.ports import Clock, Upstream
from gateway.wire.headers import own_key_answer_headers

NOBODY = AccountId("")


class OwnKey(msgspec.Struct, frozen=True):
    """What a caller brought."""

    secret: Secret
    organization: str | None = None
    project: str | None = None


class NoBooks:
    """Fits `lease.Books`: nothing is written down."""

    def take(self, pool: Pool, member: Member, now: Instant, tokens: int = 0, call_id: CallId | None = None) -> Lease:  # noqa: ARG002  # the board's signature
        return Lease(self, member, now, tokens, call_id)

    def observe(self, lease: Lease, outcome: Outcome, now: Instant) -> None:
        """Nobody suffers."""

    def released(self, lease: Lease) -> None:
        """Nobody waits for the slot."""


class OwnKeys:
    """One per worker."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        credentials: Credentials,
        kinds: Mapping[str, ProviderKind],
        clock: Clock,
        are_taken: bool,
    ) -> None:
        self.are_taken = are_taken
        """Whether the settings allow such calls."""
        self._kinds = kinds
        self._attempts = Attempts(
            board=NoBooks(),
            upstream=upstream,
            credentials=credentials,
            clock=clock,
            passed_headers=own_key_answer_headers,
        )

    def pool_for(self, snapshot: Snapshot, call: Call, key: OwnKey) -> Pool:
        """A pool of one for this call. Raises CallRefused for what the provider does not serve, or cannot be sent."""
        targets = own_key_targets_for(snapshot, call)
        provider, kind = targets.provider, self._kinds[targets.provider.kind]
        credential = _presented(provider, key)
        account = Account(id=NOBODY, provider_id=provider.id, label="", credential=credential)
        names = ScopeNames("", "", targets.upstream_model.lower(), call.endpoint.name)
        member = Member(account, Load(), names, (), _destination(kind, provider, credential), ())
        return Pool(
            key=("own", provider.id),
            provider=provider,
            kind=kind,
            model=targets.upstream_model,
            is_model_kept=targets.is_model_kept,
            endpoint=call.endpoint,
            members=(member,),
            fallbacks=(),
        )

    async def relay_call(self, job: Job) -> Answer:
        """The one attempt's answer, or its refusal as it came. Raises GatewayError for what has no answer to pass."""
        began = job.progress.arrived if job.began is None else job.began
        deadline = Instant(began + job.pool.provider.settings.timeout_s)
        result = await self._attempts.attempt(job.pool.members[0], job, deadline)
        if isinstance(result, Answer):
            return result
        if isinstance(result.refusal, Answer):
            return result.refusal
        raise _said(result, result.refusal)


def _presented(provider: Provider, key: OwnKey) -> Credential:
    """As an account's would be; where accounts buy tokens, or have nothing to show, the key is a bearer."""
    strategy = provider.auth_strategy
    if strategy is AuthStrategy.NONE:
        strategy = AuthStrategy.API_KEY
    return Credential(strategy, key.secret, organization=key.organization, project=key.project)


def _destination(kind: ProviderKind, provider: Provider, credential: Credential) -> Destination:
    try:
        return kind.destination_of(provider, credential)
    except ValueError as error:
        raise InvalidCall(
            "The key in the header `Authorization`, or the organization or project beside it, cannot be sent on.",
            param="authorization",
            code="invalid_header",
        ) from error


def _said(failed: Failed, refusal: GatewayError) -> GatewayError:
    """Refusals that came in no form that could be passed on, and mean the caller's key."""
    outcome = failed.outcome
    if outcome.status == 401:
        return Unauthenticated("The provider does not take the key in your Authorization header.")
    if outcome.kind is OutcomeKind.RATE_LIMITED:
        return AllRateLimited("Your key is at its rate limit.", retry_after_s=outcome.retry_after_s or 1.0)
    if outcome.kind is OutcomeKind.OUT_OF_QUOTA:
        return AllOutOfQuota("Your key is out of quota.")
    return refusal
