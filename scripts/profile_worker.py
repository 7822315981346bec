"""Where a worker's CPU goes under load: `.venv/bin/python scripts/profile_worker.py [c32|burst|paced] [seconds]`.

The same mock, generator and set-up as the bench; the worker samples itself (bench/sampling). Shares of a sample are
inclusive (a function and all it calls) and own; own time contains the C code a function calls, the kernel included.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

BENCH = Path(__file__).with_name("bench")
sys.path.insert(0, str(BENCH))

from loads import LOADS  # noqa: E402  # the bench's modules are found in its folder
from procfs import command_of  # noqa: E402  # found once the path above is set
from programs import built, mock_upstream, run_load  # noqa: E402  # as above
from targets import gateway  # noqa: E402  # as above

ROWS = 45


def main(words: list[str]) -> int:
    load = next(load for load in LOADS if load.name == (words[0] if words else "c32"))
    seconds = float(words[1]) if len(words) > 1 else 4.0
    with built() as folder, mock_upstream(folder) as upstream:
        prefix = folder / "profile"
        environment = [f"BENCH_PROFILE={prefix}", f"PYTHONPATH={BENCH / 'sampling'}"]
        with gateway(folder, upstream, environment) as target:
            (folder / "body").write_bytes(load.body())
            pid = target.pid or 0
            ask = partial(
                run_load, folder, port=target.port, body=folder / "body", connections=load.connections, key=target.key
            )
            ask(seconds=1.0)
            _write_samples(prefix, pid)  # forgets the start and the warming up
            result = ask(seconds=seconds)
            found = _write_samples(prefix, pid)
    print(f"{load.name}: {result.calls / result.seconds:,.0f} calls/s, {found['samples']} samples")
    found["own, by part"] = Counter()
    for name, count in found["own"].items():
        found["own, by part"][_part(name)] += count
    for kind in ("own, by part", "inclusive", "own", "lines"):
        print(f"\n{kind}")
        ranked = sorted(found[kind].items(), key=lambda item: -item[1])[:ROWS]
        for name, count in ranked:
            print(f"  {100 * count / found['samples']:5.1f} %  {_short(name)}")
    return 0


def _write_samples(prefix: Path, pid: int) -> dict:  # type: ignore[type-arg]  # JSON of the sampler
    path = Path(f"{prefix}.{pid}")
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            return json.loads(path.read_text())  # type: ignore[no-any-return]  # JSON of the sampler
        except (OSError, ValueError):  # not there yet, or half written
            time.sleep(0.05)  # a program of its own, no tests move its time
    raise SystemExit(f"profile: {pid} wrote no samples: {command_of(pid)}")


def _part(name: str) -> str:
    """`gateway/relay`, `uvicorn`, `asyncio`: the package that a function belongs to."""
    path = Path(_short(name).split(":")[0])
    return "/".join(path.parts[:2]) if path.parts[0] == "gateway" else path.parent.name or path.name


def _short(name: str) -> str:
    return name.replace(str(Path.cwd()) + "/", "").split("site-packages/")[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
