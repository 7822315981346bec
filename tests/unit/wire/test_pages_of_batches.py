"""Lists of Anthropic's batches, whose cursors have names of their own."""

import pytest

from gateway.wire.pages import read_list_query, write_list_query

BATCHES = "messages/batches"


def test_cursors_are_read_and_written_by_anthropics_names():
    query = read_list_query(b"limit=500&after_id=b_1&x=y", BATCHES)

    assert query is not None
    assert (query.limit, query.after, query.before, query.is_newest_first) == (500, "b_1", None, True)
    assert query.rest == (("x", "y"),)
    asked = write_list_query(query, BATCHES, after="b_2", is_newest_first=True, is_sifted=False)
    assert asked == b"x=y&limit=501&after_id=b_2"


def test_openais_names_are_none_of_its():
    query = read_list_query(b"after=b_1", BATCHES)

    assert query is not None
    assert (query.after, query.rest) == (None, (("after", "b_1"),))
    files = read_list_query(b"after_id=f_1", "files")
    assert files is not None
    assert (files.after, files.rest) == (None, (("after_id", "f_1"),))


@pytest.mark.parametrize("query", [b"before_id=b_1", b"order=asc", b"limit=0", b"limit=1001"])
def test_what_its_lists_cannot_do_is_its_own_to_answer(query):
    assert read_list_query(query, BATCHES) is None
