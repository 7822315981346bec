"""Errors on the wire: an upstream's error body → `ErrorBody`, whatever its shape; a `GatewayError` → OpenAI's body.

Shapes that are read (reference §3.1): OpenAI's, also with a number as `code` (OpenRouter); a bare text as `error`;
Google's list; Anthropic's; Azure's gateway (`statusCode`); the flat object of Mistral and vLLM; FastAPI's `detail`;
Cloudflare's `errors`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import CHUNKS, Endpoint, Schema, StreamKind
from gateway.core.errors import AllOverloaded, GatewayError
from gateway.core.outcome import ErrorBody

_LONGEST_MESSAGE: Final = 4_000
_MOST_DETAILS: Final = 16
_LONGEST_HINTS: Final = 500
_TITLE: Final = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_LONGEST_WAIT_S: Final = 120.0
"""Beyond it Python's SDK does not retry and node's sleeps as long as it is told (reference §5.1): we say no to both."""


def read_error(body: bytes, content_type: str) -> ErrorBody:
    """What an error body says. Of HTML and plain text only a message remains, for people to read."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorBody(message=_plain_message(body, content_type))
    return error_of(value)


def error_of(value: object) -> ErrorBody:
    """The same from a decoded body."""
    value = _first(value)
    if isinstance(value, str):
        return ErrorBody(message=_bounded(value))
    if not isinstance(value, dict):
        return ErrorBody()
    inner = _first(value.get("error") or value.get("errors") or value.get("detail"))
    if isinstance(inner, dict):
        return _read_object(inner)
    if isinstance(inner, str):
        message = _text(value.get("message"))
        return _read_object(value, message or inner)
    return _read_object(value) if _text(value.get("message")) else ErrorBody()


def error_in_answer(body: bytes, endpoint: Endpoint) -> ErrorBody | None:
    """The error in an answer that calls itself a success (OpenRouter's 200); None when there is none.

    Objects that an account keeps tell in a member of this name how their work went: that is no error of this call. Of
    responses it is when the call itself made the one that failed.
    """
    if b'"error"' not in body:
        return None
    try:
        answer = _error_member(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not answer.error or (endpoint.stream not in CHUNKS and _is_kept(answer, endpoint)):
        return None
    return error_of({"error": answer.error})


def is_object(body: bytes) -> bool:
    """Whether an answer with an error in it is an object of the API all the same: a response that failed."""
    answer = _error_member(body)
    return isinstance(answer.object, str) and answer.object != "error"


class _ErrorMember(msgspec.Struct, gc=False):
    error: Any = None
    object: Any = None
    status: Any = None


def _is_kept(answer: _ErrorMember, endpoint: Endpoint) -> bool:
    if not isinstance(answer.object, str) or answer.object == "error":
        return False
    is_new_response = endpoint.stream is StreamKind.RESPONSES and endpoint.method == "POST"
    return not (is_new_response and answer.status == "failed")


_error_member: Final = msgspec.json.Decoder(_ErrorMember).decode


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""Others below 500 are `invalid_request_error`, others above `api_error`."""


def write_error(error: GatewayError, schema: Schema = Schema.OPENAI, *, call_id: str = "") -> bytes:
    """OpenAI's error body: all four keys, always; Anthropic's, which names the call, for callers of its endpoints."""
    if schema is Schema.ANTHROPIC:
        return anthropic_error_body(error.message, anthropic_type(error), error.code, call_id)
    return error_body(error.message, error.type, error.param, error.code)


def anthropic_type(error: GatewayError) -> str:
    if isinstance(error, AllOverloaded):
        return "overloaded_error"
    return _ANTHROPIC_TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")


def anthropic_error_body(message: str, type_: str, code: str | None, call_id: str = "") -> bytes:
    """Anthropic's error body; a code stands where it puts its own."""
    inner: dict[str, object] = {"type": type_, "message": message}
    if code is not None:
        inner["details"] = {"error_code": code}
    body: dict[str, object] = {"type": "error", "error": inner}
    return msgspec.json.encode(body | {"request_id": call_id} if call_id else body)


def error_body(message: str, type_: str, param: str | None, code: str | None) -> bytes:
    """OpenAI's error body from its parts."""
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": code}})


def error_headers(error: GatewayError) -> tuple[tuple[bytes, bytes], ...]:
    """`retry-after` (whole seconds, at least 1), `retry-after-ms` and `x-should-retry`, as far as they apply."""
    headers: list[tuple[bytes, bytes]] = []
    should_retry = error.should_retry
    wait_s = error.retry_after_s
    if wait_s is not None and math.isfinite(wait_s):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(wait_s * 1000))))
        should_retry = False if wait_s > _LONGEST_WAIT_S else should_retry
    if should_retry is not None:
        headers.append((b"x-should-retry", b"true" if should_retry else b"false"))
    return tuple(headers)


def _read_object(error: Mapping[str, Any], message: str | None = None) -> ErrorBody:
    """An error object, with whichever names its vendor gave to the parts."""
    if message is None:
        message = _text(error.get("message")) or _text(error.get("msg")) or _text(error.get("detail")) or ""
    return ErrorBody(
        message=_bounded(message),
        type=_text(error.get("type")) or _text(error.get("status")),  # Google's RESOURCE_EXHAUSTED
        code=_code(error),
        param=_text(error.get("param")),
        hints=_hints_in(error.get("details")),
        is_readable=True,
    )


def _hints_in(details: object) -> str:
    """Google's details: `RetryInfo` (`retryDelay: "34s"`), `QuotaFailure` (`quotaId: "GenerateRequestsPerDay…"`)."""
    if not isinstance(details, list):
        return ""
    hints: list[str] = []
    for detail in (detail for detail in details[:_MOST_DETAILS] if isinstance(detail, dict)):
        if isinstance(delay := detail.get("retryDelay"), str):
            hints.append(f"retry in {delay}")
        violations = detail.get("violations")
        found = violations[:_MOST_DETAILS] if isinstance(violations, list) else []
        quotas = [violation.get("quotaId") for violation in found if isinstance(violation, dict)]
        hints += [quota for quota in quotas if isinstance(quota, str)]
    return " ".join(hints)[:_LONGEST_HINTS]


def _code(error: Mapping[str, Any]) -> str | None:
    details = error.get("details")
    if isinstance(details, dict) and (code := _text(details.get("error_code"))):
        return code  # Anthropic's spend limit: `enforced_spend_limit_reached`
    for name in ("code", "statusCode"):
        code = error.get(name)
        if isinstance(code, int) and not isinstance(code, bool):
            return str(code) if abs(code) < 1_000_000_000 else None
        if code_text := _text(code):
            return code_text[:200]
    return None


def _first(value: object) -> object:
    """The first of an array, anything else itself: Google and FastAPI put their errors in lists."""
    return value[0] if isinstance(value, list) and value else value


def _text(value: object) -> str | None:
    """A non-empty text, or one dug out of an object (Mistral's `message` may be `{"detail": [...]}`); else None."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, (dict, list)) and value:
        return msgspec.json.encode(value).decode()
    return None


def _plain_message(body: bytes, content_type: str) -> str:
    text = body[: _LONGEST_MESSAGE * 4].decode(errors="replace").strip()
    if "html" in content_type.lower() or text[:1] == "<":
        title = _TITLE.search(text)
        return " ".join(title[1].split()) if title else ""
    return _bounded(text)


def _bounded(message: str) -> str:
    return message[:_LONGEST_MESSAGE]
