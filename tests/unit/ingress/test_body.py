import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.ingress.body import CallerGone, read_body, unpacked

GONE = {"type": "http.disconnect"}
BODY = b'{"model":"gpt-4"}' * 20


class Wire:
    """Gives messages one by one."""

    def __init__(self, *messages):
        self.messages = list(messages)

    async def __call__(self):
        return self.messages.pop(0)


def parts(*pieces):
    """A body in pieces."""
    last = len(pieces) - 1
    return Wire(
        *({"type": "http.request", "body": piece, "more_body": number < last} for number, piece in enumerate(pieces))
    )


async def read(wire, *, max_bytes=1000, encoding=None, declared=None):
    return await read_body(wire, max_bytes=max_bytes, encoding=encoding, declared=declared)


@pytest.mark.parametrize("pieces", [(BODY,), (BODY[:7], BODY[7:]), (b"", BODY, b""), (b"",)])
async def test_body_is_joined(pieces):
    assert await read(parts(*pieces)) == b"".join(pieces)


async def test_message_without_a_body_is_an_empty_one():
    assert await read(Wire({"type": "http.request"})) == b""


@pytest.mark.parametrize("messages", [(GONE,), ({"type": "http.request", "body": b"a", "more_body": True}, GONE)])
async def test_caller_who_hangs_up_before_the_end_is_gone(messages):
    with pytest.raises(CallerGone):
        await read(Wire(*messages))


async def test_declared_length_that_is_too_large_is_refused_before_a_byte_is_read():
    wire = parts(b"x" * 2000)

    with pytest.raises(InvalidCall) as refused:
        await read(wire, declared=b"2000")

    assert (refused.value.status, refused.value.code) == (413, "request_too_large")
    assert len(wire.messages) == 1


@pytest.mark.parametrize("pieces", [(b"x" * 1001,), (b"x" * 600, b"x" * 600, b"never read")])
async def test_body_beyond_the_limit_is_refused_whatever_was_declared(pieces):
    with pytest.raises(InvalidCall) as refused:
        await read(parts(*pieces), declared=b"5")

    assert refused.value.status == 413


async def test_body_of_exactly_the_limit_passes():
    assert len(await read(parts(b"x" * 1000), declared=b"1000")) == 1000


@pytest.mark.parametrize("declared", [b"abc", b"", b"-5", b"\xb2"])
async def test_unreadable_declared_length_is_the_servers_business(declared):
    assert await read(parts(BODY), declared=declared) == BODY


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"gzip", gzip.compress(BODY, mtime=0)),
        (b"x-gzip", gzip.compress(BODY, mtime=0)),
        (b" GZip ", gzip.compress(BODY, mtime=0)),
        (b"deflate", zlib.compress(BODY)),
        (b"identity", BODY),
    ],
)
async def test_packed_body_is_unpacked(encoding, packed):
    assert await read(parts(packed[:10], packed[10:]), encoding=encoding) == BODY


async def test_unknown_coding_is_refused_by_name():
    with pytest.raises(InvalidCall) as refused:
        await read(parts(BODY), encoding=b"br")

    assert (refused.value.status, refused.value.param) == (415, "Content-Encoding")
    assert "gzip" in refused.value.message


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"not gzip", id="garbage"),
        pytest.param(gzip.compress(BODY, mtime=0)[:-5], id="cut"),
        pytest.param(gzip.compress(BODY, mtime=0) + b"more", id="more behind"),
        pytest.param(b"", id="empty"),
    ],
)
async def test_body_that_is_not_packed_as_it_says_is_refused(packed):
    with pytest.raises(InvalidCall) as refused:
        await read(parts(packed), encoding=b"gzip")

    assert (refused.value.status, refused.value.code) == (400, "invalid_content_encoding")


async def test_small_body_that_unpacks_to_a_huge_one_is_refused():
    bomb = gzip.compress(b"\0" * 5_000_000, mtime=0)

    with pytest.raises(InvalidCall) as refused:
        await read(parts(bomb), max_bytes=10_000, encoding=b"gzip")

    assert refused.value.status == 413


@given(st.binary(max_size=500))
def test_any_packed_body_unpacks_to_itself(body):
    assert unpacked(gzip.compress(body, mtime=0), b"gzip", 1000) == body
    assert unpacked(zlib.compress(body), b"deflate", 1000) == body


@given(st.binary(max_size=100))
def test_any_garbage_is_refused_as_such(body):
    with pytest.raises(InvalidCall):
        unpacked(b"\0" + body, b"gzip", 1000)
