from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcome import Fault, FaultKind
from gateway.upstream.answer_reader import MAX_HEAD_BYTES, AnswerReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 7\r\n\r\nabcdefg"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
MESSAGES = {
    "length": LENGTH,
    "chunked": CHUNKED,
    "interim": INTERIM + LENGTH,
    "empty": b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
    "closing": LENGTH.replace(b"a/b", b"a/b\r\nConnection: close"),
}


def fed(*pieces: bytes, is_head: bool = False) -> AnswerReader:
    reader = AnswerReader()
    reader.begin(is_head=is_head)
    for piece in pieces:
        reader.feed(piece)
    return reader


def picture(reader: AnswerReader) -> tuple[object, ...]:
    return reader.status, reader.headers, b"".join(reader.pieces), reader.is_whole, reader.may_reuse, reader.fault


def cut(message: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(message) + 1) for place in places), len(message)]
    return [message[start:end] for start, end in pairwise(edges) if end > start]


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_byte_by_byte_gives_the_same_answer(message: bytes) -> None:
    single = [message[at : at + 1] for at in range(len(message))]

    assert picture(fed(*single)) == picture(fed(message))
    assert fed(message).is_whole


@given(message=st.sampled_from(list(MESSAGES.values())), places=st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_gives_the_same_answer(message: bytes, places: list[int]) -> None:
    assert picture(fed(*cut(message, places))) == picture(fed(message))


@given(
    message=st.sampled_from([LENGTH, CHUNKED, INTERIM + LENGTH]),
    kept=st.integers(0, 400),
    places=st.lists(st.integers(0, 400), max_size=5),
    error=st.sampled_from([None, ConnectionResetError(104, "reset")]),
)
def test_no_cut_answer_ever_looks_whole(message: bytes, kept: int, places: list[int], error: Exception | None) -> None:
    reader = fed(*cut(message[: kept % len(message)], places))

    reader.end(error)

    assert not reader.is_whole
    assert reader.fault is not None
    assert reader.fault.kind is FaultKind.RESET


@given(st.lists(st.sampled_from([LENGTH, CHUNKED, INTERIM + LENGTH]), min_size=1, max_size=5))
def test_answers_follow_each_other_on_one_connection(messages: list[bytes]) -> None:
    reader = AnswerReader()

    for message in messages:
        reader.begin(is_head=False)
        reader.feed(message)

        assert picture(reader) == picture(fed(message))
        reader.pieces.clear()


@given(st.binary(max_size=300))
def test_rubbish_never_raises(rubbish: bytes) -> None:
    reader = fed(rubbish)
    reader.end(None)

    assert reader.is_whole or reader.fault is not None


def test_headers_are_lower_case_stripped_and_in_wire_order() -> None:
    reader = fed(b"HTTP/1.1 200 OK\r\nX-B: 2 \r\nSet-Cookie: a\r\nset-cookie:  b\t\r\nEmpty:\r\n\r\n")

    assert reader.headers == ((b"x-b", b"2"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"empty", b""))


@pytest.mark.parametrize(
    ("message", "may_reuse"),
    [
        (LENGTH, True),
        (CHUNKED, True),
        (LENGTH.replace(b"1.1", b"1.0"), False),
        (LENGTH.replace(b"1.1 200 OK", b"1.0 200 OK\r\nConnection: keep-alive"), True),
        (LENGTH.replace(b"a/b", b"a/b\r\nConnection: close"), False),
        (LENGTH.replace(b"a/b", b"a/b\r\nConnection: upgrade\r\nUpgrade: h2c"), True),
        (LENGTH + b"H", False),
        (LENGTH + LENGTH, False),
        (LENGTH + b"\x00", False),
    ],
)
def test_whether_another_request_may_follow(message: bytes, *, may_reuse: bool) -> None:
    reader = fed(message)

    assert (reader.is_whole, reader.fault) == (True, None)
    assert b"".join(reader.pieces) == b"abcdefg"
    assert reader.may_reuse is may_reuse


def test_bytes_behind_the_end_that_come_later_forbid_reuse() -> None:
    reader = fed(LENGTH)
    reader.feed(b"H")

    assert (reader.is_whole, reader.may_reuse) == (True, False)


def test_end_of_the_connection_ends_a_body_without_framing() -> None:
    reader = fed(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def")
    assert not reader.is_whole

    reader.end(None)

    assert (b"".join(reader.pieces), reader.is_whole, reader.may_reuse) == (b"abcdef", True, False)


def test_body_whose_last_coding_is_not_chunked_ends_with_the_connection() -> None:
    reader = fed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc")

    reader.end(None)

    assert (reader.pieces, reader.is_whole, reader.fault) == ([b"abc"], True, None)


def test_broken_connection_is_not_the_end_of_an_unframed_body() -> None:
    reader = fed(b"HTTP/1.1 200 OK\r\n\r\nabc")

    reader.end(ConnectionResetError(104, "Connection reset by peer"))

    assert reader.fault == Fault(FaultKind.RESET, "connection reset by peer after 3 bytes", is_body_sent=True)


def test_cut_body_says_how_much_came() -> None:
    reader = fed(LENGTH[:-2])

    reader.end(None)

    assert reader.fault == Fault(FaultKind.RESET, "connection closed after 5 of 7 bytes", is_body_sent=True)


def test_end_after_the_whole_answer_only_forbids_reuse() -> None:
    reader = fed(LENGTH)

    reader.end(None)

    assert (reader.is_whole, reader.may_reuse, reader.fault) == (True, False, None)


def test_later_end_does_not_replace_the_first_fault() -> None:
    reader = fed(b"rubbish")
    first = reader.fault

    reader.end(None)

    assert reader.fault is first
    assert first is not None
    assert first.kind is FaultKind.GARBAGE


@pytest.mark.parametrize("rest", [b"", b"abc", b"rubbish\x00"])
def test_answer_to_head_is_whole_after_its_head(rest: bytes) -> None:
    reader = fed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + rest, is_head=True)

    assert (reader.is_whole, reader.pieces, reader.may_reuse, reader.fault) == (True, [], False, None)


GARBAGE = [
    pytest.param(b"<html>", id="no HTTP"),
    pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="another version"),
    pytest.param(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", id="upgrade"),
    pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", id="101 alone"),
    pytest.param(b"HTTP/1.1 099 Odd\r\n\r\n", id="status below 100"),
    pytest.param(b"HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\n", id="interim with a body"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", id="two framings"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", id="length twice"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="negative length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", id="space before the colon"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 1\n\n", id="bare LF"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad chunk size"),
]


@pytest.mark.parametrize("message", GARBAGE)
def test_garbage_is_a_fault(message: bytes) -> None:
    fault = fed(message).fault

    assert fault is not None
    assert (fault.kind, fault.is_body_sent) == (FaultKind.GARBAGE, True)


@pytest.mark.parametrize("step", [1000, 10**6])
def test_head_at_the_limit_passes_and_one_beyond_is_refused(step: int) -> None:
    line = b"x: " + b"y" * 1019 + b"\r\n"  # 1 kB
    head = b"HTTP/1.1 200 OK\r\n%s\r\nabc"

    within, beyond = head % (line * 63), head % (line * 65)

    assert fed(*cut(within, list(range(0, len(within), step)))).fault is None
    fault = fed(*cut(beyond, list(range(0, len(beyond), step)))).fault
    assert fault is not None
    assert str(MAX_HEAD_BYTES) in fault.detail


@pytest.mark.parametrize("flood", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\n"])
def test_endless_interim_answers_are_refused(flood: bytes) -> None:
    assert fed(*[flood] * (MAX_HEAD_BYTES // len(flood) + 1)).fault is not None


def test_endless_trailers_are_refused() -> None:
    reader = fed(CHUNKED[: CHUNKED.index(b"x-trailer")], *[b"x: y\r\n"] * (MAX_HEAD_BYTES // 6 + 2))

    assert reader.fault is not None
    assert not reader.is_whole


def test_long_body_in_small_pieces_is_not_taken_for_a_long_head() -> None:
    body = [b"1\r\nx\r\n"] * 60_000

    reader = fed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *body, b"0\r\n\r\n")

    assert (reader.is_whole, reader.received, reader.fault) == (True, 60_000, None)


def test_untouched_until_the_first_byte() -> None:
    reader = fed()
    assert reader.is_untouched

    reader.feed(b"H")

    assert not reader.is_untouched


def test_retired_reader_lets_go_of_its_parser() -> None:
    reader = fed(LENGTH)

    reader.retire()

    assert not any(isinstance(getattr(reader, name, None), httptools.HttpResponseParser) for name in reader.__slots__)
