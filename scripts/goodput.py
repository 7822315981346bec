"""`make bench-goodput`: how much of what its accounts' limits allow the gateway serves, and what it wastes.

Sandboxes that enforce limits, real gateways before them, callers at random moments, all on loopback. Scenes of a wave
are played at the same time, each at three loads. docs/benchmarks.md says how to read the figures.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

from goodput_best import best_of
from goodput_callers import Connections, Crowd, Send, Tally, by_chance, by_turns, through_gateways
from goodput_programs import Gateways, gateways, sandbox, stats
from goodput_scenes import ANSWER_S, WAVES, Part, Scene, Wave, gateway_config, parts_of, sandbox_config

PLAIN = ("round robin", "random choice")


@dataclass(frozen=True)
class Figure:
    """What one scene at one load came to."""

    front: str
    scene: str
    load: float
    served: float
    """Share of what the upstream could have served of what came, of calls or of tokens."""
    best: float
    """The same of who sees the upstream's meters and sends in no time, before the same calls."""
    refused: float
    """Share of the callers."""
    wasted: float
    """Upstream 429s for each answered call."""
    failed: int


def main(words: Sequence[str]) -> int:
    options = _options(words)
    waves = [(number, wave) for number, wave in enumerate(WAVES) if options.only in f"{wave.front} {wave.scenes}"]
    with tempfile.TemporaryDirectory(prefix="gateway-goodput-") as name:
        Path(name).chmod(0o755)  # root's Postgres runs as another user and must reach its data below
        figures = asyncio.run(_measure(Path(name), waves, options))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="goodput", description=__doc__)
    parser.add_argument("--seconds", type=float, default=32.0, help="counted of each wave: whole windows, of 4 and 8 s")
    parser.add_argument("--warm", type=float, default=20.0, help="seconds before it counts: full buckets are used up")
    parser.add_argument("--only", default="", help="waves in whose front or scenes this stands")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args(words)


async def _measure(home: Path, waves: list[tuple[int, Wave]], options: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    print(HEADING, flush=True)
    parts = {number: parts_of(wave, number) for number, wave in waves}
    every_part = [part for some in parts.values() for part in some]
    with ExitStack() as stack:
        told = stack.enter_context(sandbox(home, "told", sandbox_config(every_part, has_headers=True)))
        silent = stack.enter_context(sandbox(home, "silent", sandbox_config(every_part, has_headers=False)))
        for front in dict.fromkeys(wave.front for _, wave in waves):
            mine = [(number, wave) for number, wave in waves if wave.front == front]
            config = gateway_config([part for number, _ in mine for part in parts[number]], told, silent)
            rng = Random(options.seed)  # noqa: S311  # draws arrivals, no secrets
            async with AsyncExitStack() as inner:
                send = _front(inner, home, front, config, told, rng)
                for number, _ in mine:
                    some = await _play(front, parts[number], send, (told, silent), options)
                    figures += some
                    print("\n".join(map(_row, some)), flush=True)
    return figures


def _front(stack: AsyncExitStack, home: Path, front: str, config: dict[str, object], told: str, rng: Random) -> Send:
    """Where the callers of a front send their calls; what it starts ends with `stack`."""
    addresses = [told]
    if front not in PLAIN:
        kind = Gateways(workers=2 if front == "two workers" else 1, replicas=2 if front == "two replicas" else 1)
        addresses = stack.enter_context(gateways(home / front.replace(" ", "-"), kind, config))
    connections = [Connections(address) for address in addresses]
    for one in connections:
        stack.push_async_callback(one.close)
    if front not in PLAIN:
        return through_gateways(connections, rng)
    return by_turns(connections[0]) if front == PLAIN[0] else by_chance(connections[0], rng)


async def _play(
    front: str, parts: list[Part], send: Send, sandboxes: tuple[str, str], options: argparse.Namespace
) -> list[Figure]:
    crowds = [Crowd(part, send, Random(f"{part.id}{options.seed}")) for part in parts]  # noqa: S311  # as above
    async with asyncio.TaskGroup() as tasks:
        for crowd in crowds:
            tasks.create_task(crowd.come(options.warm + options.seconds))
        await asyncio.sleep(options.warm)  # noqa: TID251  # a program for people: nobody moves its clock
        before, began = stats(sandboxes), asyncio.get_running_loop().time()
        for crowd in crowds:
            crowd.is_counting = True
        await asyncio.sleep(options.seconds)  # noqa: TID251  # a program of its own: it measures real time
        after = stats(sandboxes)
        for crowd in crowds:
            crowd.is_counting = False
    return [_figure(front, crowd, before, after, Count(began, options.seconds)) for crowd in crowds]


@dataclass(frozen=True)
class Count:
    """When was counted."""

    began: float
    """By the loop's clock."""
    seconds: float


def _figure(
    front: str, crowd: Crowd, before: dict[str, dict[str, int]], after: dict[str, dict[str, int]], count: Count
) -> Figure:
    part, tally = crowd.part, crowd.tally

    def seen(status: str) -> int:
        return sum(after.get(key, {}).get(status, 0) - before.get(key, {}).get(status, 0) for key in part.keys)

    served = seen("200")
    return Figure(
        front=front,
        scene=part.scene.name,
        load=part.load,
        served=_share_served(part.scene, tally, served, count.seconds),
        best=_best(crowd, count),
        refused=tally.refused / max(tally.offered, 1),
        wasted=seen("429") / max(served, 1),
        failed=tally.failed,
    )


def _best(crowd: Crowd, count: Count) -> float:
    """Answers come a while after calls are admitted."""
    scene, since = crowd.part.scene, count.began - ANSWER_S
    answers, tokens = best_of(scene, crowd.calls, since, since + count.seconds)
    return _share_served(scene, replace(crowd.tally, answered_tokens=tokens), answers, count.seconds)


def _share_served(scene: Scene, tally: Tally, answers: int, seconds: float) -> float:
    """Of calls, or of tokens where these are limited; where both are, of what is used up more."""
    of_tokens = tally.answered_tokens / max(min(tally.offered_tokens, scene.token_capacity * seconds), 1)
    if scene.limit is None:
        return of_tokens
    of_calls = answers / max(min(tally.offered, scene.capacity * seconds), 1)
    return of_calls if scene.tokens is None else max(of_calls, of_tokens)


HEADING = (
    f"{'front':14} {'upstream':52} {'load':>4} {'served':>7} {'best':>6} {'refused':>8} {'429s/answer':>12} "
    f"{'failed':>7}"
)


def _row(figure: Figure) -> str:
    return (
        f"{figure.front:14} {figure.scene:52} {figure.load:4.1f} {figure.served:7.3f} {figure.best:6.3f} "
        f"{figure.refused:8.1%} {figure.wasted:12.3f} {figure.failed:7}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
