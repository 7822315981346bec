import gzip
import random
import zlib
from contextlib import aclosing

import pytest

from gateway.core.errors import InvalidCall
from gateway.ingress.body import CallerGone
from gateway.ingress.upload import json_in, read_upload
from gateway.relay.spooled import Spool
from tests.unit.ingress.test_body import GONE, Wire, parts

FORM = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--X--\r\n'
TYPE = b"multipart/form-data; boundary=X"


async def upload(wire, *, content_type=b"application/octet-stream", max_bytes=100_000, encoding=None, declared=None):
    spool = Spool()
    try:
        body = await read_upload(
            wire, spool, content_type=content_type, max_bytes=max_bytes, encoding=encoding, declared=declared
        )
        async with aclosing(body.pieces()) as pieces:
            return body.form, b"".join([piece async for piece in pieces])
    finally:
        spool.close()


@pytest.mark.parametrize("pieces", [(b"abc",), (b"a", b"", b"bc"), (b"",)])
async def test_a_body_is_kept_as_it_came(pieces):
    assert await upload(parts(*pieces)) == (None, b"".join(pieces))


async def test_the_fields_of_a_form_are_found_on_the_way():
    form, body = await upload(parts(FORM[:30], FORM[30:]), content_type=TYPE)

    assert body == FORM
    assert form.text("model") == "whisper-1"


@pytest.mark.parametrize("content_type", [b"multipart/form-data", b"Multipart/Form-Data; charset=utf-8"])
async def test_a_form_without_a_boundary_is_refused_before_it_is_read(content_type):
    wire = parts(FORM)

    with pytest.raises(InvalidCall) as refused:
        await upload(wire, content_type=content_type)

    assert (refused.value.status, refused.value.code) == (400, "invalid_multipart")
    assert wire.messages


async def test_a_form_without_its_boundary_is_refused():
    with pytest.raises(InvalidCall) as refused:
        await upload(parts(b"something else"), content_type=TYPE)

    assert (refused.value.status, refused.value.code) == (400, "invalid_multipart")


@pytest.mark.parametrize(
    ("size", "content_type", "is_taken"),
    [(1024, b"x/y", True), (1025, b"x/y", False), (1026, TYPE, True), (1027, TYPE, False)],
)
@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(size, content_type, is_taken, is_declared):
    body = (FORM + b"x" * size)[:size]
    work = upload(
        parts(body[:100], body[100:]),
        content_type=content_type,
        max_bytes=1024,
        declared=b"%d" % size if is_declared else None,
    )

    if is_taken:
        assert (await work)[1] == body
        return
    with pytest.raises(InvalidCall) as refused:
        await work
    assert (refused.value.status, refused.value.code) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b" X-GZIP ", gzip.compress), (b"deflate", zlib.compress)]
)
async def test_a_packed_form_is_unpacked(encoding, pack):
    packed = pack(FORM)

    form, body = await upload(parts(packed[:9], packed[9:10], packed[10:]), content_type=TYPE, encoding=encoding)

    assert (body, form.text("model")) == (FORM, "whisper-1")


async def test_a_long_packed_body_comes_out_whole():
    content = random.Random(1).randbytes(300_000) + bytes(2_000_000)
    packed = gzip.compress(content)

    _, body = await upload(parts(packed), encoding=b"gzip", max_bytes=len(content))

    assert body == content


@pytest.mark.parametrize(
    ("encoding", "packed", "status", "code"),
    [
        (b"gzip", b"no gzip at all", 400, "invalid_content_encoding"),
        (b"gzip", gzip.compress(FORM)[:-5], 400, "invalid_content_encoding"),
        (b"gzip", gzip.compress(FORM) + b"more", 400, "invalid_content_encoding"),
        (b"gzip", gzip.compress(bytes(10_000_000)), 413, "request_too_large"),
        (b"br", FORM, 415, "unsupported_content_encoding"),
    ],
    ids=["garbage", "cut", "more", "bomb", "unknown"],
)
async def test_what_is_packed_wrongly_is_refused(encoding, packed, status, code):
    with pytest.raises(InvalidCall) as refused:
        await upload(parts(packed[:20], packed[20:]), encoding=encoding)

    assert (refused.value.status, refused.value.code) == (status, code)


async def test_a_packed_body_that_holds_nothing_is_bounded_too():
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(30_000))

    with pytest.raises(InvalidCall) as refused:
        await upload(parts(*[packed[at : at + 1000] for at in range(0, len(packed), 1000)]), encoding=b"gzip")

    assert refused.value.code == "request_too_large"


async def test_a_caller_who_hangs_up_is_gone():
    with pytest.raises(CallerGone):
        await upload(Wire({"type": "http.request", "body": b"a", "more_body": True}, GONE))


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b' {"file_id": "x"}', b"text/plain", b' {"file_id": "x"}'),
        (b'[{"file_id": "x"}]', b"", b'[{"file_id": "x"}]'),
        (b" " * 100 + b'{"file_id": "x"}', b"text/plain", b" " * 100 + b'{"file_id": "x"}'),
        (b'\xef\xbb\xbf{"file_id": "x"}', b"text/plain", b'\xef\xbb\xbf{"file_id": "x"}'),
        (b" " * 100, b"text/plain", b""),
        (b"RIFF....", b"audio/wav", b""),
        (b"", b"", b""),
        (FORM, TYPE, b""),
    ],
)
async def test_json_is_found_whatever_its_type_says(body, content_type, found):
    spool = Spool()
    spooled = await read_upload(
        parts(body), spool, content_type=content_type, max_bytes=10_000, encoding=None, declared=None
    )

    assert await json_in(spooled, 1_000, is_owned=True) == found
    spool.close()


async def test_json_too_long_to_be_looked_into_is_refused_to_owners_alone():
    spool = Spool()
    body = b'{"x": "' + b"y" * 2_000 + b'"}'
    spooled = await read_upload(parts(body), spool, content_type=b"", max_bytes=10_000, encoding=None, declared=None)

    with pytest.raises(InvalidCall) as refused:
        await json_in(spooled, 1_000, is_owned=True)

    assert refused.value.status == 413
    assert await json_in(spooled, 1_000, is_owned=False) == b""
    spool.close()
