"""What a call is answered with: a status, headers, and a body that is either here already or still coming."""

from typing import Protocol

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.outcome import OutcomeKind
from gateway.providers.base import Headers


class ComingBody(Protocol):
    """A body that is still on its way. `close` must be awaited exactly once, however it went."""

    @property
    def is_cut(self) -> bool:
        """The body ended too early and its form cannot say so: the caller's connection must be cut, not ended."""
        ...

    @property
    def keep_alive(self) -> bytes:
        """What may stand between two pieces while nothing comes; b"" where the form has no such thing."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Of all pieces so far."""
        ...

    async def next_piece(self) -> bytes:
        """The next bytes for the caller; b"" at the end."""
        ...

    def last_words(self, error: GatewayError) -> bytes:
        """What tells the caller of `error` in the middle of this body; b"" where its form has no words for it."""
        ...

    async def close(self) -> None:
        """Frees the account and the connection, and settles the call. Before its end: the caller went away."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """What goes to the caller."""

    status: int
    headers: Headers
    """Names in lower case, without framing; a coming body's `content-length` is among them when it is known."""
    body: bytes = b""
    coming: ComingBody | None = None
    """In place of `body`."""
    outcome: OutcomeKind = OutcomeKind.OK
    code: str | None = None
    """The error code that the caller reads in the body; None for a success."""
    shows_objects: bool = True
    """False: it was translated. Ids in it name nothing that an account has."""
