"""Status, error body, transport fault → `Outcome`: what an answer *means*.

Rules of this file: the body's `code` decides, then its `type`, then its message, then the status; never 429 alone. What
upstreams say is data, in the tables below, each row with who says it. A caller can make an upstream repeat the caller's
own words, so a row for a status that repeats them (400, 404, 422) fits the beginning of a message only.

    2xx ─▶ ok      code ─▶ type ─▶ message ─▶ status ─▶ kind ─▶ refined by what only the text or the headers tell
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from gateway.core.hints import (
    OPENAI_NAMES,
    NamedLimit,
    RateLimitNames,
    RateLimits,
    estimated_rest,
    limit_named,
    named_delay,
    organization_named,
    read_rate_limits,
    try_again_s,
)
from gateway.core.masking import masked_identifiers
from gateway.core.outcome import ErrorBody, Fault, FaultKind, LimitSpan, Outcome, OutcomeKind

LONGEST_MESSAGE: Final = 500
LONGEST_CODE: Final = 100
LONGEST_SEARCHED: Final = 4000
"""Characters of a message that are looked at."""

OK = OutcomeKind.OK
RATE_LIMITED = OutcomeKind.RATE_LIMITED
TOO_LARGE = OutcomeKind.TOO_LARGE
OUT_OF_QUOTA = OutcomeKind.OUT_OF_QUOTA
CREDENTIAL_REJECTED = OutcomeKind.CREDENTIAL_REJECTED
MISSING_PERMISSION = OutcomeKind.MISSING_PERMISSION
NO_ACCESS_TO_MODEL = OutcomeKind.NO_ACCESS_TO_MODEL
FORBIDDEN = OutcomeKind.FORBIDDEN
OVERLOADED = OutcomeKind.OVERLOADED
UPSTREAM_ERROR = OutcomeKind.UPSTREAM_ERROR
UNREACHABLE = OutcomeKind.UNREACHABLE
CALLER_FAULT = OutcomeKind.CALLER_FAULT

CODES: Final[Mapping[str, OutcomeKind]] = {  # in lower case; OpenAI's unless another is named
    "rate_limit_exceeded": RATE_LIMITED,  # "Request too large" has it too: see `_refined`
    "slow_down": RATE_LIMITED,  # traffic rose too fast; 429, 503 in older documents
    "ratelimitreached": RATE_LIMITED,  # Azure
    "toomanyrequests": RATE_LIMITED,  # Azure
    "insufficient_quota": OUT_OF_QUOTA,
    "credit_balance_exhausted": OUT_OF_QUOTA,
    "organization_spend_limit_exceeded": OUT_OF_QUOTA,
    "organization_usage_limit_exceeded": OUT_OF_QUOTA,
    "project_spend_limit_exceeded": OUT_OF_QUOTA,  # the project's alone
    "billing_hard_limit_reached": OUT_OF_QUOTA,  # images: as 400
    "billing_not_active": OUT_OF_QUOTA,
    "enforced_spend_limit_reached": OUT_OF_QUOTA,  # Anthropic
    "invalid_api_key": CREDENTIAL_REJECTED,
    "expired_api_key": CREDENTIAL_REJECTED,
    "account_deactivated": CREDENTIAL_REJECTED,
    "organization_deactivated": CREDENTIAL_REJECTED,
    "invalid_organization": CREDENTIAL_REJECTED,
    "mismatched_organization": CREDENTIAL_REJECTED,
    "mismatched_project": CREDENTIAL_REJECTED,
    "access_terminated": CREDENTIAL_REJECTED,
    "organization_restricted": CREDENTIAL_REJECTED,  # Groq, as 400
    "authenticationtypedisabled": CREDENTIAL_REJECTED,  # Azure, as 403
    "ip_not_authorized": FORBIDDEN,  # as 401: the address is at fault, not the key
    "unsupported_country_region_territory": FORBIDDEN,
    "missing_scope": MISSING_PERMISSION,
    "missing_scopes": MISSING_PERMISSION,
    "insufficient_permissions": MISSING_PERMISSION,
    "permissiondenied": MISSING_PERMISSION,  # Azure, as 401: the role of a principal
    "model_not_found": NO_ACCESS_TO_MODEL,
    "deploymentnotfound": NO_ACCESS_TO_MODEL,  # Azure
    "invalid_model": NO_ACCESS_TO_MODEL,  # Mistral, as 400
    "server_is_overloaded": OVERLOADED,
    "engine_overloaded": OVERLOADED,
    "nocapacity": OVERLOADED,  # Azure, as 429
    "vector_store_timeout": UPSTREAM_ERROR,
    # Policy refusals: the call is at fault whatever the status. Rotating would spread its strikes over the accounts.
    "content_policy_violation": CALLER_FAULT,
    "content_filter": CALLER_FAULT,
    "responsibleaipolicyviolation": CALLER_FAULT,  # Azure
    "invalid_prompt": CALLER_FAULT,
    "moderation_blocked": CALLER_FAULT,
    "bio_policy": CALLER_FAULT,
    "image_content_policy_violation": CALLER_FAULT,
    # The call does not fit or refers to what is not there.
    "context_length_exceeded": CALLER_FAULT,
    "data_residency_mismatch": CALLER_FAULT,
    "previous_response_not_found": CALLER_FAULT,
    "invalid_encrypted_content": CALLER_FAULT,
    "conversation_locked": CALLER_FAULT,  # 409; the SDKs repeat it by themselves
    # `ResponseErrorCode` of failed responses, which have no status.
    "invalid_image": CALLER_FAULT,
    "invalid_image_format": CALLER_FAULT,
    "invalid_base64_image": CALLER_FAULT,
    "invalid_image_url": CALLER_FAULT,
    "image_too_large": CALLER_FAULT,
    "image_too_small": CALLER_FAULT,
    "image_parse_error": CALLER_FAULT,
    "invalid_image_mode": CALLER_FAULT,
    "image_file_too_large": CALLER_FAULT,
    "unsupported_image_media_type": CALLER_FAULT,
    "empty_image_file": CALLER_FAULT,
    "failed_to_download_image": CALLER_FAULT,
    "image_file_not_found": CALLER_FAULT,
}

TYPES: Final[Mapping[str, OutcomeKind]] = {  # in lower case; broad ones (`server_error`) are not here: the rest decides
    "requests": RATE_LIMITED,
    "tokens": RATE_LIMITED,
    "images": RATE_LIMITED,
    "input_tokens": RATE_LIMITED,
    "output_tokens": RATE_LIMITED,
    "rate_limit_error": RATE_LIMITED,  # Anthropic for all 429; OpenAI with `slow_down`
    "rate_limit_reached_error": RATE_LIMITED,  # Moonshot
    "resource_exhausted": RATE_LIMITED,  # Google; its text speaks of "your current quota" per minute, too
    "insufficient_quota": OUT_OF_QUOTA,  # newer codes keep this type
    "billing_not_active": OUT_OF_QUOTA,
    "billing_error": OUT_OF_QUOTA,  # Anthropic, 402
    "exceeded_current_quota_error": OUT_OF_QUOTA,  # Moonshot
    "authentication_error": CREDENTIAL_REJECTED,  # Anthropic, DeepSeek
    "invalid_authentication_error": CREDENTIAL_REJECTED,  # Moonshot
    "permission_error": MISSING_PERMISSION,  # Anthropic
    "request_forbidden": FORBIDDEN,  # region
    "overloaded_error": OVERLOADED,  # Anthropic, 529
    "engine_overloaded_error": OVERLOADED,  # Moonshot, as 429
    "service_unavailable_error": OVERLOADED,
    "request_too_large": CALLER_FAULT,  # Anthropic, 413
    "content_filter": CALLER_FAULT,  # Moonshot
}

_WORDS: Final[Mapping[str, OutcomeKind]] = {**TYPES, **CODES}  # vendors put the one's words into the other

# Statuses of a row: those it holds for; 0 stands for an error that came inside a stream, which has none.
_REFUSALS = frozenset({400, 403, 429, 0})
_OVERLOADS = frozenset({429, 500, 502, 503, 529, 0})
_QUOTAS = frozenset({402, 403, 429, 0})


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


MESSAGES: Final[tuple[tuple[frozenset[int], re.Pattern[str], OutcomeKind], ...]] = (
    # Accounts without money, however it is put.
    (_REFUSALS, _text(r"^billing hard limit has been reached"), OUT_OF_QUOTA),
    (_REFUSALS, _text(r"^your credit balance is too low"), OUT_OF_QUOTA),  # Anthropic, 400
    (_REFUSALS, _text(r"^you have reached your specified (?:api )?(?:workspace )?usage limits"), OUT_OF_QUOTA),  # same
    (_QUOTAS, _text(r"(?s)current quota.*retry in [0-9.]+m?s"), RATE_LIMITED),  # Google, when it says no type
    (_QUOTAS, _text(r"exceeded your current quota|check your plan and billing"), OUT_OF_QUOTA),
    (
        _QUOTAS,
        _text(r"insufficient (?:balance|credits|funds)|key limit exceeded"),  # DeepSeek, OpenRouter
        OUT_OF_QUOTA,
    ),
    (_QUOTAS, _text(r"(?:spend(?:ing)?|usage) limit|used all available credits|have any credits"), OUT_OF_QUOTA),  # xAI
    # Upstreams without room.
    (_OVERLOADS, _text(r"\boverloaded\b|experiencing high demand"), OVERLOADED),  # OpenAI's engines, Google, Azure
    # Accounts that are no more, or keys that never were.
    (frozenset({400, 403}), _text(r"^organization has been restricted"), CREDENTIAL_REJECTED),  # Groq
    (frozenset({400, 403}), _text(r"^this organization has been disabled"), CREDENTIAL_REJECTED),  # Anthropic, 400
    (
        frozenset({400, 403}),
        _text(r"^(?:incorrect api key provided|api key (?:not valid|expired))"),  # xAI, Google: as 400
        CREDENTIAL_REJECTED,
    ),
    (frozenset({401, 403}), _text(r"ip (?:address )?(?:is )?not authorized"), FORBIDDEN),
    (
        frozenset({401, 403}),
        _text(r"insufficient permissions|missing scopes?|lacks the required data action"),  # the last is Azure's
        MISSING_PERMISSION,
    ),
    # Models that this account may not use.
    (frozenset({400, 403, 404}), _text(r"^your organization must be verified to"), NO_ACCESS_TO_MODEL),
    (frozenset({400, 404}), _text(r"^model not exist"), NO_ACCESS_TO_MODEL),  # DeepSeek, 400
    (frozenset({401, 403}), _text(r"(?:does|do) not have access to (?:the )?model"), NO_ACCESS_TO_MODEL),
    (
        frozenset({404}),
        _text(r"^(?:the |not found the )?(?:requested )?(?:model|api deployment)\b"),  # vLLM, Ollama, Moonshot, Azure
        NO_ACCESS_TO_MODEL,
    ),
    (frozenset({404}), _text(r"^(?:no endpoints found|project `[^`]*` does not have access)"), NO_ACCESS_TO_MODEL),
    # Calls that are at fault although the status says otherwise.
    (
        frozenset({403}),
        _text(r"context length|max_(?:new_)?tokens|maximum context|input validation"),  # Together
        CALLER_FAULT,
    ),
    (frozenset({403}), _text(r"\bflagged\b|moderation|safety system|usage polic"), CALLER_FAULT),  # OpenRouter
)

STATUSES: Final[Mapping[int, OutcomeKind]] = {
    401: CREDENTIAL_REJECTED,
    402: OUT_OF_QUOTA,  # DeepSeek, OpenRouter, Together
    403: FORBIDDEN,
    407: UPSTREAM_ERROR,  # a proxy of ours wants credentials: nothing the caller could mend
    408: UPSTREAM_ERROR,  # it waited for us
    421: UPSTREAM_ERROR,  # the connection led to the wrong server
    425: UPSTREAM_ERROR,
    429: RATE_LIMITED,
    498: OVERLOADED,  # Groq: flex capacity
    503: OVERLOADED,
    529: OVERLOADED,  # Anthropic
}
"""Where nothing else decided: other 4xx are the caller's fault, all else an error of the upstream."""

FAULTS: Final[Mapping[FaultKind, OutcomeKind]] = {
    FaultKind.CONNECT: UNREACHABLE,
    FaultKind.TLS: UNREACHABLE,
    FaultKind.RESET: UNREACHABLE,
    FaultKind.GARBAGE: UPSTREAM_ERROR,
    FaultKind.HEADERS_TIMEOUT: OutcomeKind.TIMED_OUT,
    FaultKind.STALL: OutcomeKind.TIMED_OUT,
}

_REFUSING_STATUSES = frozenset({401, 403, 404, 429})
_REFUSING_KINDS = frozenset(
    {RATE_LIMITED, TOO_LARGE, OUT_OF_QUOTA, CREDENTIAL_REJECTED, MISSING_PERMISSION, NO_ACCESS_TO_MODEL}
)
_SUCCESSES: Final[Mapping[int, Outcome]] = {status: Outcome(OK, status) for status in (200, 201, 202, 204, 206)}


def classify(
    status: int,
    headers: Mapping[bytes, bytes],
    error: ErrorBody,
    *,
    wall_now: datetime,
    names: RateLimitNames = OPENAI_NAMES,
) -> Outcome:
    """What an answer means. `headers`: names in lower case; `names`: how the vendor calls those of its limits.

    Of a 2xx nothing but the status is looked at: an error inside it is for `classify_stream_error`.
    """
    if 200 <= status < 300:
        return _SUCCESSES.get(status) or Outcome(OK, status)
    limits = read_rate_limits(headers, wall_now=wall_now, names=names)
    told = _told(error)
    named = limit_named(told)
    kind = _refined(_kind_of(status, error), status, error, named, limits)
    if kind is OVERLOADED and _is_page(error, headers):
        kind = UPSTREAM_ERROR  # a proxy's own 503 says that nobody is there, not that somebody is busy
    return _outcome(
        kind,
        error,
        named,
        status=status,
        retry_after_s=named_delay(headers, told, wall_now=wall_now),
        estimated_rest_s=_estimate(limits, named) if kind is RATE_LIMITED and limits is not None else None,
    )


def classify_stream_error(error: ErrorBody) -> Outcome:
    """What an error means that came inside a 2xx: as a stream's event, or as its whole body.

    Never a definite refusal: the upstream had begun. A numeric code (OpenRouter) stands for the status that is missing.
    """
    status = int(error.code) if error.code is not None and _HTTP_ERROR.fullmatch(error.code) else 0
    told = _told(error)
    named = limit_named(told)
    kind = _refined(_kind_of(status, error), status, error, named, None)
    return _outcome(kind, error, named, retry_after_s=try_again_s(told))


def _told(error: ErrorBody) -> str:
    """The hints stand first: a message may be longer than what is searched."""
    return f"{error.hints} {error.message}" if error.hints else error.message


def classify_fault(fault: Fault) -> Outcome:
    """What it means that the transport failed. A definite refusal only when no byte of the call can have arrived."""
    kind = FAULTS[fault.kind]
    return Outcome(
        kind,
        message=masked_identifiers(fault.detail)[:LONGEST_MESSAGE],
        is_definite_refusal=kind is UNREACHABLE and not fault.is_body_sent,
        fault=fault.kind,
    )


_HTTP_ERROR = re.compile(r"[45][0-9]{2}", re.ASCII)


def _kind_of(status: int, error: ErrorBody) -> OutcomeKind:
    for word in (error.code, error.type):
        kind = _WORDS.get(word.strip().lower()) if word else None
        if kind is not None:
            return kind
    message = error.message[:LONGEST_SEARCHED].strip()
    for statuses, pattern, meant in MESSAGES:
        if status in statuses and pattern.search(message):
            return meant
    return _kind_of_status(status, error)


def _kind_of_status(status: int, error: ErrorBody) -> OutcomeKind:
    known = STATUSES.get(status)
    if known is not None:
        return known
    is_about_the_call = status == 0 and "invalid_request_error" in {error.type, error.code}
    return CALLER_FAULT if 400 <= status < 500 or is_about_the_call else UPSTREAM_ERROR


_TOO_LARGE = _text(r"^\s*request too large\b")
_SPEND_LIMIT = _text(r"spend(?:ing)? limit|usage limit")


def _refined(
    kind: OutcomeKind, status: int, error: ErrorBody, named: NamedLimit, limits: RateLimits | None
) -> OutcomeKind:
    """Kinds whose usual words also stand for something else."""
    if kind is RATE_LIMITED:
        asks_too_much = named.limit is not None and named.requested is not None and named.requested > named.limit
        if asks_too_much or _TOO_LARGE.search(error.message):
            return TOO_LARGE  # waiting never helps; Groq sends it as 413
        if error.type == "rate_limit_error" and _SPEND_LIMIT.search(error.message[:LONGEST_SEARCHED]):
            return OUT_OF_QUOTA  # Anthropic's monthly cap
    elif kind is NO_ACCESS_TO_MODEL and status == 403 and limits and limits.project_requests.remaining == 0:
        return RATE_LIMITED  # one report: a project's cap of requests came as 403 `model_not_found`
    return kind


def _is_page(error: ErrorBody, headers: Mapping[bytes, bytes]) -> bool:
    """A page for people, and no time to come back at."""
    is_html = b"html" in headers.get(b"content-type", b"").lower()
    return is_html and not error.is_readable and b"retry-after" not in headers


def _estimate(limits: RateLimits, named: NamedLimit) -> float | None:
    is_about_tokens = named.dimension == "tokens" and named.requested is not None
    return estimated_rest(limits, tokens=named.requested if is_about_tokens and named.requested else 1)


def _outcome(  # the parts of one value, by name
    kind: OutcomeKind,
    error: ErrorBody,
    named: NamedLimit,
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
    estimated_rest_s: float | None = None,
) -> Outcome:
    is_limit = kind in {RATE_LIMITED, TOO_LARGE}
    return Outcome(
        kind,
        status,
        code=masked_identifiers(error.code)[:LONGEST_CODE] if error.code else None,
        message=masked_identifiers(error.message[:LONGEST_SEARCHED])[:LONGEST_MESSAGE],
        retry_after_s=retry_after_s,
        estimated_rest_s=estimated_rest_s,
        limit_name=named.name if is_limit else None,
        span=named.span if is_limit else LimitSpan.MINUTE,
        limit=named.limit if is_limit and named.dimension == "requests" else None,
        requested=named.requested if kind is TOO_LARGE else None,
        organization=organization_named(error.message) if is_limit else None,
        is_definite_refusal=status is not None and _is_definite(status, kind, error),
    )


def _is_definite(status: int, kind: OutcomeKind, error: ErrorBody) -> bool:
    """SPEC §4: 429, 401, 403, 404, 503 with a code; and other 4xx that speak of the account."""
    if status in _REFUSING_STATUSES or (400 <= status < 500 and kind in _REFUSING_KINDS):
        return True
    if status == 529 and error.type == "overloaded_error":
        return True  # Anthropic says it so, and never with a code
    return status in {503, 529} and bool(error.code) and not _HTTP_ERROR.fullmatch(error.code or "")
