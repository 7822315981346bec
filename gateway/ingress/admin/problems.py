"""Every bad answer of the admin API: one problem body (RFC 9457), whoever raised it.

Rules of this file: a body never repeats a value that came in, only its place and what is allowed there; what we did not
foresee is a plain 500 for the client and a traceback for the log.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from gateway.store.engine import StoreUnavailable
from gateway.store.rows import Duplicate, WriteRefused
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger
from gateway.telemetry.redaction import redacted

MEDIA_TYPE = "application/problem+json"
STORE_RETRY_AFTER_S = 2
"""Sent with 503 while Postgres is away: the pool reconnects by itself, mostly within this time."""

_log = get_logger()


class FieldProblem(msgspec.Struct, frozen=True):
    """One wrong value."""

    where: str
    """`body.auth_data.api_key`, `query.limit`; `body` for the whole."""
    what: str
    """What is wrong and what is allowed."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success (RFC 9457)."""

    type: str
    """`urn:gateway:problem:<code>`."""
    title: str
    """The same for every problem of this code."""
    status: int
    detail: str
    """What was wrong with this request, and what to do."""
    code: str
    """Stable; listed in docs/api.md."""
    errors: list[FieldProblem] = []
    """The wrong fields of a 400, else empty."""


class Refusal(Exception):
    """Raised by our own handlers and guards to end a request with a problem body."""

    def __init__(
        self, status: int, code: str, detail: str, *, where: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = [FieldProblem(where, detail)] if where else []
        self.headers = headers or {}


TITLES = {
    "invalid_request": "The request is not valid",
    "unauthenticated": "The admin token is missing or wrong",
    "not_allowed": "This request is not allowed",
    "not_found": "There is no such thing",
    "method_not_allowed": "This address does not take this method",
    "duplicate": "It exists already",
    "too_large": "The request body is too large",
    "unsupported_media_type": "The request body has the wrong type",
    "store_unavailable": "The database cannot be reached",
    "internal_error": "The gateway failed",
}

_CODE_OF_STATUS = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "duplicate",
    413: "too_large",
    415: "unsupported_media_type",
    503: "store_unavailable",
}


def problem_response(
    status: int,
    code: str,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    """The answer for one problem; also for parts of the gateway that have no exception to raise."""
    problem = Problem(
        type=f"urn:gateway:problem:{code}",
        title=TITLES[code],
        status=status,
        detail=detail,
        code=code,
        errors=errors or [],
    )
    return Response(problem, status_code=status, media_type=MEDIA_TYPE, headers=headers or {})


def _from_refusal(request: Request[Any, Any, Any], refusal: Refusal) -> Response[Problem]:
    if refusal.status in {401, 403}:
        _log.warning(Event.ADMIN_REFUSED, status=refusal.status, reason=refusal.code, path=request.url.path)
    return problem_response(refusal.status, refusal.code, refusal.detail, refusal.errors, refusal.headers)


def _from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    if error.status_code >= 500:
        return _from_bug(request, error)
    code = _CODE_OF_STATUS.get(error.status_code, "invalid_request")
    errors = [_field_problem(entry) for entry in error.extra or () if isinstance(entry, dict)]
    return problem_response(error.status_code, code, _detail(request, error, errors), errors, error.headers)


def _detail(request: Request[Any, Any, Any], error: HTTPException, errors: list[FieldProblem]) -> str:
    if error.status_code == 404:
        return f"There is nothing at {request.url.path}; the operations are listed at /schema."
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow", "see /schema")
        return f"{request.method} is not possible here; allowed: {allowed}."
    if error.status_code == 413:
        return "The body is larger than the admin API takes; send the keys in several imports."
    if errors:
        return "; ".join(f"{problem.where}: {problem.what}" for problem in errors)
    return "The body is not valid JSON." if error.status_code == 400 else HTTPStatus(error.status_code).phrase


def _field_problem(entry: dict[str, Any]) -> FieldProblem:
    """Litestar's entry: `message`, and mostly `key` (dotted) and `source` (body, query, path, header).

    The message may quote the name of an unknown field: somebody will paste a key there.
    """
    source, key, what = (entry.get(name) or "" for name in ("source", "key", "message"))
    where = str(getattr(source, "value", source)) or "body"
    if what == "'data'":  # what Litestar makes of an empty body
        return FieldProblem(where="body", what="A JSON object is expected; the body is empty.")
    return FieldProblem(where=f"{where}.{key}" if key and key != "data" else where, what=redacted(str(what)))


def _from_store(request: Request[Any, Any, Any], _: StoreUnavailable) -> Response[Problem]:
    _log.warning(Event.ADMIN_REFUSED, status=503, reason="store_unavailable", path=request.url.path)
    return problem_response(
        503,
        "store_unavailable",
        "Postgres cannot be reached now. Calls go on from the last snapshot; repeat this request.",
        headers={"retry-after": str(STORE_RETRY_AFTER_S)},
    )


def _from_write(_: Request[Any, Any, Any], error: WriteRefused) -> Response[Problem]:
    status, code = (409, "duplicate") if isinstance(error, Duplicate) else (400, "invalid_request")
    where = f"body.{error.where}" if error.where else "body"
    return problem_response(status, code, str(error), [FieldProblem(where, str(error))])


def _from_depth(_: Request[Any, Any, Any], __: RecursionError) -> Response[Problem]:
    """The JSON reader's answer to a body of some thousand brackets."""
    return problem_response(400, "invalid_request", "The body is nested too deeply.")


def _from_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error(Event.ADMIN_CRASHED, path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem_response(500, "internal_error", "This is a bug of the gateway; its log has the details.")


PROBLEM_HANDLERS: ExceptionHandlersMap = {
    Refusal: _from_refusal,
    HTTPException: _from_http,
    StoreUnavailable: _from_store,
    WriteRefused: _from_write,
    RecursionError: _from_depth,
    Exception: _from_bug,
}
"""For the admin router, and for the app as a whole: unknown addresses and wrong methods are found before any router."""
