"""Reads an uploaded batch before its account is chosen: only one that serves its models can take it.

Where a route or a provider calls a model otherwise, the lines are given the other name on their way out. To know how
long the file is then, it is read once more before.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from gateway.core.affinity import Reference
from gateway.relay.aside import aside
from gateway.relay.spooled import PIECE_BYTES, SpooledBody
from gateway.wire.batch_lines import BatchLines, LineRenamer, RenamedLines
from gateway.wire.multipart import Part
from gateway.wire.places import Names

PURPOSE: Final = "batch"
LOOKED_UP: Final = 1000
"""Objects at once. OpenAI takes 50,000 lines, 200 MB, and any number of objects in each line."""

Narrowed = Callable[[Sequence[Reference]], Awaitable[list[Reference]]]
"""`relay.affinity.Affinity.narrowed`, for one call."""


async def read_batch(body: SpooledBody, narrowed: Narrowed | None) -> BatchLines | None:
    """What the lines of the file ask for; None when the form is no batch's. Raises GatewayError as `narrowed`.

    Holds a piece of the file at a time, and of the objects that it names about as many as are looked up at once.
    `narrowed`: None for a caller whose objects are not looked after.
    """
    file = _file_in(body)
    if file is None:
        return None
    lines = BatchLines(reads_ids=narrowed is not None)
    await read_through(body, file, lines.feed, lines, narrowed)
    await aside(lines.finish)
    if narrowed is not None:
        await narrow(lines, narrowed)
    return lines


async def read_through(
    body: SpooledBody, file: Part, feed: Callable[[bytes], None], lines: BatchLines, narrowed: Narrowed | None
) -> None:
    """Feeds what reads `lines` from the file, or from a part of one. Raises GatewayError as `narrowed`."""
    async with aclosing(body.read_pieces(file.start, file.end, PIECE_BYTES)) as pieces:
        async for piece in pieces:
            await aside(feed, piece)
            if narrowed is not None and len(lines.references) >= LOOKED_UP:
                await narrow(lines, narrowed)


async def narrow(lines: BatchLines, narrowed: Narrowed) -> None:
    """What succeeds is an upload, whatever its lines name: of what nobody knows it tells nothing."""
    kept: list[Reference] = []
    references = lines.references
    for start in range(0, len(references), LOOKED_UP):
        kept = await narrowed([*kept, *references[start : start + LOOKED_UP]])
    lines.narrow(kept)


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
