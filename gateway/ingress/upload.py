"""A request's body that is not held: bounded, unpacked piece by piece, spooled, a form's fields found on the way."""

import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.snapshot import ClientKey
from gateway.ingress.body import (
    UNPACKED_BY,
    CallerGone,
    Receive,
    is_declared_over,
    not_packed,
    too_large,
    unknown_coding,
)
from gateway.ingress.caller import check_model
from gateway.relay.spooled import PIECE_BYTES, Spool, SpooledBody
from gateway.wire.envelope import peek_envelope, peek_fields
from gateway.wire.lenient import begins_as_json
from gateway.wire.multipart import Form, FormReader, read_boundary
from gateway.wire.places import form_fields
from gateway.wire.references import Named, references_of, texts_of
from gateway.wire.urlencoded import UrlencodedReader, is_urlencoded

SHARE_OF_FORM = 512
"""A form may be so large a part larger than the largest file: 1 MiB of 512."""


async def read_upload(
    receive: Receive,
    spool: Spool,
    *,
    content_type: bytes,
    max_bytes: int,
    encoding: bytes | None,
    declared: bytes | None,
) -> SpooledBody:
    """The whole body, spooled. Raises InvalidCall (413, 415, 400), NoDiskSpace or CallerGone.

    `max_bytes` is for a file: a form around one may add a little. `spool` is the caller's to close.
    """
    reader = _form_reader(content_type)
    bound = max_bytes if reader is None else max_bytes + max_bytes // SHARE_OF_FORM
    if is_declared_over(bound, declared):
        raise too_large(max_bytes)
    received = 0
    async with aclosing(_plain_pieces(receive, bound, encoding)) as pieces:
        async for piece in pieces:
            received += len(piece)
            if received > bound:
                raise too_large(max_bytes)
            if reader is not None:
                reader.feed(piece)
            await spool.add(piece)
    return await spool.finish(None if reader is None else _form_of(reader))


async def spooled_form(body: bytes, content_type: bytes, spool: Spool) -> SpooledBody | None:
    """`body`, which is no JSON object, as the urlencoded form that its type says it is; None: it is none."""
    if not is_urlencoded(content_type):
        return None
    reader = UrlencodedReader()
    reader.feed(body)
    form = reader.form
    if form is None:
        return None
    await spool.add(body)
    return await spool.finish(form)


async def json_in(body: SpooledBody, max_bytes: int, *, is_owned: bool) -> bytes:
    """A body that could be JSON, whatever its type says; empty where it is none, or is too long to be looked into.

    Raises InvalidCall (413) in place of the latter for a caller with ids of its own: `is_owned`.
    """
    if body.form is not None or not await _begins_as_json(body):
        return b""
    if body.size > max_bytes:
        if is_owned:
            raise too_large(max_bytes)
        return b""
    async with aclosing(body.read_pieces(0, body.size)) as pieces:
        return b"".join([piece async for piece in pieces])


def named_in_upload(call: Call, key: ClientKey | None, form: Form | None, plain: bytes) -> Named:
    """What a call names whose body is a form, or `plain`, which `json_in` gave.

    Raises NotAllowed and InvalidCall.
    """
    fields = peek_fields(plain)
    check_model(key, peek_envelope(plain).model)
    if call.endpoint.model_places and form is not None:
        fields |= form_fields(form, call.endpoint.model_places)
    return references_of(call, fields, texts_of(form), body=plain)


async def _begins_as_json(body: SpooledBody) -> bool:
    async with aclosing(body.read_pieces(0, body.size)) as pieces:
        async for piece in pieces:
            is_json = begins_as_json(piece)
            if is_json is not None:
                return is_json
    return False


def _form_reader(content_type: bytes) -> FormReader | UrlencodedReader | None:
    if is_urlencoded(content_type):
        return UrlencodedReader()
    if not content_type.lower().startswith(b"multipart/form-data"):
        return None
    boundary = read_boundary(content_type)
    if boundary is None:
        raise InvalidCall(
            "The Content-Type `multipart/form-data` names no boundary.", param="Content-Type", code="invalid_multipart"
        )
    return FormReader(boundary)


def _form_of(reader: FormReader | UrlencodedReader) -> Form | None:
    form = reader.form
    if form is not None and form.first_at < 0:
        raise InvalidCall(
            "The body is no form: the boundary that its Content-Type names does not stand in it.",
            code="invalid_multipart",
        )
    return form


async def _plain_pieces(receive: Receive, bound: int, encoding: bytes | None) -> AsyncGenerator[bytes, None]:
    """The body as it came, without its content coding; of one that is packed no more than `bound` bytes are read."""
    unpacker = None if encoding is None or encoding == b"identity" else _Unpacker(encoding.strip().lower())
    received = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece: bytes = message.get("body", b"")
        received += len(piece)
        if unpacker is not None and received > bound:
            raise too_large(bound)
        if unpacker is None:
            if piece:
                yield piece
        else:
            for plain in unpacker.feed(piece):
                yield plain
        if not message.get("more_body", False):
            break
    if unpacker is not None:
        unpacker.check_end()


class _Unpacker:
    """One content coding, unpacked in pieces of bounded size: a small body can hold a huge one."""

    def __init__(self, encoding: bytes) -> None:
        window = UNPACKED_BY.get(encoding)
        if window is None:
            raise unknown_coding()
        self._encoding = encoding
        self._unpacker = zlib.decompressobj(window)

    def feed(self, packed: bytes) -> Iterator[bytes]:
        unpacker = self._unpacker
        if packed and unpacker.eof:
            raise not_packed(self._encoding)
        is_more = bool(packed)
        while is_more:
            try:
                plain = unpacker.decompress(packed, PIECE_BYTES)
            except (zlib.error, EOFError) as error:
                raise not_packed(self._encoding) from error
            if plain:
                yield plain
            if unpacker.unused_data:
                raise not_packed(self._encoding)
            packed = unpacker.unconsumed_tail
            is_more = not unpacker.eof and (bool(packed) or len(plain) == PIECE_BYTES)

    def check_end(self) -> None:
        if not self._unpacker.eof:
            raise not_packed(self._encoding)
