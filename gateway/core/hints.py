"""What an upstream's headers and words say about time: Retry-After, "try again in …", x-ratelimit-* → seconds, counts.

Rules of this file: absent, negative or unreadable is *unknown* (None), never zero; nothing here clamps to a policy, but
what no upstream can mean (more than a year) is unreadable. Header names are lower-case bytes.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import msgspec

from gateway.core.outcome import LimitSpan

Headers = Mapping[bytes, bytes]

ABSURD_S = 366 * 86_400.0
"""Longer than any limit; an epoch timestamp sent where a duration belongs is far beyond it."""

_UNIT_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{0,15})?"
_PART = rf"{_NUMBER}(?:ms|us|µs|ns|d|h|m|s)"
_PARTS = re.compile(rf"({_NUMBER})(ms|us|µs|ns|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART})+")
_PLAIN = re.compile(_NUMBER)
_ONE_PART = re.compile(rf"({_NUMBER})(ms|us|µs|ns|d|h|m|s)?")
_WORD_S = {
    "ms": 1e-3,
    "millisecond": 1e-3,
    "second": 1.0,
    "sec": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "day": 86_400.0,
}
# OpenAI "Please try again in 7m12s"; Azure "Please retry after 37 seconds"; Gemini "Please retry in 34.07s"
_TRY_AGAIN = re.compile(
    rf"(?:try again|retry) (?:in|after) (?:((?:{_PART})+)(?![a-z0-9])"
    rf"|({_NUMBER}) ?(millisecond|second|sec|minute|min|hour|day)s?\b)",
    re.IGNORECASE,
)
_LONGEST_MESSAGE = 4000
"""Characters of a message that are searched: rate limits are told in a few hundred."""


def read_duration(text: str) -> float | None:
    """Seconds from a Go duration (`6m0s`, `8.64s`, `12ms`, `114h18m0s`) or a plain number of seconds."""
    found = _ONE_PART.fullmatch(text)  # nearly all are: `8.64s`
    if found:
        number, unit = found.groups()
        return _plausible(float(number) * _UNIT_S[unit] if unit else float(number))
    if not _DURATION.fullmatch(text):
        return None
    return _plausible(sum(float(number) * _UNIT_S[unit] for number, unit in _PARTS.findall(text)))


def read_retry_after(value: str, *, wall_now: datetime, ceiling_s: float) -> float | None:
    """Seconds to wait from a `Retry-After` value: delta-seconds or an HTTP-date (RFC 9110 §10.2.3).

    A past date gives 0.0, anything unreadable None. Never more than `ceiling_s`: upstreams err.
    """
    value = value.strip()
    delay_s = _plausible(float(value)) if _PLAIN.fullmatch(value) else _until(_http_date(value), wall_now)
    return None if delay_s is None else min(delay_s, ceiling_s)


def try_again_s(message: str) -> float | None:
    """The delay that a message names in words: "Please try again in 644ms", "Please retry after 37 seconds"."""
    found = _TRY_AGAIN.search(message[:_LONGEST_MESSAGE])
    if found is None:
        return None
    if found[1]:
        return read_duration(found[1].lower())
    return _plausible(float(found[2]) * _WORD_S[found[3].lower()])


def named_delay(headers: Headers, message: str, *, wall_now: datetime) -> float | None:
    """The delay that an answer names, unclamped; None when it names none. SPEC §4 gives the order.

    `Retry-After` is whole seconds: where it only rounds the text's delay up, the text is the truth.
    """
    in_ms = _number(headers.get(b"retry-after-ms"))
    if in_ms is not None:
        return _plausible(in_ms / 1000)
    header = headers.get(b"retry-after")
    rounded = None
    if header is not None:
        rounded = read_retry_after(_text(header), wall_now=wall_now, ceiling_s=ABSURD_S)
    told = try_again_s(message)
    if rounded is None:
        return told
    return told if told is not None and told <= rounded <= told + 1 else rounded


class NamedLimit(NamedTuple):
    """What a rate limit's message says was exhausted."""

    name: str | None
    """Lower-case model, or the family whose limit it is; None when it names none."""
    dimension: str | None
    """`requests`, `tokens`, `images` … as the message counts; None when it does not say."""
    span: LimitSpan
    limit: int | None = None
    requested: int | None = None
    """What this one call asked of `limit`."""


# OpenAI says "Rate limit reached for gpt-5-mini (for limit gpt-5) in organization org-… on tokens per min (TPM): …",
# Groq says "Rate limit reached for model `llama3-70b-8192` in organization `org_…` service tier `on_demand` on …"
_NAME = re.compile(
    r"(?:limit (?:reached|exceeded)|too large) for (?:model )?[`'\"]?([^\s`'\"]{1,200})[`'\"]?"
    r"(?: \(for limit ([^\s)]{1,200})\))? in (?:organization|project)",
    re.IGNORECASE,
)
_DIMENSION = re.compile(r"\b([a-z]+)[ -]per[ -](?:min|day|hour|second|month)|\b([RTI])P[MD]\b", re.IGNORECASE)
_DIMENSION_OF_LETTER = {"r": "requests", "t": "tokens", "i": "images"}
_PER_DAY = re.compile(r"\bper[ -]day|PerDay|\b[RTI]PD\b", re.IGNORECASE)
_LIMIT = re.compile(r"\bLimit:? ([0-9]{1,15})\b", re.IGNORECASE)
_REQUESTED = re.compile(r"\bRequested:? ([0-9]{1,15})\b", re.IGNORECASE)
_ORGANIZATION = re.compile(r"\borg[-_][A-Za-z0-9]+")


def limit_named(message: str) -> NamedLimit:
    """Which limit a 429's message names, e.g. ("gpt-4o", "requests", MINUTE)."""
    message = message[:_LONGEST_MESSAGE]
    name = _NAME.search(message)
    dimension = _DIMENSION.search(message)
    return NamedLimit(
        name=(name[2] or name[1]).lower() if name else None,
        dimension=_dimension(dimension) if dimension else None,
        span=LimitSpan.DAY if _PER_DAY.search(message) else LimitSpan.MINUTE,
        limit=_count_in(_LIMIT, message),
        requested=_count_in(_REQUESTED, message),
    )


def organization_named(message: str) -> str | None:
    """The organisation's id in a message: accounts that are told the same one share their limits."""
    found = _ORGANIZATION.search(message[:_LONGEST_MESSAGE])
    return found[0] if found else None


class Quota(msgspec.Struct, frozen=True, gc=False):
    """One dimension of a rate limit as an answer's headers tell it. None = unknown."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None
    """Seconds from the moment of admission until it is full again, or until its window ends."""
    slack_s: float = 0.0
    """`reset_s` may be off by so much."""


UNKNOWN = Quota()
WHOLE_SECOND_S = 1.0
"""What a point in time leaves open that is told without a fraction, as Anthropic does."""


class RateLimits(msgspec.Struct, frozen=True):
    """All that an answer's headers tell of its scope's limits."""

    requests: Quota = UNKNOWN
    tokens: Quota = UNKNOWN
    project_requests: Quota = UNKNOWN
    project_tokens: Quota = UNKNOWN
    output_tokens: Quota = UNKNOWN
    """Charged as they are produced; `tokens` are those of the input then."""

    @property
    def tell_what_is_left(self) -> bool:
        """Of one dimension at least: a limit alone, or -1 for all, is no more than no header."""
        return any(quota.remaining is not None for quota in msgspec.structs.astuple(self))


DIMENSIONS = RateLimits.__struct_fields__


class QuotaNames(msgspec.Struct, frozen=True):
    """The headers of one dimension, in lower case; b"" where the vendor has none."""

    limit: bytes
    remaining: bytes
    reset: bytes = b""


def _x_ratelimit(dimension: bytes) -> QuotaNames:
    return QuotaNames(*(b"x-ratelimit-" + what + b"-" + dimension for what in (b"limit", b"remaining", b"reset")))


def _anthropic_ratelimit(dimension: bytes) -> QuotaNames:
    prefix = b"anthropic-ratelimit-" + dimension
    return QuotaNames(prefix + b"-limit", prefix + b"-remaining", prefix + b"-reset")


class RateLimitNames(msgspec.Struct, frozen=True):
    """How a vendor calls its headers; None where it has no such dimension."""

    requests: QuotaNames | None = None
    tokens: QuotaNames | None = None
    project_requests: QuotaNames | None = None
    project_tokens: QuotaNames | None = None
    output_tokens: QuotaNames | None = None
    tightest: QuotaNames | None = None
    """Tokens of whichever limit is the tightest now: it may be one of the others, their sum, or the project's."""
    telling: frozenset[bytes] = frozenset()
    """The headers that say what is left: without one of them there is nothing to read. Follows from the others."""

    def __post_init__(self) -> None:
        project = (self.project_requests, self.project_tokens)
        dimensions = (self.requests, self.tokens, *project, self.output_tokens, self.tightest)
        telling = frozenset(names.remaining for names in dimensions if names is not None)
        msgspec.structs.force_setattr(self, "telling", telling)


OPENAI_NAMES = RateLimitNames(
    _x_ratelimit(b"requests"),
    _x_ratelimit(b"tokens"),
    _x_ratelimit(b"project-requests"),  # undocumented, seen in the wild
    _x_ratelimit(b"project-tokens"),  # documented since June 2026
)
ANTHROPIC_NAMES = RateLimitNames(
    _anthropic_ratelimit(b"requests"),
    _anthropic_ratelimit(b"input-tokens"),
    output_tokens=_anthropic_ratelimit(b"output-tokens"),
    tightest=_anthropic_ratelimit(b"tokens"),
)
"""Resets are RFC 3339."""
CEREBRAS_NAMES = RateLimitNames(_x_ratelimit(b"requests-day"), _x_ratelimit(b"tokens-minute"))


def read_rate_limits(
    headers: Headers, *, wall_now: datetime | None = None, names: RateLimitNames = OPENAI_NAMES
) -> RateLimits | None:
    """What the headers tell; None when they tell nothing. A reset given as a point in time needs `wall_now`."""
    limits = RateLimits(
        _quota(headers, names.requests, wall_now),
        _quota(headers, names.tokens, wall_now),
        _quota(headers, names.project_requests, wall_now),
        _quota(headers, names.project_tokens, wall_now),
    )
    if names.output_tokens is not None or names.tightest is not None:
        limits = _with_answers(limits, headers, names, wall_now)
    return limits if limits != _NOTHING else None


def _with_answers(limits: RateLimits, headers: Headers, names: RateLimitNames, wall_now: datetime | None) -> RateLimits:
    """`limits` with those of what is produced, and with the tightest one where that is none of them.

    A tightest limit that is neither the input's nor the output's nor both together is the project's, Anthropic's
    workspace's. Where it is told alone, it stands for the tokens.
    """
    produced = _quota(headers, names.output_tokens, wall_now)
    limits = msgspec.structs.replace(limits, output_tokens=produced)
    tightest = _quota(headers, names.tightest, wall_now)
    if tightest.limit is None:
        return limits
    if limits.tokens.limit is None:
        return msgspec.structs.replace(limits, tokens=tightest)
    put_in, put_out = limits.tokens.limit, produced.limit or 0
    if tightest.limit in {put_in, put_out, put_in + put_out}:
        return limits
    return msgspec.structs.replace(limits, project_tokens=tightest)


def estimated_rest(limits: RateLimits, *, requests: int = 1, tokens: int = 1) -> float | None:
    """Seconds until a call that needs so much fits, from the dimension that is exhausted; the slower one counts.

    Limits are taken for buckets that refill all the time and whose reset is the time until *full*: then one call fits
    long before. None when no dimension is known to be exhausted.
    """
    rests = (
        _rest(limits.requests, requests),
        _rest(limits.tokens, tokens),
        _rest(limits.project_requests, requests),
        _rest(limits.project_tokens, tokens),
        _rest(limits.output_tokens, 1),
    )
    return max((rest_s for rest_s in rests if rest_s is not None), default=None)


def _rest(quota: Quota, needed: int) -> float | None:
    remaining, reset_s, limit = quota.remaining, quota.reset_s, quota.limit
    if remaining is None or not reset_s or remaining >= needed:
        return None
    if limit is None or limit <= remaining:
        return reset_s  # no rate can be had from it: full is the only moment it names
    return min((needed - remaining) * reset_s / (limit - remaining), reset_s)


_NOTHING = RateLimits()


def _quota(headers: Headers, names: QuotaNames | None, wall_now: datetime | None) -> Quota:
    if names is None:
        return UNKNOWN
    limit, remaining, reset = headers.get(names.limit), headers.get(names.remaining), headers.get(names.reset)
    if limit is None and remaining is None and reset is None:
        return UNKNOWN
    if wall_now is not None and reset is not None and b":" in reset and b"." not in reset:
        return Quota(_count(limit), _count(remaining), _reset(reset, wall_now), WHOLE_SECOND_S)
    return Quota(_count(limit), _count(remaining), _reset(reset, wall_now))


def _count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= 15 else None


def _reset(value: bytes | None, wall_now: datetime | None) -> float | None:
    """A duration, or a point in time: RFC 3339 (Anthropic), epoch seconds or milliseconds (OpenRouter)."""
    if value is None:
        return None
    text = _text(value)
    duration_s = read_duration(text)
    if duration_s is not None or wall_now is None:
        return duration_s
    return _until(_timestamp(text), wall_now)


def _timestamp(text: str) -> datetime | None:
    try:
        if _PLAIN.fullmatch(text):
            epoch = float(text)
            return datetime.fromtimestamp(epoch / 1000 if epoch > 1e11 else epoch, UTC)
        return _aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        return None


def _http_date(text: str) -> datetime | None:
    try:
        return _aware(parsedate_to_datetime(text[:64]))
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser is lenient, its errors are many
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _until(moment: datetime | None, wall_now: datetime) -> float | None:
    return None if moment is None else _plausible(max(0.0, (moment - wall_now).total_seconds()))


def _plausible(seconds: float) -> float | None:
    return seconds if seconds <= ABSURD_S else None


def _number(value: bytes | None) -> float | None:
    text = _text(value) if value is not None else ""
    return float(text) if _PLAIN.fullmatch(text) else None


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip()


def _dimension(found: re.Match[str]) -> str:
    return found[1].lower() if found[1] else _DIMENSION_OF_LETTER[found[2].lower()]


def _count_in(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return int(found[1]) if found else None
