"""What administrators may write: the snapshot's own checks, asked before a row is kept, and hints on credentials."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.ids import masked
from gateway.store.row_checks import RowRefused
from gateway.store.rows import InvalidValue

_OPENAI_PREFIX = "sk-"
_OPENAI_ADMIN_PREFIX = "sk-admin-"
"""Keys of the administration API: they cannot make a single call of the data plane."""
_OPENAI_KINDS = frozenset({"openai"})

_PUBLIC_FIELDS = frozenset(
    {"header", "organization", "org_id", "project", "project_id", "base_url"}
    | {"token_url", "tenant_id", "client_id", "scope", "audience", "client_auth"}
)
"""Fields of `auth_data` that are no secrets; all others are masked, unknown ones too."""


Check = Callable[[Mapping[str, Any]], object]
"""A row check of `row_checks`: raises RowRefused."""


def refuse_if_new(check: Check, after: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """A row that the snapshot would skip is not written, unless it was skipped for the same reason before.

    So a row that plain SQL has broken can still be paused, renamed or mended column by column.

    Raises:
        InvalidValue: `where` is the column that the check names.
    """
    wrong = _what_is_wrong(check, after)
    if wrong is not None and (before is None or wrong != _what_is_wrong(check, before)):
        raise InvalidValue(wrong.partition(" ")[0], wrong)


def _what_is_wrong(check: Check, row: Mapping[str, Any]) -> str | None:
    try:
        check(row)
    except RowRefused as refused:
        return str(refused)
    return None


def credential_warnings(kind: str, auth_data: object) -> list[str]:
    """What looks wrong about a credential that is accepted all the same.

    Raises:
        InvalidValue: it certainly cannot serve.
    """
    api_key = auth_data.get("api_key") if isinstance(auth_data, dict) else None
    if kind not in _OPENAI_KINDS or not isinstance(api_key, str):
        return []
    if api_key.startswith(_OPENAI_ADMIN_PREFIX):
        raise InvalidValue(
            "auth_data.api_key", "This is an admin key (sk-admin-…), which serves no calls: give a project's key."
        )
    if not api_key.startswith(_OPENAI_PREFIX):
        return ["auth_data.api_key does not begin with sk-, as OpenAI's keys do."]
    return []


def masked_auth_data(auth_data: object) -> dict[str, Any]:
    """`auth_data` as people may see it: `{"api_key": "sk-…abcd"}`."""
    if not isinstance(auth_data, dict):
        return {}
    return {name: value if name in _PUBLIC_FIELDS else _masked_value(value) for name, value in auth_data.items()}


def _masked_value(value: object) -> object:
    match value:
        case dict():
            return {name: _masked_value(inner) for name, inner in value.items()}
        case list():
            return [_masked_value(inner) for inner in value]
        case str():
            return masked(value)
        case None | bool():
            return value
        case _:
            return "…"
