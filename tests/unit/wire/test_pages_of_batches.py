"""Lists of Anthropic's batches and files, whose cursors have names of their own."""

import msgspec
import pytest

from gateway.core.call import Schema
from gateway.wire.pages import (
    ANTHROPICS,
    OPENAIS,
    Item,
    dialect_of,
    read_list_query,
    write_list_query,
    write_page,
)

BATCHES = "messages/batches"


def test_cursors_are_read_and_written_by_anthropics_names():
    query = read_list_query(b"limit=500&after_id=b_1&x=y", BATCHES, ANTHROPICS)

    assert query is not None
    assert (query.limit, query.after, query.before, query.is_newest_first) == (500, "b_1", None, True)
    assert query.rest == (("x", "y"),)
    asked = write_list_query(query, BATCHES, ANTHROPICS, after="b_2", is_newest_first=True, is_sifted=False)
    assert asked == b"x=y&limit=501&after_id=b_2"


def test_the_way_back_goes_by_the_other_cursor():
    query = read_list_query(b"before_id=b_1&limit=2", BATCHES, ANTHROPICS)

    assert query is not None
    assert (query.after, query.before) == (None, "b_1")
    asked = write_list_query(query, BATCHES, ANTHROPICS, after="b_1", is_newest_first=False, is_sifted=False)
    assert asked == b"limit=3&before_id=b_1"


def test_who_speaks_which_dialect():
    assert dialect_of(BATCHES, Schema.ANTHROPIC) is dialect_of("files", Schema.ANTHROPIC) is ANTHROPICS
    assert dialect_of("files", Schema.OPENAI) is dialect_of("skills", Schema.ANTHROPIC) is OPENAIS


def test_openais_names_are_none_of_its():
    query = read_list_query(b"after=b_1", BATCHES, ANTHROPICS)

    assert query is not None
    assert (query.after, query.rest, query.limit) == (None, (("after", "b_1"),), 20)
    files = read_list_query(b"after_id=f_1", "files")
    assert files is not None
    assert (files.after, files.rest, files.limit) == (None, (("after_id", "f_1"),), 10_000)


def test_its_files_have_its_lengths():
    query = read_list_query(b"", "files", ANTHROPICS)

    assert query is not None
    assert query.limit == 20
    assert read_list_query(b"limit=1001", "files", ANTHROPICS) is None


def test_its_pages_have_no_object():
    page = msgspec.json.decode(write_page([Item("b_1", None, msgspec.Raw(b'{"id":"b_1"}'))], ANTHROPICS, has_more=True))

    assert page == {"data": [{"id": "b_1"}], "first_id": "b_1", "last_id": "b_1", "has_more": True}


@pytest.mark.parametrize("query", [b"order=asc", b"limit=0", b"limit=1001"])
def test_what_its_lists_cannot_do_is_its_own_to_answer(query):
    assert read_list_query(query, BATCHES, ANTHROPICS) is None
