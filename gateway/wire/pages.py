"""List pages on the wire: a page → its items, bytes and all; items of many pages → one page. Queries of lists."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

from gateway.wire.objects import created_at

DEFAULT_LIMIT: Final = 20
DEFAULT_LIMITS: Final[Mapping[str, int]] = {"files": 10_000}
"""Kind → what a page holds when the caller asks for no length."""
LONGEST: Final = 100
LONGEST_OF: Final[Mapping[str, int]] = {"files": 10_000, "messages/batches": 1000}
"""Kind → the longest page that the upstream gives."""
OLDEST_FIRST: Final = frozenset({"chat/completions", "evals"})
"""Kinds whose lists begin with the oldest when the caller asks for no order; all others with the newest."""
CURSORS: Final = ("after", "before")
CURSORS_OF: Final[Mapping[str, tuple[str, str]]] = {"messages/batches": ("after_id", "before_id")}
"""Kind → how its list calls its cursors, where it is Anthropic's. Such lists have no order but the newest first."""


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


def write_page(items: Sequence[Item], *, has_more: bool) -> bytes:
    """The page, each item's bytes as they came."""
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [item.raw for item in items],
            "first_id": items[0].id if items else None,
            "last_id": items[-1].id if items else None,
            "has_more": has_more,
        }
    )


def read_list_query(query: bytes, kind: str) -> ListQuery | None:
    """None for a query that the upstream would refuse: it should say so itself."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    after, before = CURSORS_OF.get(kind, CURSORS)
    if kind in CURSORS_OF and (values.get(before) or "order" in values):
        return None
    limit = values.get("limit", str(DEFAULT_LIMITS.get(kind, DEFAULT_LIMIT)))
    order = values.get("order", "asc" if kind in OLDEST_FIRST else "desc")
    longest = LONGEST_OF.get(kind, LONGEST)
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit) <= longest) or order not in {"asc", "desc"}:
        return None
    return ListQuery(
        limit=int(limit),
        is_newest_first=order == "desc",
        after=values.get(after) or None,
        before=values.get(before) or None,
        rest=tuple((name, value) for name, value in pairs if name not in {after, before, "limit", "order"}),
    )


def write_list_query(
    query: ListQuery, kind: str, *, after: str | None, is_newest_first: bool, is_sifted: bool
) -> bytes:
    """The query for the next page of one account. `is_sifted`: many of its items may be somebody else's."""
    longest = LONGEST_OF.get(kind, LONGEST)
    length = max(query.limit + 1, LONGEST) if is_sifted else query.limit + 1
    asked = [*query.rest, ("limit", str(min(length, longest)))]
    if is_newest_first is (kind in OLDEST_FIRST):  # not the order in which the list comes by itself
        asked.append(("order", "desc" if is_newest_first else "asc"))
    if after is not None:
        asked.append((CURSORS_OF.get(kind, CURSORS)[0], after))
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in asked).encode()


def _read_item(raw: msgspec.Raw) -> Item:
    item = _decode_item(raw)
    made_at = created_at({"created_at": item.created_at, "created": item.created})
    return Item(item.id, made_at, raw)
