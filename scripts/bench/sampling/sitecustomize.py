"""Samples a Python process from within: Python imports this file by itself when its folder is in PYTHONPATH.

With BENCH_PROFILE=<prefix> every process counts, each 2 ms of its CPU time, which functions are on its stack, and
writes them to `<prefix>.<pid>` when it is sent SIGUSR2. Cheap enough (some 2 %) not to change what it measures. Time
spent in C, the kernel included, is charged to the line of Python that called it.
"""

import json
import os
import signal
from collections import Counter
from types import FrameType

_INTERVAL_S = 0.002
_own: Counter[str] = Counter()
_inclusive: Counter[str] = Counter()
_lines: Counter[str] = Counter()


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname}"


def _sample(_number: int, frame: FrameType | None) -> None:
    if frame is None:
        return
    _own[_name(frame)] += 1
    _lines[f"{frame.f_code.co_filename}:{frame.f_lineno}"] += 1
    on_stack = set()
    current: FrameType | None = frame
    while current is not None:
        on_stack.add(_name(current))
        current = current.f_back
    _inclusive.update(on_stack)


def _write(_number: int, _frame: FrameType | None) -> None:
    own, inclusive, lines = dict(_own), dict(_inclusive), dict(_lines)  # a sample may be taken while we write
    with open(f"{os.environ['BENCH_PROFILE']}.{os.getpid()}", "w") as file:  # noqa: PTH123  # no imports that the process itself has not
        json.dump({"samples": sum(own.values()), "own": own, "inclusive": inclusive, "lines": lines}, file)
    for counter in (_own, _inclusive, _lines):
        counter.clear()


if "BENCH_PROFILE" in os.environ:
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR2, _write)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)
