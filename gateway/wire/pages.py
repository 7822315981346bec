"""List pages on the wire: a page → its items, bytes and all; items of many pages → one page. Queries of lists."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

from gateway.core.call import Schema
from gateway.wire.objects import created_at

DEFAULT_LIMIT: Final = 20
SIFTED: Final = 100
"""Items that an account is asked for where many may be somebody else's."""
_ORDER_BY: Final = "order_by"
_TIMES: Final = frozenset({None, "", "created_at"})
OLDEST_FIRST: Final = frozenset({"chat/completions", "evals"})
"""Kinds whose lists begin with the oldest when the caller asks for no order; all others with the newest."""


class Dialect(msgspec.Struct, frozen=True):
    """How a list is asked for, and what its pages look like."""

    after: str = "after"
    before: str = "before"
    has_order: bool = True
    """Lists without one begin with the newest, and go back from a cursor by `before` alone."""
    is_one_way: bool = False
    """They know no `before` either: whoever goes back, reads from the newest on."""
    default_limits: Mapping[str, int] = MappingProxyType({})
    """Kind → what a page holds when the caller asks for no length, where it is not `DEFAULT_LIMIT`."""
    longest: int = 100
    longest_of: Mapping[str, int] = MappingProxyType({})
    """Kind → the longest page that the upstream gives, where it is not `longest`."""


_FILES: Final = MappingProxyType({"files": 10_000})
OPENAIS: Final = Dialect(default_limits=_FILES, longest_of=_FILES)
ANTHROPICS: Final = Dialect("after_id", "before_id", has_order=False, longest=1000)
ONE_WAY: Final = Dialect(has_order=False, is_one_way=True)
_ONE_WAY_LISTS: Final = frozenset({"batches", "fine_tuning/jobs", "audio/voice_consents"})
_ANTHROPICS_LISTS: Final = frozenset({"messages/batches", "files"})


def dialect_of(kind: str, schema: Schema) -> Dialect:
    """Anthropic's younger lists (skills, agents) have pages of another make, and no cursor that is an id."""
    if schema is Schema.ANTHROPIC:
        return ANTHROPICS if kind in _ANTHROPICS_LISTS else OPENAIS
    return ONE_WAY if kind in _ONE_WAY_LISTS else OPENAIS


class Item(msgspec.Struct, frozen=True):
    """One object of a page."""

    id: str
    made_at: datetime | None
    raw: msgspec.Raw


class Page(msgspec.Struct, frozen=True):
    """What an upstream's page says."""

    items: tuple[Item, ...]
    has_more: bool


class ListQuery(msgspec.Struct, frozen=True):
    """What a list is asked for."""

    limit: int
    is_newest_first: bool
    after: str | None
    before: str | None
    rest: tuple[tuple[str, str], ...]
    """Everything else, for the upstream to judge."""
    is_by_time: bool = True
    """False: by something that objects do not show (`order_by`), so each account's own order is all there is."""


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: Any = False


class _Listed(msgspec.Struct):
    id: str
    created_at: Any = None
    created: Any = None


_decode_page: Final = msgspec.json.Decoder(_Page).decode
_decode_item: Final = msgspec.json.Decoder(_Listed).decode


def read_page(body: bytes) -> Page | None:
    """None for what is no page of objects with ids."""
    try:
        page = _decode_page(body)
        return Page(tuple(_read_item(raw) for raw in page.data), page.has_more is True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_page(items: Sequence[Item], dialect: Dialect = OPENAIS, *, has_more: bool) -> bytes:
    """The page, each item's bytes as they came."""
    page: dict[str, Any] = {} if dialect is ANTHROPICS else {"object": "list"}
    return msgspec.json.encode(
        page
        | {
            "data": [item.raw for item in items],
            "first_id": items[0].id if items else None,
            "last_id": items[-1].id if items else None,
            "has_more": has_more,
        }
    )


def read_list_query(query: bytes, kind: str, dialect: Dialect = OPENAIS) -> ListQuery | None:
    """None for a query that the upstream would refuse: it should say so itself."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    if "order" in values and not (dialect.has_order or dialect.is_one_way):
        return None
    limit = values.get("limit", str(dialect.default_limits.get(kind, DEFAULT_LIMIT)))
    order = values.get("order", "asc" if kind in OLDEST_FIRST else "desc")
    longest = dialect.longest_of.get(kind, dialect.longest)
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit) <= longest) or order not in {"asc", "desc"}:
        return None
    read = {dialect.after, dialect.before, "limit", "order"}
    return ListQuery(
        limit=int(limit),
        is_newest_first=order == "desc",
        after=values.get(dialect.after) or None,
        before=values.get(dialect.before) or None,
        rest=tuple((name, value) for name, value in pairs if name not in read),
        is_by_time=values.get(_ORDER_BY) in _TIMES,
    )


def write_list_query(  # what a list is asked for, by name
    query: ListQuery,
    kind: str,
    dialect: Dialect = OPENAIS,
    *,
    after: str | None,
    is_newest_first: bool,
    is_sifted: bool,
) -> bytes:
    """The query for the next page of one account. `is_sifted`: many of its items may be somebody else's."""
    length = max(query.limit + 1, SIFTED) if is_sifted else query.limit + 1
    asked = [*query.rest, ("limit", str(min(length, dialect.longest_of.get(kind, dialect.longest))))]
    cursor = dialect.after
    if is_newest_first is (kind in OLDEST_FIRST):  # not the order in which the list comes by itself
        if dialect.has_order:
            asked.append(("order", "desc" if is_newest_first else "asc"))
        else:
            cursor = dialect.before
    if after is not None:
        asked.append((cursor, after))
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in asked).encode()


def _read_item(raw: msgspec.Raw) -> Item:
    item = _decode_item(raw)
    made_at = created_at({"created_at": item.created_at, "created": item.created})
    return Item(item.id, made_at, raw)
