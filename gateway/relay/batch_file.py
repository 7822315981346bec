"""Reads an uploaded batch before its account is chosen: only one that serves its models can take it."""

from typing import Final

from gateway.relay.spooled import PIECE_BYTES, SpooledBody
from gateway.wire.batch_lines import BatchLines

PURPOSE: Final = "batch"


async def read_batch(body: SpooledBody) -> BatchLines | None:
    """What the lines of the file ask for; None when the form is no batch's. Holds a piece of it at a time."""
    form = body.form
    if form is None or form.text("purpose") != PURPOSE:
        return None
    file = next((part for part in form.parts if part.name == "file" and part.is_file), None)
    if file is None:
        return None
    lines = BatchLines()
    for start in range(file.start, file.end, PIECE_BYTES):
        lines.feed(await body.read(start, min(start + PIECE_BYTES, file.end)))
    lines.finish()
    return lines
