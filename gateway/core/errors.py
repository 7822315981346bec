"""Every way in which the gateway itself ends a call badly.

GatewayError
├── CallRefused              the caller can fix it
│   ├── InvalidCall          400   (also 405, 413, 415, 431 by `status`)
│   ├── Unauthenticated      401
│   ├── NotAllowed           403
│   ├── ModelNotFound        404
│   ├── EndpointNotFound     404
│   ├── ObjectNotFound       404   (400 where a field names it, 409 where its account is inactive)
│   └── LimitReached         429   a client key's own limit
└── CallFailed               the caller cannot
    ├── AllRateLimited       429   every account rests; Retry-After is true
    ├── AllOutOfQuota        429   `insufficient_quota`
    ├── UpstreamFailed       502
    ├── AllOverloaded        503
    ├── NoAccountAvailable   503
    ├── ShuttingDown         503
    ├── NoDiskSpace          503   an upload cannot be kept
    └── UpstreamTimedOut     504
        └── OutcomeUnknown   504   of a call that makes something

`code` is public API: stable and documented in docs/errors.md. Messages say what was wrong and what to do, and never
hold a credential or another tenant's name.
"""

from typing import ClassVar, Final


class GatewayError(Exception):
    """Base of the tree. `retry_after_s`: seconds until a repeat may succeed; None where time does not help."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    should_retry: bool | None = None
    """Sent as `x-should-retry` when not None: the official SDKs obey it over the status."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class CallRefused(GatewayError):
    """The caller can fix it."""

    type = "invalid_request_error"


class InvalidCall(CallRefused):
    status = 400
    code = "invalid_request"


class Unauthenticated(CallRefused):
    status = 401
    code = "invalid_api_key"


class NotAllowed(CallRefused):
    status = 403
    code = "not_allowed"


class ModelNotFound(CallRefused):
    status = 404
    code = "model_not_found"


class EndpointNotFound(CallRefused):
    status = 404
    code = "unknown_url"


class ObjectNotFound(CallRefused):
    """A stateful object that is nobody's, or somebody else's, which the caller cannot tell; or its account is gone."""

    status = 404
    code = "object_not_found"


class LimitReached(CallRefused):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class CallFailed(GatewayError):
    """The caller cannot fix it."""

    type = "server_error"


class AllRateLimited(CallFailed):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class AllOutOfQuota(CallFailed):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class UpstreamFailed(CallFailed):
    status = 502
    code = "upstream_error"


class AllOverloaded(CallFailed):
    status = 503
    type = "service_unavailable_error"
    code = "server_is_overloaded"


class NoAccountAvailable(CallFailed):
    status = 503
    type = "service_unavailable_error"
    code = "no_account_available"


DRAINING: Final = "The gateway is shutting down. Retry at once: another one serves."


class ShuttingDown(CallFailed):
    status = 503
    type = "service_unavailable_error"
    code = "shutting_down"


class NoDiskSpace(CallFailed):
    status = 503
    code = "no_disk_space"


class UpstreamTimedOut(CallFailed):
    status = 504
    code = "upstream_timeout"


class OutcomeUnknown(UpstreamTimedOut):
    """A call that makes something, or acts, may have done so: nobody should repeat it without a look."""

    code = "outcome_unknown"
    should_retry = False
