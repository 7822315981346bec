"""What the operations of the admin API have in common: paging, and how their errors are documented."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from gateway.ingress.admin.problems import MEDIA_TYPE, TITLES, Problem, Refusal

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Some 20,000 keys in one import."""

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Rows of a page, 1 to 1000.")]
Offset = Annotated[int, QueryParameter(ge=0, le=2**31 - 1, description="Rows before the page.")]
IsActive = Annotated[bool | None, QueryParameter(description="Only active rows, or only those that are not.")]
ProviderFilter = Annotated[str | None, QueryParameter(description="Only rows of this provider.")]
RowId = Annotated[UUID, PathParameter(description="The row's id.")]

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
ModelPattern = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
Int4 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Count4 = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Count8 = Annotated[int, Meta(ge=1, le=2**53)]

_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "not_allowed",
    404: "not_found",
    409: "duplicate",
    413: "too_large",
    503: "store_unavailable",
}
_DETAILS = {
    400: "body.tier: Expected `int`, got `str`",
    401: "Send the admin token: `Authorization: Bearer $GATEWAY_ADMIN_TOKEN`.",
    403: "Without an admin token this is open on loopback alone: set GATEWAY_ADMIN_TOKEN.",
    404: "There is no account 7c1b7c0e-1111-4222-8333-944445555666.",
    409: "Account 7c1b7c0e-1111-4222-8333-944445555666 (Account 1) has this credential already.",
    413: "The body is larger than the admin API takes; send the keys in several imports.",
    503: "Postgres cannot be reached now. Calls go on from the last snapshot; repeat this request.",
}
_ALWAYS = (401, 403, 503)


def errors(*statuses: int) -> Mapping[int, ResponseSpec]:
    """The problem bodies an operation may answer with, for its description; 401, 403 and 503 are always among them.

    With 404 goes 400: what has an id in its path can be asked for with one that is none.
    """
    return {status: _spec(status) for status in sorted({*statuses, *_ALWAYS, *((400,) if 404 in statuses else ())})}


def _spec(status: int) -> ResponseSpec:
    code = _CODES[status]
    problem = {
        "type": f"urn:gateway:problem:{code}",
        "title": TITLES[code],
        "status": status,
        "detail": _DETAILS[status],
        "code": code,
        "errors": [],
    }
    return ResponseSpec(
        data_container=Problem,
        generate_examples=False,
        description=TITLES[code],
        media_type=MEDIA_TYPE,
        examples=[Example(summary=code, value=problem)],
    )


def declared(managed_by: str) -> str:
    """The warning for a row that the gateway made itself."""
    return f"Made from a declaration ({managed_by}): a start sets it back to what is declared there."


def not_found(noun: str, row_id: object) -> Refusal:
    return Refusal(404, "not_found", f"There is no {noun} {row_id}.")
