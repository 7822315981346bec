"""A batch's file that comes in parts (`/v1/uploads`): looked into part by part, and where the parts meet at the end.

    POST /uploads ─▶ noted │ …/parts ─▶ whole lines read, both ends kept │ …/complete ─▶ ends joined in order, and read

Rules of this file: parts come in any order, through any worker and replica, so what is kept is in the table; the caller
of a client key gets no part and no file through that was not looked into; a table that is away is no excuse.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from gateway.core.batch_upload import NO_BATCH, BatchPart, BatchUpload
from gateway.core.call import Call
from gateway.core.errors import NoAccountAvailable
from gateway.relay.answer import Answer
from gateway.relay.aside import aside
from gateway.relay.batch_file import LOOKED_UP, PURPOSE, Narrowed, narrow, read_through
from gateway.relay.job import Body
from gateway.relay.spooled import SpooledBody
from gateway.relay.watched import uninterrupted
from gateway.wire.batch_lines import BatchLines, refused
from gateway.wire.batch_parts import FIELD, PartReader, join
from gateway.wire.endpoints import path_values
from gateway.wire.lenient import UNREADABLE
from gateway.wire.places import Names

PARTS: Final = "/uploads/{upload_id}/parts"
COMPLETE: Final = "/uploads/{upload_id}/complete"
ENDPOINTS: Final = frozenset({"/uploads", PARTS, COMPLETE})
"""Paths of the rows that have to do with it."""
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Ends of the parts of one upload."""
MAX_PARTS: Final = 10_000
STORE_S: Final = 5.0
"""Ends of 16 MiB may go to a database that is far away."""

T = TypeVar("T")
Found = tuple[BatchLines | None, BatchUpload | None]
"""What was read of a batch's lines, and what to note of the call; nothing is known where nobody looks into it."""


class UploadStore(Protocol):
    """Where what is kept outlives the process, for all replicas. Never raises: None is "away"."""

    async def begin(self, upload_id: str) -> bool | None:
        """Notes an upload that is to be a batch. False, here and below: the id is none that a table can hold."""
        ...

    async def held_bytes(self, upload_id: str) -> int | None:
        """Of the ends of its parts; `NO_BATCH`: none is noted under that id."""
        ...

    async def add(self, upload_id: str, part_id: str, part: BatchPart) -> bool | None: ...

    async def part(self, upload_id: str, part_id: str) -> BatchPart | bool | None:
        """False: there is none."""
        ...

    async def forget(self, upload_id: str) -> bool | None:
        """Its parts; that it is a batch stays known."""
        ...


class _Away(Exception):
    """The table cannot be asked."""


class BatchUploads:
    """One per worker."""

    def __init__(self, store: UploadStore) -> None:
        self._store = store

    async def read(  # a call and what was read of it, by name
        self, call: Call, fields: Mapping[str, Any], body: Body, narrowed: Narrowed, *, is_owned: bool
    ) -> Found:
        """What a call of one of `ENDPOINTS` brings of a batch's lines, checked as such, and what to note of it.

        `is_owned`: the caller's ids and models are its own. Raises InvalidCall for what nobody could look into,
        NoAccountAvailable where the table is needed and away, and GatewayError as `narrowed`.
        """
        if call.endpoint.path == "/uploads":
            return None, BatchUpload(is_owned) if is_begun(fields) else None
        id_ = path_values(call.endpoint, call.path)["upload_id"]
        try:
            held = await _answered(self._store.held_bytes(id_))
            if held == NO_BATCH:
                return None, None
            upload = BatchUpload(is_owned, id_)
            if call.endpoint.path == PARTS:
                return await _read_part(upload, body, held, narrowed)
            return await self._joined(upload, id_, fields.get("part_ids"), narrowed)
        except _Away:
            if is_owned:
                raise _unavailable() from None
            return None, None

    async def noted(self, answer: Answer, upload: BatchUpload) -> Answer:
        """`answer`, once what it tells is noted. Raises NoAccountAvailable where it must be, and cannot."""
        if 200 <= answer.status < 300 and not await uninterrupted(self._note(answer, upload)) and upload.is_owned:
            if answer.coming is not None:
                await answer.coming.close()
            raise _unavailable()
        return answer

    async def _note(self, answer: Answer, upload: BatchUpload) -> bool:
        made = _id_in(answer.body)
        try:
            if upload.id is None:
                return made is not None and await _answered(self._store.begin(made))
            if upload.part is None:
                return await _answered(self._store.forget(upload.id))
            return made is not None and await _answered(self._store.add(upload.id, made, upload.part))
        except _Away:
            return upload.is_whole  # what is kept longer than it is needed goes by its age

    async def _joined(self, upload: BatchUpload, id_: str, part_ids: object, narrowed: Narrowed) -> Found:
        """The lines that the parts make where they meet, in this order."""
        lines = BatchLines()
        if not isinstance(part_ids, list) or len(part_ids) > MAX_PARTS:
            return _unread(upload, f"`part_ids` is no list of at most {MAX_PARTS} ids.", "part_ids")
        for part_id in part_ids:
            part = await _answered(self._store.part(id_, part_id)) if isinstance(part_id, str) else False
            if not isinstance(part, BatchPart):
                shown = str(part_id)[:100]
                return _unread(upload, f"No part `{shown}` of this upload came through this gateway.", "part_ids")
            await aside(join, lines, part)
            if len(lines.references) >= LOOKED_UP:
                await narrow(lines, narrowed)
        await aside(lines.finish)
        await narrow(lines, narrowed)
        lines.check(is_owned=upload.is_owned)
        return lines, upload


def is_begun(fields: Mapping[str, Any]) -> bool:
    """Whether an upload is to be a batch. `fields` is what begins it."""
    return str(fields.get("purpose")).strip().lower() == PURPOSE


def check_names(names: Names) -> None:
    """Raises InvalidCall for models of lines that must go out under another name."""
    if names:
        shown = ", ".join(f"`{name[:100]}`" for name in sorted(names)[:5])
        raise refused(
            f"Upstream these models have other names: {shown}. Lines that come in parts go on as they are written, for "
            "how long they are was told before. Send the file whole: POST /v1/files.",
            FIELD,
        )


async def _read_part(upload: BatchUpload, body: Body, held_bytes: int, narrowed: Narrowed) -> Found:
    """What the whole lines of a part ask for; its ends are to be noted."""
    form = body.form if isinstance(body, SpooledBody) else None
    parts = form.parts if form is not None and form.boundary else ()
    files = [part for part in parts if part.is_file or part.name == FIELD]
    if len(files) != 1 or files[0].name != FIELD or not isinstance(body, SpooledBody):
        return _unread(upload, f"A part is sent as the one file `{FIELD}` of a form (multipart/form-data).", FIELD)
    reader = PartReader()
    await read_through(body, files[0], reader.feed, reader.lines, narrowed)
    part = reader.finish()
    await narrow(reader.lines, narrowed)
    reader.check(is_owned=upload.is_owned)
    if held_bytes + part.held_bytes > MAX_HELD_BYTES:
        too_much = f"More than {MAX_HELD_BYTES >> 20} MiB of this file are lines that go on over the ends of parts."
        return _unread(upload, f"{too_much} Cut it at line ends, or into fewer parts.", FIELD)
    return reader.lines, msgspec.structs.replace(upload, part=part)


def _unread(upload: BatchUpload, why: str, param: str) -> Found:
    """Nothing is known; raises InvalidCall where that may not be."""
    if upload.is_owned:
        raise refused(why, param)
    return None, None


async def _answered(asked: Awaitable[T | None]) -> T:
    """The table's answer. Raises _Away."""
    try:
        async with asyncio.timeout(STORE_S):
            answer = await asked
    except TimeoutError:
        answer = None
    if answer is None:
        raise _Away
    return answer


def _id_in(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Made).id
    except UNREADABLE:
        return None


class _Made(msgspec.Struct, gc=False):
    id: str


def _unavailable() -> NoAccountAvailable:
    return NoAccountAvailable(
        "What this batch's file names cannot be looked after now. Retry shortly.",
        code="ids_unavailable",
        retry_after_s=2.0,
    )
