"""What a process tree has used, from /proc and the kernel's CPU clocks. Linux only."""

import time
from pathlib import Path


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, its ended threads included, to the nanosecond; 0 when it has ended.

    /proc/PID/stat has the same number in ticks of 10 ms, too coarse for a paced stream.
    """
    clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def descendants(pid: int) -> list[int]:
    """`pid` and everything below it, parents first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def pss_mb(pid: int) -> float:
    """Proportional set size in MB (10^6 bytes); 0 when it cannot be read."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0
