"""A request's body off the wire: bounded, and unpacked when the caller compressed it."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.core.errors import InvalidCall

Receive = Callable[[], Awaitable[Any]]

UNPACKED_BY: dict[bytes, int] = {
    b"gzip": 16 + zlib.MAX_WBITS,
    b"x-gzip": 16 + zlib.MAX_WBITS,
    b"deflate": zlib.MAX_WBITS,
}
"""Content coding → window bits of zlib."""


class CallerGone(Exception):
    """The caller hung up before its request was whole."""


async def read_body(receive: Receive, *, max_bytes: int, encoding: bytes | None, declared: bytes | None) -> bytes:
    """The whole body, unpacked. Raises InvalidCall (413, 415, 400) or CallerGone.

    `declared` is the `content-length`: one that is too large is refused before a byte of the body is read.
    """
    if is_declared_over(max_bytes, declared):
        raise too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _read_rest(receive, body, max_bytes)
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    if encoding is None or encoding == b"identity":
        return body
    return unpacked(body, encoding.strip().lower(), max_bytes)


async def _read_rest(receive: Receive, first: bytes, max_bytes: int) -> bytes:
    parts, size = [first], len(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)


def unpacked(body: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """`body` without its content coding. Never unpacks more than `max_bytes`: a small body can hold a huge one."""
    window = UNPACKED_BY.get(encoding)
    if window is None:
        raise unknown_coding()
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise not_packed(encoding) from error
    if len(plain) > max_bytes:
        raise too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise not_packed(encoding)
    return plain


def is_declared_over(bound: int, declared: bytes | None) -> bool:
    """Whether a `content-length` says more than `bound`."""
    return declared is not None and declared.isdigit() and int(declared) > bound


def unknown_coding() -> InvalidCall:
    known = ", ".join(sorted(name.decode() for name in UNPACKED_BY))
    return InvalidCall(
        f"Unsupported Content-Encoding: send the body as it is, or as one of {known}.",
        param="Content-Encoding",
        code="unsupported_content_encoding",
        status=415,
    )


def not_packed(encoding: bytes) -> InvalidCall:
    return InvalidCall(
        f"The body is not what its Content-Encoding says: {encoding.decode('latin-1')}.",
        param="Content-Encoding",
        code="invalid_content_encoding",
    )


def too_large(max_bytes: int) -> InvalidCall:
    return InvalidCall(
        f"The request body is larger than this gateway takes: {max_bytes} bytes.",
        code="request_too_large",
        status=413,
    )
