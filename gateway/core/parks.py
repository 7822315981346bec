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
