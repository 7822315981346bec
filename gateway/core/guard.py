"""How much later a window gives back what was sent: we know when a call was sent, not when it was admitted."""

GUARD_S = 0.01
"""While nothing else is known."""
LONGEST_PART = 0.02
"""At most so much of a window, once refusals have told…"""
CALLS = 1024
"""…and so many answers bring it back."""


class Guard:
    """Longer where calls are now more, now less time on their way. Mutable; one per level."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = GUARD_S

    def note(self, window_s: float, *, is_success: bool, is_shared: bool) -> None:
        """What became of a call. `is_shared`: estimates of other processes are met as well."""
        if is_success:
            self.seconds -= (self.seconds - GUARD_S) / CALLS
        else:
            more_s = GUARD_S / 4 if is_shared else GUARD_S
            self.seconds = max(GUARD_S, min(self.seconds + more_s, window_s * LONGEST_PART))
