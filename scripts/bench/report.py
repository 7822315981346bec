"""Figures of several rounds → medians, spreads, ratios to nginx in the same round, and whether they keep the bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

CALL_BAR, CHUNK_BAR, MEMORY_BAR_MB = 12.0, 3.0, 100.0
"""At most so many times nginx's CPU for a call, for a relayed chunk; at most so much Pss a worker."""
BASE = "nginx"


@dataclass(frozen=True)
class Sample:
    """One target under one load in one round."""

    cpu_us: float
    """User and system time per call or chunk, of the process that serves."""
    rest_us: float
    """The same for the rest of its process tree: a supervisor, Postgres."""
    per_s: float
    """Calls or chunks a second."""
    p50_us: float
    p99_us: float
    errors: int
    pss_mb: float


Rounds = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Load → target → one sample a round."""


@dataclass(frozen=True)
class Spread:
    """Several rounds' figure."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 0 if self.middle >= 100 else 1 if self.middle >= 10 else 2
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def ratios(samples: Sequence[Sample], base: Sequence[Sample]) -> Spread | None:
    """CPU against the base's of the same round; None without a base."""
    pairs = [one.cpu_us / other.cpu_us for one, other in zip(samples, base, strict=False) if other.cpu_us > 0]
    return spread(pairs) if pairs else None


def bar_of(load: str) -> float:
    return CHUNK_BAR if load in {"paced", "burst"} else CALL_BAR


def verdicts(rounds: Rounds, target: str = "gateway") -> list[tuple[str, bool]]:
    """What the bars say about `target`: a line each, and whether it holds. By medians."""
    found = []
    for load, targets in rounds.items():
        ratio = ratios(targets.get(target, ()), targets.get(BASE, ()))
        if ratio is not None and load in {"c32", "paced", "burst"}:
            holds = ratio.middle <= bar_of(load)
            found.append((f"{load}: {ratio} x {BASE}, bar {bar_of(load):g}", holds))
    memory = [sample.pss_mb for targets in rounds.values() for sample in targets.get(target, ())]
    if memory:
        found.append(
            (f"memory: {max(memory):.0f} MB Pss a worker, bar {MEMORY_BAR_MB:g}", max(memory) <= MEMORY_BAR_MB)
        )
    return found


_HEADINGS = ("load", "target", "CPU us each", "rest of tree", f"x {BASE}", "each/s", "p50 us", "p99 us", "MB", "errors")


def table(rounds: Rounds) -> str:
    """All figures as a Markdown table."""
    rows = [
        ("load", "target", "CPU us each", "rest of tree", f"x {BASE}", "each/s", "p50 us", "p99 us", "MB", "errors")
    ]
    for load, targets in rounds.items():
        for target, samples in targets.items():
            ratio = ratios(samples, targets.get(BASE, ()))
            rows.append(
                (
                    load,
                    target,
                    str(spread([sample.cpu_us for sample in samples])),
                    f"{median(sample.rest_us for sample in samples):.1f}",
                    str(ratio) if ratio and ratio.middle and target != BASE else "-",
                    f"{median(sample.per_s for sample in samples):,.0f}",
                    f"{median(sample.p50_us for sample in samples):,.0f}",
                    f"{median(sample.p99_us for sample in samples):,.0f}",
                    f"{max(sample.pss_mb for sample in samples):.0f}",
                    str(sum(sample.errors for sample in samples)),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
