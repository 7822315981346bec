"""What the demo shows: its accounts, what it has learned of them, and the picture of both."""

import os
import shutil
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field

PERIOD_S = 8.0


@dataclass(frozen=True)
class Account:
    """One row of the picture."""

    label: str
    org: str
    requests: int
    """Per PERIOD_S, of the whole organisation."""

    @property
    def key(self) -> str:
        return f"sk-demo-{self.label}-0123456789"


ACCOUNTS = (
    Account("north", "org-north", 8),
    Account("south", "org-south", 8),
    Account("east", "org-east", 16),
    Account("west-1", "org-west", 8),
    Account("west-2", "org-west", 8),  # shares the limit of west-1: the gateway is told by their quota group
)


@dataclass
class Told:
    """What the demo has learned so far."""

    began: float = field(default_factory=time.monotonic)
    caption: str = ""
    upstream: dict[str, Counter[str]] = field(default_factory=dict)
    """Key → served, refused, failed: the attempts as the sandbox saw them."""
    rests: dict[str, str] = field(default_factory=dict)
    """Label → why and how long it rests."""
    callers: Counter[str] = field(default_factory=Counter)
    """answered, refused, failed, waiting, saved."""
    times: deque[float] = field(default_factory=lambda: deque(maxlen=1000))


class Screen:
    """The picture: redrawn in place on a terminal, a line every two seconds elsewhere."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._height = 0
        self._caption = ""
        self._next_line = 0.0

    def draw(self, told: Told) -> None:
        if self._is_live:
            self._redraw(self._picture(told))
            return
        if told.caption != self._caption:
            self._caption = told.caption
            print(f"\n{told.caption}", flush=True)
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + 2.0
            accounts = "  ".join(f"{a.label} {told.upstream.get(a.key, Counter())['served']}" for a in ACCOUNTS)
            resting = ", ".join(label for label, why in told.rests.items() if why) or "nobody"
            print(f"{_age(told):5.1f} s  {accounts}  resting: {resting}  callers: {_outcomes(told)}", flush=True)

    def last(self, told: Told) -> None:
        """The final picture and what it shows."""
        lines = self._picture(told)
        if self._is_live:
            self._redraw(lines)
        else:
            print("\n" + "\n".join(lines))
        limited = sum(kinds["limited"] for kinds in told.upstream.values())
        failed = sum(kinds["failed"] for kinds in told.upstream.values())
        print(
            f"\nThe provider refused {limited} attempts for their rate and failed {failed} (resets not counted); "
            f"{told.callers['refused']} callers saw a 429, {told.callers['failed']} a failure."
        )

    def _redraw(self, lines: list[str]) -> None:
        up = f"\x1b[{self._height}F" if self._height else ""
        width = shutil.get_terminal_size().columns  # a line that wraps would throw the counting of lines off
        sys.stdout.write(up + "".join(f"\x1b[2K{line[:width]}\n" for line in lines))
        sys.stdout.flush()
        self._height = len(lines)

    def _picture(self, told: Told) -> list[str]:
        lines = [
            f"gateway on {self._address}   {_age(told):4.1f} s",
            f"  {told.caption}",
            "",
            f"  {'ACCOUNT':<9}{'ORGANISATION':<14}{'LIMIT':<14}{'SERVED':>7}{'429':>6}{'FAILED':>8}   NOW",
        ]
        for account in ACCOUNTS:
            kinds, why = told.upstream.get(account.key, Counter()), told.rests.get(account.label, "")
            limit = f"{account.requests} per {PERIOD_S:.0f} s"
            lines.append(
                f"  {account.label:<9}{account.org:<14}{limit:<14}{kinds['served']:>7}{kinds['limited']:>6}"
                f"{kinds['failed']:>8}   {why or 'ready'}"
            )
        waited = sorted(told.times)
        middle = waited[len(waited) // 2] if waited else 0.0
        slowest = f"half within {middle:.2f} s, the slowest {waited[-1] if waited else 0:.1f} s"
        return [*lines, "", f"  CALLERS  {_outcomes(told)}; {slowest}"]


def _outcomes(told: Told) -> str:
    callers = told.callers
    return (
        f"{callers['answered']} answered ({callers['saved']} by a second account), {callers['refused']} refused, "
        f"{callers['failed']} failed, {callers['waiting']} under way"
    )


def _age(told: Told) -> float:
    return time.monotonic() - told.began
