"""What an attempt came to: an upstream's answer or a fault of the transport, read as one `Outcome`.

`classify.py` makes these from answers; `cooldown.py` says what the account suffers; `attempts.py` what the call does.
"""

from enum import StrEnum

import msgspec


class OutcomeKind(StrEnum):
    """The rows of SPEC §4's table, in its order."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    OUT_OF_QUOTA = "out_of_quota"
    CREDENTIAL_REJECTED = "credential_rejected"
    NO_TOKEN = "no_token"  # noqa: S105  # a name
    """The account's access token could not be fetched: nobody was asked to serve the call."""
    MISSING_PERMISSION = "missing_permission"
    NO_ACCESS_TO_MODEL = "no_access_to_model"
    FORBIDDEN = "forbidden"
    OVERLOADED = "overloaded"
    UPSTREAM_ERROR = "upstream_error"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    CALLER_FAULT = "caller_fault"
    CANCELLED = "cancelled"


class FaultKind(StrEnum):
    """How the transport failed."""

    CONNECT = "connect"
    """Refused, unroutable, name not found, or the connect timeout ran out."""
    TLS = "tls"
    RESET = "reset"
    """The connection ended before a whole head had come, or, in the middle of an answer, before its end."""
    GARBAGE = "garbage"
    """What came was not HTTP, or broke a limit (header size, body size)."""
    HEADERS_TIMEOUT = "headers_timeout"
    STALL = "stall"
    """No byte of the body came within the stall limit."""


class Fault(msgspec.Struct, frozen=True):
    """A transport that failed, as a value: engines return it where an answer or a chunk was expected."""

    kind: FaultKind
    detail: str
    """For logs: what the operating system or the parser said. Never holds a header or a body."""
    is_body_sent: bool = False
    """Whether any byte of the request may have reached the upstream: then it may have acted on it."""


class ErrorBody(msgspec.Struct, frozen=True):
    """What an upstream's error body says, whichever of the known shapes it has. All of it may be missing."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    """Always text: numeric codes are written as digits."""
    param: str | None = None
    hints: str = ""
    """What it tells beside the message of limits and of when to come back, in words like a message's."""
    is_readable: bool = False
    """Whether the body was an error object of a known shape; False for HTML, empty or garbage."""


class LimitSpan(StrEnum):
    """Over what time the exhausted limit counts: it bounds how long a named delay may be."""

    MINUTE = "minute"
    DAY = "day"


class Outcome(msgspec.Struct, frozen=True):
    """The classified result of one attempt."""

    kind: OutcomeKind
    status: int | None = None
    """The upstream's HTTP status; None when no head came."""
    code: str | None = None
    """The upstream's own error code, for logs and metrics' readers; None when it named none."""
    message: str = ""
    """The upstream's words, identifiers of accounts already masked, at most 500 characters."""
    retry_after_s: float | None = None
    """The delay the upstream named, unclamped; None when it named none."""
    estimated_rest_s: float | None = None
    """A delay estimated from the exhausted dimension's headers; used when none was named."""
    limit_name: str | None = None
    """The model or family that a rate limit's message names ("Rate limit reached for gpt-4o …")."""
    span: LimitSpan = LimitSpan.MINUTE
    limit: int | None = None
    """How many requests that limit is; None when the message counts something else, or does not say."""
    requested: int | None = None
    """What a call that is too large asked of the limit; None when the message does not say."""
    organization: str | None = None
    """The organisation that a rate limit's message names, unmasked: never shown to callers."""
    is_definite_refusal: bool = False
    """The upstream certainly did not act on the call (429, 401, 403, 404, 503 with a code, connect faults)."""
    fault: FaultKind | None = None
    """How the transport failed; None where an answer said it."""


class ScopeKind(StrEnum):
    """What a park covers."""

    ACCOUNT = "account"
    HOLDER = "holder"
    """The quota group, or the account where it has none; all models."""
    HOLDER_MODEL = "holder_model"
    ACCOUNT_MODEL = "account_model"
    ACCOUNT_ENDPOINT = "account_endpoint"


class Scope(msgspec.Struct, frozen=True, cache_hash=True):
    """The unit that is parked and recovers as one. Hashable, and the same text on every replica."""

    kind: ScopeKind
    holder: str
    """Account id; for HOLDER kinds `group:<provider>:<group>` or the account id."""
    what: str = ""
    """Lower-case model (or limit family) name, or endpoint name; "" for all."""
