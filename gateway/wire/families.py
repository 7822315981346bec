"""Families of typed events: which of them are held for content, which end an answer, what must follow an end.

An event's type is the name of its `event:` line, or the `type` in its data where that line is missing. A family is told
by how the first type begins; of a stream of no known family nothing is known but its framing.
"""

from typing import Final

import msgspec


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    prefixes: tuple[str, ...]
    held: frozenset[str]
    """Types of events that hold no content yet."""
    ends: frozenset[str]
    """Types after which the answer is whole."""
    is_last: bool = False
    """Nothing follows an end: reading stops there, however long the upstream keeps the connection."""
    is_single: bool = True
    """One end is the end of all; False: there may be several, and only a clean framing says that none is missing."""
    closing: bytes = b""
    """What the vendor sends behind the end, and what is added where it is missing."""


def _family(prefixes: str, held: str, ends: str, **fields: bool | bytes) -> Family:
    given = {"prefixes": tuple(prefixes.split()), "held": frozenset(held.split()), "ends": frozenset(ends.split())}
    return msgspec.convert(given | fields, Family)


RESPONSES: Final = _family(  # reference §5.7
    "response.",
    "response.created response.queued response.in_progress response.output_item.added response.content_part.added "
    "response.reasoning_summary_part.added",
    "response.completed response.incomplete response.failed response.cancelled",
    is_last=True,
)

FAMILIES: Final = (
    RESPONSES,
    _family("speech.audio.", "", "speech.audio.done", is_last=True),  # reference §5.5, as the next two
    _family("transcript.text.", "", "transcript.text.done", is_last=True),
    _family("image_generation. image_edit.", "", "image_generation.completed image_edit.completed", is_single=False),
    _family(  # assistants: objects that were made and have not begun
        "thread.",
        "thread.created thread.run.created thread.run.queued thread.run.in_progress thread.run.step.created "
        "thread.run.step.in_progress thread.message.created thread.message.in_progress",
        "thread.run.completed thread.run.incomplete thread.run.requires_action thread.run.failed thread.run.cancelled "
        "thread.run.expired",
        closing=b"event: done\ndata: [DONE]\n\n",
    ),
    _family("message_ content_block_", "message_start content_block_start", "message_stop", is_last=True),
)
"""The last one is Anthropic's, of `/messages`."""


def family_of(type_: str) -> Family | None:
    """The family that this type begins; None: it says nothing (`error`, `ping`), or is of one that is not known."""
    return next((family for family in FAMILIES if type_.startswith(family.prefixes)), None)
