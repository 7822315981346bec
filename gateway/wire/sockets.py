"""WebSockets as values: what a caller's handshake offers and asks, and closing codes that may be passed on.

Keys in `Sec-WebSocket-Protocol` are OpenAI's way for browsers, which cannot set headers (reference §7.2):

    realtime, openai-insecure-api-key.<key>, openai-organization.<id>, openai-project.<id>, openai-beta.realtime-v1
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.core.masking import masked_identifiers
from gateway.core.outcome import Fault

REALTIME: Final = "realtime"
"""The only subprotocol that is ever answered: the others of the list hold a key or a name of an account."""
_KEY: Final = "openai-insecure-api-key."
_BETA: Final = "openai-beta."
_LONGEST_REASON_BYTES: Final = 123
"""RFC 6455 §5.5: a control frame holds 125 bytes, two of them are the code."""
_SENDABLE: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})

NO_CODE: Final = 1005
"""The other side closed and named no code."""
LOST: Final = 1006
"""The connection ended without a closing handshake."""

Message = str | bytes
"""A whole message, text or binary."""


class Closed(msgspec.Struct, frozen=True):
    """In place of a message: the other side has closed, or is gone."""

    code: int = LOST
    """As it was received; `NO_CODE` and `LOST` are never on the wire."""
    reason: str = ""
    fault: Fault | None = None
    """How the transport failed; None where somebody closed."""


class Offer(msgspec.Struct, frozen=True):
    """What a list of subprotocols says."""

    key: str | None = None
    """The caller's credential."""
    is_realtime: bool = False
    """`realtime` is in it, so it may be answered."""
    beta: str | None = None
    """A beta that is asked for, in the words of the header `OpenAI-Beta`: `realtime=v1`."""


def read_offer(subprotocols: Iterable[str]) -> Offer:
    """The first key counts. Organisations and projects are left aside: those of the account hold."""
    key, is_realtime, beta = None, False, None
    for name in subprotocols:
        if name.startswith(_KEY):
            key = key or name[len(_KEY) :]
        elif name.startswith(_BETA):
            feature, _, version = name[len(_BETA) :].rpartition("-")
            beta = f"{feature}={version}" if feature and version else beta
        else:
            is_realtime = is_realtime or name == REALTIME
    return Offer(key or None, is_realtime, beta)


def sendable(code: int, reason: str, *, instead: int) -> tuple[int, str]:
    """A code and reason that a close frame may carry, as near as possible to those that were received.

    `instead` stands for a connection that was lost, and for codes that nobody may send. Identifiers of accounts in the
    reason are masked.
    """
    if code == NO_CODE:
        return 1000, ""
    if code not in _SENDABLE and not 3000 <= code <= 4999:
        return instead, ""
    raw = masked_identifiers(reason).encode()[:_LONGEST_REASON_BYTES]
    return code, raw.decode(errors="ignore")
