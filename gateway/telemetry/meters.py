"""`Meters`: where the relay tells what happened; counters and log lines come from it.

Rules of this file: nothing here waits or raises; a change of health is one line, written by the process that saw it;
lines of single attempts are for `debug` alone, and nobody pays for them else.
"""

from datetime import timedelta

from gateway.core.blast_radius import Lifted
from gateway.core.breaker import BreakerNews, Span
from gateway.core.cooldown import Health, Phase, Witness
from gateway.core.ids import AccountId, CallId, Instant, ProviderId
from gateway.core.masking import masked_identifiers
from gateway.core.organizations import Organization
from gateway.core.outcome import Outcome, OutcomeKind, Scope
from gateway.core.snapshot import Account
from gateway.telemetry.calls import CallRing
from gateway.telemetry.clock import Clock
from gateway.telemetry.events import CallEnd, CallRecord, Event
from gateway.telemetry.log import LogOutput, get_logger
from gateway.telemetry.metrics import Metrics

_log = get_logger()

_BROKEN = CallEnd.BROKEN  # bound: Python 3.11 takes as long to find a member as to call a function
USUAL = frozenset({OutcomeKind.RATE_LIMITED, OutcomeKind.OVERLOADED, OutcomeKind.NO_ACCESS_TO_MODEL})
"""Reasons to rest that belong to a day's work: `info`. Of the others an operator wants to know: `warning`."""


class Meters:
    """Fits `relay.metering.Meter` and the board's callbacks. One per worker."""

    def __init__(self, metrics: Metrics, log: LogOutput, calls: CallRing, *, clock: Clock, worker: str) -> None:
        self.worker = worker
        self.is_debug = log.is_debug
        self._log = log
        self._metrics = metrics
        self._calls = calls
        self._clock = clock
        self._said_of_organizations: set[tuple[Organization, bool | None]] = set()
        self.call_started = metrics.call_started
        self.attempt_finished = metrics.attempt_finished

    # -- calls ---------------------------------------------------------------------------------------------------

    def call_finished(self, record: CallRecord) -> None:
        self._metrics.call_finished(record)
        if record.outcome is _BROKEN or record.is_spliced:
            _log.warning(
                Event.STREAM_BROKEN,
                call_id=record.call_id,
                provider=record.provider,
                account_id=record.account_id,
                detail=record.code,
                chunks=record.chunks,
                is_spliced=record.is_spliced,
            )
        if self.is_debug and record.trail and record.trail[-1].outcome is OutcomeKind.OK:
            _log_served(record)
        self._calls.keep(self._log.call_finished(record))

    def attempt_failed(
        self,
        call_id: CallId,
        provider_id: ProviderId,
        account_id: AccountId | None,
        outcome: Outcome,
        duration_s: float,
    ) -> None:
        """For `debug`: ask `is_debug` first. Of a refusal the upstream's words stay out, they may quote the call."""
        _log.debug(
            Event.ATTEMPT_FAILED,
            call_id=call_id,
            provider=provider_id,
            account_id=account_id,
            outcome=outcome.kind,
            status=outcome.status,
            code=outcome.code,
            detail=outcome.message if outcome.status is None and outcome.code is None else None,
            retry_after_s=outcome.retry_after_s,
            total_s=round(duration_s, 6),
        )

    # -- health --------------------------------------------------------------------------------------------------

    def cooled(self, account: Account, scope: Scope, health: Health, witness: Witness) -> None:
        """A rest of the scope began here, by that attempt on the account."""
        reason = health.reason or OutcomeKind.RATE_LIMITED
        self._metrics.cooled(account.provider_id, reason)
        if health.phase is Phase.REJECTED:
            _log.warning(
                Event.ACCOUNT_DISABLED,
                provider=account.provider_id,
                account_id=account.id,
                reason=reason,
                strikes=health.strikes,
                call_id=witness.call_id,
            )
            return
        write = _log.info if reason in USUAL else _log.warning
        write(
            Event.ACCOUNT_COOLED,
            **_names(account, scope, reason),
            strikes=health.strikes,
            **self._rest_until(health.until),
            is_probe=witness.is_probe,
            call_id=witness.call_id,
        )

    def recovered(self, account: Account, scope: Scope, before: Health) -> None:
        """The scope serves again, as this process saw: a success, a probe that passed, an operator's word."""
        _log.info(Event.ACCOUNT_RECOVERED, **_names(account, scope, before.reason))

    def breaker_changed(self, news: BreakerNews) -> None:
        """A breaker opened, rests on after a failed probe, or closed."""
        self._metrics.breaker_changed(news)
        names = {
            "provider": news.provider_id,
            "model": news.what if news.span is Span.MODEL else None,
            "origin": news.what if news.span is Span.ORIGIN else None,
        }
        if not news.breaker.is_open:
            _log.info(Event.PROVIDER_RECOVERED, **names)
            return
        _log.warning(
            Event.PROVIDER_BROKEN,
            **names,
            reason=news.breaker.reason,
            rest_s=news.breaker.rest_s,
            failures=news.failures,
            attempts=news.attempts,
        )

    def parks_lifted(self, lifted: Lifted) -> None:
        """The call, the provider or our own address was at fault, not the accounts."""
        _log.info(
            Event.PARKS_LIFTED,
            provider=lifted.provider_id,
            reason=lifted.reason,
            count=lifted.count,
            call_id=lifted.call_id,
        )

    def organization_learned(self, organization: Organization, accounts: int, *, is_shared: bool | None) -> None:
        """Once for each thing there is to say, not for each account. Its accounts' status names it whole."""
        news = (organization, is_shared)
        if accounts > 1 and news not in self._said_of_organizations:
            self._said_of_organizations.add(news)
            provider_id, name = organization
            _log.info(
                Event.ORGANIZATION_LEARNED,
                provider=provider_id,
                organization=masked_identifiers(name),
                accounts=accounts,
                is_shared=is_shared,
            )

    def _rest_until(self, until: Instant) -> dict[str, object]:
        rest_s = until - self._clock.now()
        return {"rest_s": round(rest_s, 3), "until_at": self._clock.wall_now() + timedelta(seconds=rest_s)}


def _names(account: Account, scope: Scope, reason: OutcomeKind | None) -> dict[str, object]:
    return {
        "provider": account.provider_id,
        "account_id": account.id,
        "scope": scope.kind,
        "holder": scope.holder,
        "what": scope.what,
        "reason": reason,
    }


def _log_served(record: CallRecord) -> None:
    """The attempt that served, once its answer has ended."""
    _log.debug(
        Event.ATTEMPT_FINISHED,
        call_id=record.call_id,
        provider=record.provider,
        account_id=record.account_id,
        status=record.trail[-1].status,
        first_byte_s=record.first_byte_s,
        total_s=record.total_s,
        chunks=record.chunks,
    )
