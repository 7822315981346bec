"""Reads an uploaded batch before its account is chosen: only one that serves its models can take it.

Where a route or a provider calls a model otherwise, the lines are given the other name on their way out. To know how
long the file is then, it is read once more before.
"""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from gateway.core.errors import InvalidCall
from gateway.relay.aside import aside
from gateway.relay.spooled import PIECE_BYTES, SpooledBody
from gateway.wire.batch_lines import BatchLines, LineRenamer, RenamedLines
from gateway.wire.multipart import Part
from gateway.wire.places import Names

PURPOSE: Final = "batch"


def check_upload(fields: Mapping[str, object]) -> None:
    """Raises InvalidCall for an upload in parts that is to be a batch. `fields` is what begins it.

    Nobody can look into its lines: parts are cut anywhere, and put in order at the end.
    """
    if str(fields.get("purpose")).strip().lower() == PURPOSE:
        raise InvalidCall(
            "A batch's file is not taken in parts, for its lines are read here first. Send it whole: POST /v1/files.",
            param="purpose",
            code="invalid_batch_file",
        )


async def read_batch(body: SpooledBody) -> BatchLines | None:
    """What the lines of the file ask for; None when the form is no batch's. Holds a piece of it at a time."""
    file = _file_in(body)
    if file is None:
        return None
    lines = BatchLines()
    async with aclosing(body.read_pieces(file.start, file.end, PIECE_BYTES)) as pieces:
        async for piece in pieces:
            await aside(lines.feed, piece)
    await aside(lines.finish)
    return lines


async def renamed_batch(body: SpooledBody, names: Names) -> SpooledBody:
    """The same form, the lines of its file naming other models. Holds a line at a time."""
    file = _file_in(body)
    if file is None or not names:
        return body
    renamer, size = LineRenamer(names), 0
    async with aclosing(body.read_pieces(file.start, file.end)) as pieces:
        async for piece in pieces:
            size += len(renamer.feed(piece))
    size += len(renamer.finish())
    return body.with_lines(RenamedLines(file.start, file.end, names, size - (file.end - file.start)))


def _file_in(body: SpooledBody) -> Part | None:
    form = body.form
    if form is None or form.text("purpose") != PURPOSE:
        return None
    return next((part for part in reversed(form.parts) if part.name == "file"), None)
