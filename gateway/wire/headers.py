"""Which headers pass, in both directions, and what a caller's headers ask of the gateway itself.

Names are lower-case bytes, as ASGI and httptools give them. Towards the upstream everything goes that is not listed
here; so it is towards the client. What is held back, and why:

- what belongs to one hop: connection, framing, coding of the transfer, and whatever `Connection` names;
- credentials and cookies: the account's own take their place, and cookies must not tie accounts to each other;
- `openai-organization`, `openai-project`: those of the account hold; another's are a 401;
- where a call comes from: `x-forwarded-*`, `x-real-ip`, `cf-*`, `sec-*`, `origin` are nobody's business upstream;
- `x-stainless-*`: they tell of the hop between SDK and gateway (its retries, its timeouts) and would be wrong of ours;
- `accept-encoding`: answers that must be read are asked for as they are;
- an account's limits and identity in answers, and what its front servers say of themselves.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gateway.core.errors import InvalidCall

_Headers = tuple[tuple[bytes, bytes], ...]
_AnyHeaders = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

_NOT_UPSTREAM: Final = _HOP_BY_HOP | {
    b"host",
    b"content-length",  # the engine writes it: the model's name changes it
    b"content-encoding",  # bodies are unpacked before they are read
    b"content-md5",
    b"digest",
    b"content-digest",
    b"expect",
    b"accept-encoding",
    b"authorization",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    b"x-provider",
    b"x-request-id",
    b"x-client-request-id",  # ours takes its place
    b"origin",
    b"referer",
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"true-client-ip",
    b"max-forwards",
    b"baggage",
}
_NOT_UPSTREAM_PREFIXES: Final = (
    b"x-gateway-",
    b"x-stainless-",
    b"x-forwarded-",
    b"x-envoy-",
    b"cf-",
    b"sec-",
    b"access-control-",
)

_NOT_TO_CLIENT: Final = _HOP_BY_HOP | {
    b"set-cookie",
    b"openai-organization",
    b"openai-project",
    b"x-request-id",  # ours takes its place
    b"date",
    b"server",
    b"via",
    b"alt-svc",
    b"strict-transport-security",
    b"nel",
    b"report-to",
}
_LIMIT_PREFIXES: Final = (
    b"x-ratelimit-",
    b"ratelimit",
    b"x-tokenlimit-",
    b"x-ratelimitbysize-",
    b"anthropic-ratelimit-",
)
_NOT_TO_CLIENT_PREFIXES: Final = (
    *_LIMIT_PREFIXES,
    b"anthropic-organization-",
    b"cf-",
    b"access-control-",
    b"x-gateway-",
    b"x-envoy-",
)
_DELAYS: Final = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
"""Of one account and one attempt: they pass only with an error that goes to the client as it came."""

_CLIENT_TIMEOUTS: Final = (b"x-stainless-read-timeout", b"x-stainless-timeout")
"""Python's and node's, in seconds."""
_OF_BODY_AS_SENT: Final = frozenset({b"content-length", b"content-encoding"})
_NAMES_KEPT: Final = 1024
_SHARE_OF_TIMEOUT: Final = 0.8
"""Of a client's timeout, what a call may wait for an account: the answer needs time too."""


def request_headers(headers: _AnyHeaders) -> _Headers:
    """A caller's headers that go upstream."""
    return _without_named(headers, [header for header in headers if _goes_upstream[header[0]]])


def answer_headers(headers: _AnyHeaders, *, is_passed_error: bool = False, is_body_new: bool = False) -> _Headers:
    """An upstream's headers that go to the client. `is_passed_error`: the answer is an error sent on as it came.

    `is_body_new`: the body was unpacked, masked or rewritten on its way, so its length and coding are left out.
    """
    if is_body_new:
        goes = _goes_with_new_error if is_passed_error else _goes_with_new_body
    else:
        goes = _goes_to_client_with_error if is_passed_error else _goes_to_client
    return _without_named(headers, [header for header in headers if goes[header[0]]])


class AnswerHeaders(Protocol):
    """Which of an upstream's headers go to the client: `answer_headers`, `own_key_answer_headers`."""

    def __call__(
        self, headers: _AnyHeaders, *, is_passed_error: bool = False, is_body_new: bool = False
    ) -> _Headers: ...


def own_key_answer_headers(
    headers: _AnyHeaders, *, is_passed_error: bool = False, is_body_new: bool = False
) -> _Headers:
    """The same for a caller who brought a key: its limits are the caller's own, and so are the delays."""
    passed = set(answer_headers(headers, is_passed_error=is_passed_error, is_body_new=is_body_new))
    return tuple(
        header
        for header in headers
        if header in passed or header[0] in _DELAYS or header[0].startswith(_LIMIT_PREFIXES)
    )


class _Verdicts(dict[bytes, bool]):
    """Whether a header of that name passes. The same names come with every call: what was found is kept, of so many.

    Measured, asking a function that keeps its results costs twice as much.
    """

    def __init__(self, passes: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._passes = passes

    def __missing__(self, name: bytes) -> bool:
        if len(self) >= _NAMES_KEPT:
            self.clear()
        passes = self[name] = self._passes(name)
        return passes


def _may_leave(name: bytes) -> bool:
    return name not in _NOT_UPSTREAM and not name.startswith(_NOT_UPSTREAM_PREFIXES)


def _may_come(name: bytes) -> bool:
    return name not in _NOT_TO_CLIENT and not name.startswith(_NOT_TO_CLIENT_PREFIXES)


_goes_upstream = _Verdicts(_may_leave)
_goes_to_client_with_error = _Verdicts(_may_come)
_goes_to_client = _Verdicts(lambda name: name not in _DELAYS and _may_come(name))
_goes_with_new_error = _Verdicts(lambda name: name not in _OF_BODY_AS_SENT and _may_come(name))
_goes_with_new_body = _Verdicts(lambda name: name not in _OF_BODY_AS_SENT | _DELAYS and _may_come(name))


def client_timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    """How long the caller's SDK waits, as it tells itself; None when it tells nothing readable. The shortest counts."""
    told = [_seconds(headers[name]) for name in _CLIENT_TIMEOUTS if name in headers]
    return min((seconds for seconds in told if seconds), default=None) if told else None


def max_wait_s(headers: Mapping[bytes, bytes], default_s: float, ceiling_s: float) -> float:
    """How long the call may queue for an account: `x-gateway-max-wait`, else `default_s`.

    Never more than `ceiling_s`, and never beyond 0.8 of the client's own timeout. Raises `InvalidCall` when the header
    is no number of seconds.
    """
    wait_s: float | None = default_s
    if b"x-gateway-max-wait" in headers:
        wait_s = _seconds(headers[b"x-gateway-max-wait"])
    if wait_s is None:
        raise InvalidCall(
            f"Invalid header 'x-gateway-max-wait': expected seconds, a number from 0 on ({ceiling_s:g} is the most).",
            param="x-gateway-max-wait",
            code="invalid_header",
        )
    timeout_s = client_timeout_s(headers)
    return min(wait_s, ceiling_s, math.inf if timeout_s is None else timeout_s * _SHARE_OF_TIMEOUT)


def _without_named(headers: _AnyHeaders, passed: list[tuple[bytes, bytes]]) -> _Headers:
    """`passed` without the headers that a `Connection` among `headers` names as its own."""
    values = [value for name, value in headers if name == b"connection"]
    if values in _USUAL_CONNECTIONS:
        return tuple(passed)
    named = {option.strip() for value in values for option in value.lower().split(b",")} - _USUAL_OPTIONS
    return tuple([header for header in passed if header[0] not in named])


_USUAL_CONNECTIONS: Final[tuple[list[bytes], ...]] = ([], [b"keep-alive"], [b"close"])
_USUAL_OPTIONS: Final = frozenset({b"keep-alive", b"close", b"upgrade", b"te", b"content-type", b""})
"""Options that name no header that passes; and the one that no sender may make us lose."""


def _seconds(value: bytes) -> float | None:
    """Seconds, finite and not negative; None when unreadable."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
