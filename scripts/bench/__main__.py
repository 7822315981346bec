"""`make bench`: CPU per call and per chunk of the gateway beside nginx's and the direct call, in one run.

What is measured has one core; mock upstream and load generator, both C, have another. Every round takes each target
once, so that a noisy minute falls on all of them. docs/benchmarks.md says how to read the figures.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from loads import CHUNKS, LOADS, MORE_LOADS, Load
from procfs import pss_mb
from programs import GENERATOR_CORE, TARGET_CORE, built, mock_upstream, run_load
from report import BASE, Rounds, Sample, table, verdicts
from targets import Target, gateway, nginx


def main(words: Sequence[str]) -> int:
    options = _options(words)
    if GENERATOR_CORE == TARGET_CORE:
        print("bench: only one core: target and generator share it, the figures will be too high", file=sys.stderr)
    rounds: dict[str, dict[str, list[Sample]]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(built())
        targets = _start(stack, folder, options)
        for load in LOADS + (MORE_LOADS if options.more else ()):
            (folder / load.name).write_bytes(load.body())
            rounds[load.name] = {target.name: [] for target in targets}
            for target in targets:
                _measure(folder, load, target, options.warm)
            for number in range(options.rounds):
                for target in targets:
                    sample = _measure(folder, load, target, options.seconds)
                    rounds[load.name][target.name].append(sample)
                    print(f"{load.name} {target.name} {number + 1}: {sample.cpu_us:.1f} us", file=sys.stderr)
    return _tell(rounds, options)


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--warm", type=float, default=2.0, help="seconds of load before the first measurement")
    parser.add_argument("--only", default="direct,nginx,gateway", help="which targets, by comma")
    parser.add_argument("--more", action="store_true", help="also 128 connections, 1 connection, 60 calls a second")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the gateway")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    return parser.parse_args(words)


def _start(stack: ExitStack, folder: Path, options: argparse.Namespace) -> list[Target]:
    wanted = options.only.split(",")
    port = stack.enter_context(mock_upstream(folder))
    targets = [Target("direct", port, None)] if "direct" in wanted else []
    if BASE in wanted and (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        targets.append(stack.enter_context(nginx(folder, port)))
    elif BASE in wanted:
        print("bench: nginx is missing, so there are no ratios: apt-get install nginx", file=sys.stderr)
    if "gateway" in wanted:
        targets.append(stack.enter_context(gateway(folder, port, options.env)))
    return targets


def _measure(folder: Path, load: Load, target: Target, seconds: float) -> Sample:
    before, rest_before = target.cpu_s()
    result = run_load(
        folder,
        port=target.port,
        body=folder / load.name,
        connections=load.connections,
        seconds=seconds,
        rate=load.rate,
        key=target.key,
    )
    after, rest_after = target.cpu_s()
    if result.calls == 0:
        raise SystemExit(f"bench: {target.name} answered no call of {load.name} ({result.errors} errors)")
    units = result.calls * (CHUNKS if load.is_stream else 1)
    return Sample(
        cpu_us=(after - before) / units * 1e6,
        rest_us=(rest_after - rest_before) / units * 1e6,
        per_s=units / result.seconds,
        p50_us=result.first_p50_us if load.is_stream else result.p50_us,
        p99_us=result.p99_us,
        errors=result.errors,
        pss_mb=pss_mb(target.pid) if target.pid else 0.0,
    )


def _tell(rounds: Rounds, options: argparse.Namespace) -> int:
    print(table(rounds))
    print("\nUnits: calls for c…, light; chunks for burst, paced. p50 of streams: to the first event.\n")
    found = verdicts(rounds)
    for text, holds in found:
        print(f"{'holds ' if holds else 'MISSED'}  {text}")
    if options.json:
        figures = {
            load: {target: [asdict(sample) for sample in samples] for target, samples in targets.items()}
            for load, targets in rounds.items()
        }
        options.json.write_text(json.dumps({"seconds": options.seconds, "loads": figures}, indent=1) + "\n")
    return int(options.check and not all(holds for _, holds in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
