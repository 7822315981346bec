"""Anthropic's own API: messages and their batches, for callers that speak it."""

from typing import Final

import msgspec

from gateway.core.call import BodyKind, Endpoint, ModelUse, Schema, StreamKind
from gateway.wire.endpoint_rows.row import creating, delete, get, listing, post, settling

GOES_WITH: Final = "claude-"
"""Calls without a model go where models of this name go."""
_BATCH: Final = "/messages/batches/{message_batch_id}"

_ROWS: Final = (
    post("messages.create", "/messages", stream=StreamKind.EVENTS, model=ModelUse.REQUIRED),
    post("messages.count_tokens", "/messages/count_tokens", model=ModelUse.REQUIRED),
    listing("messages.batches.list", "/messages/batches"),
    settling(creating("messages.batches.create", "/messages/batches", "message_batch")),
    get("messages.batches.get", _BATCH),
    delete("messages.batches.delete", _BATCH),
    post("messages.batches.cancel", f"{_BATCH}/cancel", body=BodyKind.NONE),
    settling(get("messages.batches.results", f"{_BATCH}/results", is_download=True)),
)

ROWS: Final[tuple[Endpoint, ...]] = tuple(
    msgspec.structs.replace(
        row,
        schema=Schema.ANTHROPIC,
        goes_with=GOES_WITH,
        places=("results_url",) if row.path.startswith("/messages/batches") else (),
    )
    for row in _ROWS
)
