import gzip
import zlib

import pytest

from gateway.wire.packed import without_packing

BODY = b'{"a": 1}'


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (BODY, b""),
        (BODY, b"identity"),
        (gzip.compress(BODY, mtime=0), b"gzip"),
        (gzip.compress(BODY, mtime=0), b" GZIP "),
        (gzip.compress(BODY, mtime=0), b"x-gzip"),
        (zlib.compress(BODY), b"deflate"),
    ],
)
def test_codings_are_taken_off(packed, encoding):
    assert without_packing(packed, encoding, 100) == BODY


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (BODY, b"br"),
        (BODY, b"gzip"),
        (gzip.compress(BODY, mtime=0)[:-3], b"gzip"),
        (gzip.compress(b"a" * 101, mtime=0), b"gzip"),
    ],
    ids=["unknown", "not-packed", "cut", "too-large"],
)
def test_what_cannot_be_unpacked_is_nothing(packed, encoding):
    assert without_packing(packed, encoding, 100) is None
