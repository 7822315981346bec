"""Names for ids and instants, and `Secret`, which cannot be printed by accident."""

import hmac
from typing import NewType

ProviderId = NewType("ProviderId", str)
AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)
CallId = NewType("CallId", str)

ModelName = NewType("ModelName", str)
"""A model's name as its user writes it; compared without regard to case in routes and lists, sent as it was written."""

Instant = NewType("Instant", float)
"""Monotonic seconds of this process. Never stored, never sent: what crosses a process is an aware `datetime`."""

FOREVER = Instant(float("inf"))
NEVER = Instant(float("-inf"))
"""Before anything that is compared with it."""


class Secret:
    """A credential. Prints as ***; `reveal()` is the only way to its text, so a search finds every use."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


def masked(text: str) -> str:
    """How a secret is shown to people: `sk-…abcd`; one of fewer than 12 characters shows nothing of itself."""
    return f"{text[:3]}…{text[-4:]}" if len(text) >= 12 else "…"
