"""Usage that comes later than its call: of responses in the background, batches, runs. Who reads its end counts it."""

import msgspec


class OwedUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an object is owed for, and by whom. Text all of it: it is stored, and written into the log."""

    id: str
    """Of the response, the batch, the run or job, or the file with a batch's answers."""
    model: str | None = None
    """As its maker wrote it; None: it named none, or the lines of a file did."""
    client_key_id: str | None = None
    """Of its maker; None: calls were open."""
