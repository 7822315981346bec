"""The C programs of the bench: compiled when it starts, into a folder that goes when it ends."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
_CORES = sorted(os.sched_getaffinity(0))
TARGET_CORE, GENERATOR_CORE = _CORES[0], _CORES[1 % len(_CORES)]
"""What is measured has the first core for itself; mock upstream and load generator share the second."""


@dataclass(frozen=True)
class LoadResult:
    """What the load generator saw. Times in microseconds."""

    calls: int
    errors: int
    events: int
    seconds: float
    p50_us: float
    p99_us: float
    first_p50_us: float


@contextmanager
def built() -> Iterator[Path]:
    """The folder with `mock` and `load`."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit(
            "bench: a C compiler is needed for the mock upstream and the load generator: apt-get install gcc"
        )
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        for name in ("mock", "load"):
            command = [compiler, "-O2", "-o", f"{folder}/{name}", str(SOURCES / f"{name}.c")]
            subprocess.run(command, check=True)  # noqa: S603  # the compiler from PATH on our own sources
        yield Path(folder)


def on_core(core: int, *command: str) -> list[str]:
    """`command`, pinned, it and its children."""
    return ["taskset", "-c", str(core), *command] if shutil.which("taskset") else list(command)


@contextmanager
def mock_upstream(folder: Path) -> Iterator[int]:
    """Runs the mock; gives its port."""
    command = on_core(GENERATOR_CORE, str(folder / "mock"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # built above
        try:
            first_line = process.stdout.readline() if process.stdout else ""
            yield int(first_line.split()[1])
        finally:
            process.kill()


def run_load(  # noqa: PLR0913  # the generator's own parameters, by name
    folder: Path, *, port: int, body: Path, connections: int, seconds: float, rate: float = 0, key: str = "none"
) -> LoadResult:
    """One run of the generator. `rate` 0 is a closed loop, else requests a second."""
    words = [str(port), str(connections), str(seconds), str(rate), key, str(body)]
    command = on_core(GENERATOR_CORE, str(folder / "load"), *words)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=seconds + 30)  # noqa: S603  # built above
    return LoadResult(**json.loads(done.stdout))
