"""A batch's file in parts: what is read of each part, kept of it, and read where parts meet."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from gateway.core.affinity import Reference
from gateway.core.batch_upload import BatchUpload
from gateway.core.call import Call
from gateway.core.errors import GatewayError, InvalidCall, NoAccountAvailable
from gateway.core.ids import CallId, ModelName
from gateway.relay import batch_uploads
from gateway.relay.answer import Answer
from gateway.relay.batch_uploads import BatchUploads, check_names, is_begun
from gateway.relay.spooled import Spool, SpooledBody
from gateway.wire.batch_lines import BatchLines
from gateway.wire.endpoints import find
from gateway.wire.multipart import FormReader
from tests.fakes.upload_store import MemoryUploads

LINE = b'{"body":{"model":"gpt-4","input":"hi"}}\n'
NAMES = b'{"body":{"model":"gpt-4o","previous_response_id":"resp_1"}}\n'


def call(path: str) -> Call:
    endpoint = find("POST", path)
    assert endpoint is not None
    return Call(id=CallId("c"), endpoint=endpoint, path=path)


def answer(id_: object, status: int = 200) -> Answer:
    return Answer(status, (), msgspec.json.encode({"id": id_}))


async def everything(references: Sequence[Reference]) -> list[Reference]:
    """In place of `Affinity.narrowed`: all of them are the caller's, wherever they are."""
    return list(references)


async def form_of(*fields: tuple[str, bytes]) -> SpooledBody:
    body = b"".join(
        b'--X\r\nContent-Disposition: form-data; name="%b"; filename="blob"\r\n\r\n%b\r\n' % (name.encode(), content)
        for name, content in fields
    )
    reader, spool = FormReader(b"X"), Spool()
    reader.feed(body + b"--X--\r\n")
    await spool.add(body + b"--X--\r\n")
    return await spool.finish(reader.form)


class Scene:
    """One upload, `upload_1`, that is to be a batch."""

    def __init__(self) -> None:
        self.store = MemoryUploads()
        self.uploads = BatchUploads(self.store)

    async def begun(self) -> "Scene":
        _, upload = await self.uploads.read(call("/uploads"), {"purpose": "batch"}, b"", everything, is_owned=True)
        assert upload is not None
        await self.uploads.noted(answer("upload_1"), upload)
        return self

    async def send(self, part_id: str, content: bytes) -> BatchLines | None:
        """What the whole lines of the part say."""
        body = await form_of(("data", content))
        lines, upload = await self.read("parts", body)
        assert upload is not None
        await self.uploads.noted(answer(part_id), upload)
        return lines

    async def read(
        self, action: str, body: SpooledBody | bytes = b"", *, is_owned: bool = True, **fields: object
    ) -> tuple[BatchLines | None, BatchUpload | None]:
        there = call(f"/uploads/upload_1/{action}")
        return await self.uploads.read(there, fields, body, everything, is_owned=is_owned)


def said(lines: BatchLines | None) -> tuple[tuple[str, ...], list[str]]:
    assert lines is not None
    return lines.models, [named.id for named in lines.references]


@pytest.mark.parametrize("purpose", ["batch", " Batch "])
def test_a_batch_is_told_by_its_purpose(purpose: str) -> None:
    assert is_begun({"purpose": purpose})


@pytest.mark.parametrize("fields", [{}, {"purpose": "vision"}, {"purpose": None}, {"part_ids": ["batch"]}])
async def test_other_uploads_are_not_looked_into(fields: dict[str, object]) -> None:
    scene = Scene()

    assert await scene.uploads.read(call("/uploads"), fields, b"", everything, is_owned=True) == (None, None)
    assert await scene.read("parts", await form_of(("data", b"no lines"))) == (None, None)
    assert await scene.read("complete", part_ids=["part_1"]) == (None, None)


async def test_parts_are_read_and_joined_in_the_order_that_the_end_gives() -> None:
    scene = await Scene().begun()
    file = LINE + NAMES + LINE + NAMES

    late = await scene.send("part_2", file[len(LINE) + 30 :])
    early = await scene.send("part_1", file[: len(LINE) + 30])
    joined, upload = await scene.read("complete", part_ids=["part_1", "part_2"])

    assert said(late) == (("gpt-4", "gpt-4o"), ["resp_1"])
    assert said(early) == ((), [])
    assert said(joined) == (("gpt-4", "gpt-4o"), ["resp_1"])
    assert upload == BatchUpload(is_owned=True, id="upload_1")
    assert upload.is_whole


async def test_what_is_kept_goes_when_the_file_is_whole() -> None:
    scene = await Scene().begun()
    await scene.send("part_1", LINE)
    _, upload = await scene.read("complete", part_ids=["part_1"])
    assert upload is not None

    await scene.uploads.noted(answer("upload_1", 400), upload)
    assert list(scene.store.uploads["upload_1"]) == ["part_1"]
    await scene.uploads.noted(answer("upload_1"), upload)
    assert scene.store.uploads == {"upload_1": {}}


REFUSED = [
    pytest.param("parts", [("data", b"{}\nno json\n{}")], {}, id="a line that is no JSON"),
    pytest.param("parts", [("file", LINE)], {}, id="another field"),
    pytest.param("parts", [("data", LINE), ("data", NAMES)], {}, id="two files"),
    pytest.param("parts", [("data", LINE), ("file", NAMES)], {}, id="two files of two names"),
    pytest.param("complete", [], {"part_ids": ["part_1", "part_9"]}, id="a part that nobody saw"),
    pytest.param("complete", [], {"part_ids": "part_1"}, id="no list"),
    pytest.param("complete", [], {"part_ids": [["part_1"]]}, id="no ids"),
    pytest.param("complete", [], {}, id="no parts"),
    pytest.param("complete", [], {"part_ids": ["part_1", "part_1"]}, id="parts that make no JSON"),
]


@pytest.mark.parametrize(("action", "files", "fields"), REFUSED)
async def test_what_nobody_can_look_into_is_refused_to_owners_alone(
    action: str, files: list[tuple[str, bytes]], fields: dict[str, object]
) -> None:
    scene = await Scene().begun()
    await scene.send("part_1", LINE + b'{"body":')
    body = await form_of(*files)

    with pytest.raises(InvalidCall) as refused:
        await scene.read(action, body, **fields)
    await scene.read(action, body, is_owned=False, **fields)

    assert refused.value.code == "invalid_batch_file"


async def test_a_part_that_is_no_form_is_refused() -> None:
    scene = await Scene().begun()

    with pytest.raises(InvalidCall, match="as the one file `data`"):
        await scene.read("parts", LINE)


async def test_what_is_kept_of_one_upload_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_uploads, "MAX_HELD_BYTES", 30)
    scene = await Scene().begun()
    await scene.send("part_1", b"x" * 20)
    body = await form_of(("data", b"x" * 11))

    with pytest.raises(InvalidCall, match="Cut it at line ends"):
        await scene.read("parts", body)
    assert await scene.read("parts", body, is_owned=False) == (None, None)


async def test_with_the_table_away_only_callers_without_a_key_go_on() -> None:
    scene = await Scene().begun()
    await scene.send("part_1", LINE)
    scene.store.is_away = True

    for action in ("parts", "complete"):
        with pytest.raises(NoAccountAvailable) as away:
            await scene.read(action, part_ids=["part_1"])
        assert away.value.code == "ids_unavailable"
        assert await scene.read(action, part_ids=["part_1"], is_owned=False) == (None, None)


async def failed(scene: Scene, upload: BatchUpload, told: Answer) -> bool:
    try:
        await scene.uploads.noted(told, upload)
    except GatewayError:
        return True
    return False


async def test_what_must_be_noted_and_cannot_be_fails_the_call() -> None:
    scene = await Scene().begun()
    _, part = await scene.read("parts", await form_of(("data", LINE)))
    _, whole = await scene.read("complete", part_ids=[])
    assert part is not None
    assert whole is not None
    scene.store.is_away = True
    begin = BatchUpload(is_owned=True)

    assert await failed(scene, begin, answer("upload_2"))
    assert await failed(scene, part, answer("part_2"))
    assert not await failed(scene, whole, answer("upload_1")), "the file is made"
    assert not await failed(scene, begin, answer("upload_2", 500))
    assert not await failed(scene, BatchUpload(is_owned=False), answer("upload_2"))
    scene.store.is_away = False
    assert await failed(scene, begin, answer(7))


async def test_a_table_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_uploads, "STORE_S", 0.01)
    scene = await Scene().begun()

    async def hang(_: str) -> int:
        await asyncio.Event().wait()
        return 0

    scene.store.held_bytes = hang

    with pytest.raises(NoAccountAvailable):
        await scene.read("parts", await form_of(("data", LINE)))


def test_other_names_are_refused_in_words() -> None:
    check_names({})

    with pytest.raises(InvalidCall, match="`fast`, `slow`"):
        check_names({ModelName("slow"): ModelName("o3"), ModelName("fast"): ModelName("gpt-4o-mini")})
