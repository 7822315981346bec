"""Answers that came compressed though they were asked for plain: some proxies in front of vendors do that."""

import zlib
from typing import Final

_WINDOWS: Final[dict[bytes, int]] = {
    b"gzip": 16 + zlib.MAX_WBITS,
    b"x-gzip": 16 + zlib.MAX_WBITS,
    b"deflate": zlib.MAX_WBITS,
}
"""Content coding → window bits of zlib."""


def without_packing(body: bytes, encoding: bytes, max_bytes: int) -> bytes | None:
    """`body` without its content coding; None when it has another, is cut, or is larger than `max_bytes` then."""
    encoding = encoding.strip().lower()
    if not encoding or encoding == b"identity":
        return body
    window = _WINDOWS.get(encoding)
    if window is None:
        return None
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        return None
    return plain if unpacker.eof and len(plain) <= max_bytes else None
