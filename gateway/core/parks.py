"""`Park`: a scope's rest as it crosses processes: in wall time, by NOTIFY and in the table `cooldowns`."""

from datetime import datetime

import msgspec

from gateway.core.outcome import OutcomeKind, Scope


class Park(msgspec.Struct, frozen=True, kw_only=True):
    """What one process learned about a scope and the others should know. The later `until_at` wins."""

    scope: Scope
    reason: OutcomeKind
    strikes: int
    since_at: datetime
    """When the rest began, aware UTC."""
    until_at: datetime
    """When the scope is believed to serve again, aware UTC."""
    probe_at: datetime
    """When one probe call may go, aware UTC; never after `until_at`."""
    is_rejected: bool = False
    """The credential is taken for dead: only a successful check, an edit or an operator brings it back."""
    credential_mark: str | None = None
    """Of the account's credential that met it; None for what a quota group shares. The table does not keep it."""


MARK_BYTES = 12
"""Of a keyed digest: four that name the key, eight that tell credentials apart."""
_KEY_DIGITS = 8


def is_of_another(heard: str | None, own: str | None) -> bool:
    """Whether two marks are of two credentials. Marks that were made with two keys tell nothing."""
    if heard is None or own is None or heard[:_KEY_DIGITS] != own[:_KEY_DIGITS]:
        return False
    return heard != own
