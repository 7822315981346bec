"""Every log event: its name, its fields, and the two records that are logged once a call.

Rules of this file: a name is `noun.past_verb` and never changes its meaning; a field is an id, an enum, a number or a
short text of our own making, never a body, a prompt, a header or a credential. Calls are written as `CallRecord`, all
other events by structlog: `log.warning(Event.ACCOUNT_COOLED, account_id=..., until_at=...)`. `FIELDS` names what each
may carry; the log drops any other field and says so in `undeclared`.
"""

from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from gateway.core.call import Usage
from gateway.core.outcome import OutcomeKind
from gateway.core.owed_usage import OwedUsage


class Event(StrEnum):
    """Names of log events."""

    SERVICE_STARTED = "service.started"
    SERVICE_DRAINING = "service.draining"
    SERVICE_STOPPED = "service.stopped"
    WORKER_STARTED = "worker.started"
    WORKER_EXITED = "worker.exited"
    TASK_CRASHED = "task.crashed"
    """A background task ended by an exception: a bug. It is started again."""

    CALL_FINISHED = "call.finished"
    CALL_CRASHED = "call.crashed"
    """A bug: the caller got a plain 500."""
    SESSION_ENDED = "session.ended"
    """A realtime session, beside its call's line: who ended it, and what went through it both ways."""
    ATTEMPT_FINISHED = "attempt.finished"
    ATTEMPT_FAILED = "attempt.failed"
    STREAM_BROKEN = "stream.broken"
    STREAM_EVENT_SKIPPED = "stream.event_skipped"
    """An event that was not JSON and held no delta was left out."""

    ACCOUNT_COOLED = "account.cooled"
    ACCOUNT_RECOVERED = "account.recovered"
    ACCOUNT_DISABLED = "account.disabled"
    """The credential is taken for dead."""
    ACCOUNT_VERIFIED = "account.verified"
    ACCOUNT_SEALED = "account.sealed"
    """Plaintext `auth_data` was encrypted in place."""
    ORGANIZATION_LEARNED = "organization.learned"
    """Accounts that nobody grouped belong to one organisation, and whether they share its limits: see `quota_group`."""
    PARKS_LIFTED = "parks.lifted"
    """The blast radius rule: the request, the provider or our address is at fault, not the accounts."""
    CREDENTIAL_REFRESHED = "credential.refreshed"
    CREDENTIAL_REFRESH_FAILED = "credential.refresh_failed"
    PROVIDER_BROKEN = "provider.broken"
    """The breaker opened."""
    PROVIDER_RECOVERED = "provider.recovered"
    PROVIDER_CHECKED = "provider.checked"

    SNAPSHOT_REPLACED = "snapshot.replaced"
    SNAPSHOT_LOAD_FAILED = "snapshot.load_failed"
    ROW_REPORTED = "row.reported"
    """A row of a public table makes no sense (`is_skipped`), or works but looks wrong."""
    DECLARATIONS_RECONCILED = "declarations.reconciled"

    LISTENER_CONNECTED = "listener.connected"
    LISTENER_RECONNECTED = "listener.reconnected"
    LISTENER_LOST = "listener.lost"
    MESSAGE_IGNORED = "message.ignored"
    ANNOUNCEMENT_FAILED = "announcement.failed"

    DATABASE_LOST = "database.lost"
    DATABASE_RECOVERED = "database.recovered"
    MIGRATIONS_APPLIED = "migrations.applied"
    POSTGRES_STARTED = "postgres.started"
    POSTGRES_STOPPED = "postgres.stopped"
    POSTGRES_CRASHED = "postgres.crashed"
    IDS_SAVE_FAILED = "ids.save_failed"
    """Postgres is away: stateful ids wait in memory."""
    USAGE_FLUSHED = "usage.flushed"
    USAGE_FLUSH_FAILED = "usage.flush_failed"
    USAGE_DROPPED = "usage.dropped"

    ADMIN_CHANGED = "admin.changed"
    ADMIN_REFUSED = "admin.refused"
    ADMIN_CRASHED = "admin.crashed"

    LIBRARY_LOGGED = "library.logged"
    """A line of the standard `logging` module: uvicorn, asyncio, Litestar, `warnings`."""
    LINES_DROPPED = "log.lines_dropped"
    """Whoever reads our output was too slow, or its disk is full: this many lines are missing before this one."""


_FIELDS = {
    Event.SERVICE_STARTED: "version host port workers auth database is_embedded url",
    Event.SERVICE_DRAINING: "calls_in_flight deadline_s signal",
    Event.SERVICE_STOPPED: "uptime_s calls_cut",
    Event.WORKER_STARTED: "worker pid",
    Event.WORKER_EXITED: "worker pid exit_code restarts next_start_s",
    Event.TASK_CRASHED: "task error next_start_s",
    Event.CALL_FINISHED: "",  # CallRecord has its own
    Event.CALL_CRASHED: "call_id endpoint error",
    Event.SESSION_ENDED: (
        "call_id account_id ended_by close_code messages_in bytes_in messages_out bytes_out responses input_tokens "
        "output_tokens"
    ),
    Event.ATTEMPT_FINISHED: "call_id provider account_id status first_byte_s total_s chunks",
    Event.ATTEMPT_FAILED: "call_id provider account_id outcome status code fault detail retry_after_s total_s",
    Event.STREAM_BROKEN: "call_id provider account_id fault detail chunks is_spliced",
    Event.STREAM_EVENT_SKIPPED: "call_id provider account_id event_bytes",
    Event.ACCOUNT_COOLED: ("provider account_id scope holder what reason strikes rest_s until_at is_probe call_id"),
    Event.ACCOUNT_RECOVERED: "provider account_id scope holder what reason",
    Event.ACCOUNT_DISABLED: "provider account_id reason strikes call_id",
    Event.ACCOUNT_VERIFIED: "provider account_id outcome status code total_s",
    Event.ACCOUNT_SEALED: "account_id encryption_key_id count",
    Event.ORGANIZATION_LEARNED: "provider organization accounts is_shared",
    Event.PARKS_LIFTED: "provider reason count call_id",
    Event.CREDENTIAL_REFRESHED: "provider account_id expires_at",
    Event.CREDENTIAL_REFRESH_FAILED: "provider account_id status code error next_try_s",
    Event.PROVIDER_BROKEN: "provider model origin reason rest_s failures attempts",
    Event.PROVIDER_RECOVERED: "provider model origin",
    Event.PROVIDER_CHECKED: "provider is_reachable status latency_ms detail",
    Event.SNAPSHOT_REPLACED: "version providers accounts routes client_keys problems load_s changed",
    Event.SNAPSHOT_LOAD_FAILED: "error age_s next_try_s",
    Event.ROW_REPORTED: "table id problem is_skipped",
    Event.DECLARATIONS_RECONCILED: "added changed removed kept",
    Event.LISTENER_CONNECTED: "channel channels",
    Event.LISTENER_RECONNECTED: "away_s attempts",
    Event.LISTENER_LOST: "error next_try_s",
    Event.MESSAGE_IGNORED: "channel kind version reason payload_bytes",
    Event.ANNOUNCEMENT_FAILED: "error held next_try_s",
    Event.DATABASE_LOST: "error task",
    Event.DATABASE_RECOVERED: "away_s task",
    Event.MIGRATIONS_APPLIED: "from_revision to_revision total_s",
    Event.POSTGRES_STARTED: "pid port folder is_new total_s",
    Event.POSTGRES_STOPPED: "pid total_s",
    Event.POSTGRES_CRASHED: "pid exit_code restarts error",
    Event.IDS_SAVE_FAILED: "held dropped next_try_s",
    Event.USAGE_FLUSHED: "rows total_s held",
    Event.USAGE_FLUSH_FAILED: "error held next_try_s",
    Event.USAGE_DROPPED: "rows reason",
    Event.ADMIN_CHANGED: "action table id request_id",
    Event.ADMIN_REFUSED: "status reason path request_id",
    Event.ADMIN_CRASHED: "path request_id error",
    Event.LIBRARY_LOGGED: "logger message",
    Event.LINES_DROPPED: "count",
}

FIELDS = MappingProxyType({event: frozenset(names.split()) for event, names in _FIELDS.items()})
"""What an event may carry, besides `event`, `level`, `at`, `worker` and, with a traceback, `exception`.

`error` is `type(error).__name__` and, where its text is known to be harmless, `str(error)`.
"""


class CallEnd(StrEnum):
    """How a call ended when no attempt's `OutcomeKind` says it."""

    REFUSED = "refused"
    """By the gateway, before any account was used: bad input, unknown key, unknown model, a key's own limit."""
    NO_ACCOUNT = "no_account"
    """None configured, none active, all rejected, or the queue was full."""
    BROKEN = "broken"
    """The answer had begun and did not come to its end."""
    SHUTTING_DOWN = "shutting_down"
    CRASHED = "crashed"
    """A bug of ours."""


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One attempt in a call's trail."""

    account_id: str | None
    """None: the caller brought a key of its own."""
    provider: str
    outcome: OutcomeKind
    status: int | None = None
    """None when no head came."""
    total_s: float = 0.0
    """From the first byte sent to the verdict (a success: its head)."""
    code: str | None = None
    """The upstream's own error code."""
    broke: OutcomeKind | msgspec.UnsetType = msgspec.UNSET
    """What its stream came to once its first content had gone out. Left out when it ended well, as nearly all do."""
    model: str | msgspec.UnsetType = msgspec.UNSET
    """The upstream's model. Left out where it is the one the caller wrote: no route or fallback changed it."""


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event", tag=Event.CALL_FINISHED.value):
    """One finished call: the line `call.finished`, the counters and the row of /api/v1/calls come from it.

    Nothing in it can hold a credential: ids, enums and numbers, and two short texts, `model` (the caller's) and `code`
    (an upstream's, also in the trail), which the log passes through the redaction before it writes them.
    """

    level: Literal["info"] = "info"
    at: datetime
    """When the call ended, aware UTC."""
    call_id: str
    endpoint: str
    """`Endpoint.name`."""
    outcome: OutcomeKind | CallEnd
    status: int
    """What the caller got; 499 when it had gone before the head."""
    total_s: float
    """From the call's arrival to its last byte."""
    worker: str = ""
    """Which process of the service; "" when it is the only one."""
    model: str | None = None
    """As the caller wrote it; None when the body named none."""
    served_model: str | None = None
    """The fallback that served in its place, as its route names it."""
    provider: str | None = None
    """Of the last attempt; None when there was none."""
    account_id: str | None = None
    """Of the last attempt; None as well when the caller brought a key of its own."""
    client_key_id: str | None = None
    attempts: int = 0
    trail: tuple[AttemptRecord, ...] = ()
    """Every attempt in order; at most the first 20 are kept."""
    code: str | None = None
    """Of the error the caller got; None for a success."""
    first_byte_s: float | None = None
    """From the call's arrival to the first byte for the caller: of a stream the time to its first content."""
    waited_s: float = 0.0
    """In the queue for an account."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """A part of `input_tokens`."""
    usage: Usage | msgspec.UnsetType = msgspec.UNSET
    """All that the answer told, without what is 0. Left out when that is no more than the three counts above."""
    usage_of: OwedUsage | msgspec.UnsetType = msgspec.UNSET
    """The tokens are those of this object, which another call made: this call was the first to see that it is over."""
    is_stream: bool = False
    chunks: int = 0
    """Events of a stream sent to the caller."""
    bytes: int = 0
    """Of the answer's body."""
    is_complete: bool = True
    """The whole answer went out: a stream reached its end, the caller did not hang up."""
    is_spliced: bool = False
    """The stream broke, and another account's answer went on where it had ended: the trail says whose."""
