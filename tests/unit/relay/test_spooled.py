import os
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway.core.call import Endpoint
from gateway.core.errors import NoDiskSpace
from gateway.core.ids import ModelName
from gateway.relay import spooled
from gateway.relay.job import renamed, renamed_places
from gateway.relay.spooled import HELD_BYTES, Spool, held_bytes
from gateway.wire.multipart import FormReader, model_edits

FILES = Endpoint(name="files.create", method="POST", path="/files")
CALLS = Endpoint(name="calls", method="POST", path="/calls", model_places=(("session", "model"),))
FORM = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--X--\r\n'


async def whole(body):
    async with aclosing(body.pieces()) as pieces:
        return b"".join([piece async for piece in pieces])


async def spool_of(*pieces, folder=None):
    spool = Spool(folder)
    for piece in pieces:
        await spool.add(piece)
    return spool


def open_files():
    return {name for place in Path("/proc/self/fd").iterdir() if "gateway-spool" in (name := _target(place))}


def _target(place):
    try:
        return str(place.readlink())
    except OSError:
        return ""


async def settled():
    """The threads have done what they were told."""
    done = threading.Event()
    for _ in range(spooled.THREADS):
        spooled._threads().submit(done.wait, 0.01).result()


async def test_a_small_body_stays_in_memory(tmp_path):
    spool = await spool_of(b"ab", b"", b"cd", folder=tmp_path / "spool")
    body = await spool.finish()

    assert (body.size, held_bytes(body), await whole(body), await whole(body)) == (4, 4, b"abcd", b"abcd")
    assert not (tmp_path / "spool").exists()
    spool.close()


@pytest.mark.parametrize("size", [HELD_BYTES, HELD_BYTES + 1, 3 * HELD_BYTES + 17])
async def test_a_body_is_read_as_it_was_written_however_often(tmp_path, size):
    content = os.urandom(size)
    spool = await spool_of(*[content[at : at + 65_537] for at in range(0, size, 65_537)], folder=tmp_path)
    body = await spool.finish()

    assert body.size == size
    assert await whole(body) == await whole(body) == content
    async with aclosing(body.read_pieces(size // 2, size // 2 + 10)) as pieces:
        assert [piece async for piece in pieces] == [content[size // 2 : size // 2 + 10]]
    assert held_bytes(body) <= HELD_BYTES
    spool.close()


async def test_the_file_has_no_name_and_is_gone_at_the_end(tmp_path):
    spool = await spool_of(b"x" * (HELD_BYTES + 1), folder=tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert len(open_files()) == 1
    spool.close()
    spool.close()
    await settled()
    assert open_files() == set()


async def test_a_folder_that_cannot_be_made_is_replaced_by_the_systems(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    spool = await spool_of(b"x" * (HELD_BYTES + 1), folder=tmp_path / "file" / "spool")

    assert (await spool.finish()).size == HELD_BYTES + 1
    spool.close()


async def test_a_full_disk_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(spooled, "_open", lambda _folder: os.open("/dev/full", os.O_RDWR))
    spool = Spool(tmp_path)

    with pytest.raises(NoDiskSpace) as refused:
        await spool.add(b"x" * (HELD_BYTES + 1))

    assert (refused.value.status, refused.value.code) == (503, "no_disk_space")
    assert "no space left" in str(refused.value)
    spool.close()


async def test_a_closed_spool_opens_no_file(tmp_path):
    spool = Spool(tmp_path)
    spool.close()

    spool._write(b"late")

    assert open_files() == set()


async def test_what_cannot_be_read_back_is_a_clear_error(tmp_path):
    spool = await spool_of(b"x" * (HELD_BYTES + 1), folder=tmp_path)
    body = await spool.finish()
    spool.close()
    await settled()

    with pytest.raises(NoDiskSpace):
        await whole(body)


@pytest.mark.parametrize("filler", [b"", b"y" * (2 * HELD_BYTES)], ids=["held", "filed"])
async def test_a_form_is_told_another_model(tmp_path, filler):
    reader = FormReader(b"X")
    reader.feed(FORM + filler)
    spool = await spool_of(FORM, filler, folder=tmp_path)
    body = await spool.finish(reader.form)

    longer = body.with_edits(model_edits(reader.form, ModelName("another")))

    assert await whole(longer) == FORM.replace(b"\r\na\r\n", b"\r\nanother\r\n") + filler
    assert longer.size == body.size + 6 == len(await whole(longer))
    assert (
        await whole(longer.with_edits(model_edits(reader.form, ModelName("a")))) == await whole(body) == FORM + filler
    )
    spool.close()


async def test_what_is_no_form_is_told_no_model():
    spool = await spool_of(b"data")
    body = await spool.finish()

    assert renamed(body, FILES, None, ModelName("a")) is body


async def test_names_in_a_forms_places_are_those_of_the_last_renaming():
    form = b'--X\r\nContent-Disposition: form-data; name="session"\r\n\r\n{"model":"%b","x":"%b"}\r\n--X--'
    written = form % (b"a", b"a")
    reader = FormReader(b"X")
    reader.feed(written)
    body = await (await spool_of(written)).finish(reader.form)

    once = renamed_places(body, CALLS, {ModelName("a"): ModelName("another")})
    twice = renamed(once, CALLS, ModelName("another"), ModelName("third"))

    assert await whole(once) == form % (b"another", b"a")
    assert await whole(twice) == form % (b"third", b"a")
    assert twice.size == len(await whole(twice))
    assert renamed(body, CALLS, None, ModelName("third")) is body


def test_a_body_in_memory_is_held_as_a_whole():
    assert held_bytes(b"abc") == 3
    assert Path("/dev/full").exists()
