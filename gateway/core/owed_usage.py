"""Usage that comes later than its call: a response in the background, a batch. Who reads its end first counts it."""

import msgspec


class OwedUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an object is owed for, and by whom. Text all of it: it is stored, and written into the log."""

    id: str
    """Of the response, the batch, or the file with a batch's answers."""
    model: str | None = None
    """As its maker wrote it; None: it named none, or the lines of a file did."""
    client_key_id: str | None = None
    """Of its maker; None: calls were open."""
