import msgspec
import pytest

from gateway.wire.pages import read_list_query, read_page, write_list_query, write_page

RAW = (
    b'{"object": "list","data":[{"id":"a", "created_at": 5,"x":1.0},'
    b'{"created":7,"id":"b"}, {"id":"c"}],"has_more":true}'
)


def test_items_keep_their_bytes() -> None:
    page = read_page(RAW)
    assert page is not None

    written = write_page(page.items[:2], has_more=False)

    assert b'{"id":"a", "created_at": 5,"x":1.0}' in written
    assert msgspec.json.decode(written) == {
        "object": "list",
        "data": [{"id": "a", "created_at": 5, "x": 1.0}, {"created": 7, "id": "b"}],
        "first_id": "a",
        "last_id": "b",
        "has_more": False,
    }
    assert [item.made_at and item.made_at.timestamp() for item in page.items] == [5.0, 7.0, None]
    assert page.has_more


def test_an_empty_page_has_no_ids() -> None:
    assert msgspec.json.decode(write_page([], has_more=False)) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":{}}', b'{"data":[1]}', b'{"data":[{"id":1}]}', b"\xff", b"{}"])
def test_what_is_no_page_is_none(body: bytes) -> None:
    assert read_page(body) is None


def test_a_list_is_asked_for_as_openai_would_understand_it() -> None:
    query = read_list_query(b"purpose=batch&limit=5&after=file-1&metadata%5Ba%5D=b+c", "files")
    assert query is not None

    assert (query.limit, query.is_newest_first, query.after, query.before) == (5, True, "file-1", None)
    assert write_list_query(query, "files", after="file-9", is_newest_first=True, is_sifted=False) == (
        b"purpose=batch&metadata%5Ba%5D=b+c&limit=6&after=file-9"
    )
    assert write_list_query(query, "files", after=None, is_newest_first=False, is_sifted=True) == (
        b"purpose=batch&metadata%5Ba%5D=b+c&limit=100&order=asc"
    )


@pytest.mark.parametrize(
    ("kind", "query", "limit", "is_newest_first"),
    [
        ("files", b"", 10_000, True),
        ("batches", b"", 20, True),
        ("evals", b"", 20, False),
        ("chat/completions", b"order=desc", 20, True),
        ("files", b"order=asc&limit=10000", 10_000, False),
    ],
)
def test_what_is_not_said_is_openais_default(kind: str, query: bytes, limit: int, *, is_newest_first: bool) -> None:
    read = read_list_query(query, kind)

    assert read is not None
    assert (read.limit, read.is_newest_first) == (limit, is_newest_first)


def test_the_order_is_named_where_it_is_not_the_lists_own() -> None:
    query = read_list_query(b"", "evals")
    assert query is not None

    assert b"order" not in write_list_query(query, "evals", after=None, is_newest_first=False, is_sifted=False)
    assert b"order=desc" in write_list_query(query, "evals", after=None, is_newest_first=True, is_sifted=False)


@pytest.mark.parametrize("query", [b"limit=0", b"limit=101", b"limit=x", b"limit=-1", b"limit=", b"order=up"])
def test_a_query_that_the_upstream_would_refuse_is_left_to_it(query: bytes) -> None:
    assert read_list_query(query, "batches") is None
