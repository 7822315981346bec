"""The sandbox as a program: `python -m gateway.sandbox`, `gateway sandbox`."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from gateway.sandbox.config import (
    Algorithm,
    Behaviour,
    KeyConfig,
    LimitRule,
    SandboxConfig,
    load_config,
    own_organisation,
)
from gateway.sandbox.server import Sandbox


def run_sandbox(host: str, port: int, config: SandboxConfig) -> None:
    """Serves until SIGINT or SIGTERM; says its address on stdout once it listens. Raises OSError when it cannot."""
    uvloop.run(_serve(host, port, config))


async def _serve(host: str, port: int, config: SandboxConfig) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sandbox = Sandbox(config)
    await sandbox.start(host, port)
    sys.stdout.write(f"sandbox on {sandbox.url}/v1\n")
    sys.stdout.flush()
    await stopped.wait()
    await sandbox.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped, 2 wrong usage or settings."""
    parser = make_parser()
    options = parser.parse_args(argv)
    try:
        config = config_of(options)
    except (OSError, ValueError) as problem:
        parser.error(str(problem))
    try:
        run_sandbox(options.host, options.port, config)
    except OSError as problem:
        parser.error(f"cannot listen on {options.host}:{options.port}: {problem.strerror}")
    return 0


def config_of(options: argparse.Namespace) -> SandboxConfig:
    """The file's settings, with the flags over them. Raises ValueError (msgspec's too) and OSError."""
    config = load_config(options.config) if options.config else SandboxConfig()
    changes: dict[str, object] = {}
    if options.key:
        changes["keys"] = dict(map(_key, options.key)) | config.keys
    if options.requests or options.tokens:
        rule = LimitRule(
            requests=options.requests,
            tokens=options.tokens,
            period_s=options.period,
            algorithm=Algorithm(options.algorithm),
        )
        changes["limits"] = (rule, *config.limits)
    if options.delay or options.gap or options.answer_tokens:
        usual = Behaviour(delay_s=options.delay, gap_s=options.gap, tokens=options.answer_tokens)
        changes["behaviours"] = {**config.behaviours, "*": usual}
    return msgspec.structs.replace(config, **changes)


def _key(text: str) -> tuple[str, KeyConfig]:
    """`sk-a`, `sk-a:org-1` or `sk-a:org-1:proj_1`; a key without an organisation has its own."""
    key, _, rest = text.partition(":")
    org, _, project = rest.partition(":")
    own = own_organisation(key)
    return key, KeyConfig(org=org or own.org, project=project or own.project)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway sandbox", description="A fake OpenAI: limits, errors, faults, a log."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8090, help="0 takes a free one (default 8090)")
    parser.add_argument("--config", type=Path, help="YAML or JSON file; docs/sandbox.md lists what may stand in it")
    parser.add_argument("--key", action="append", help="KEY[:ORG[:PROJECT]], repeatable; without any, every key works")
    parser.add_argument("--requests", type=_positive, help="requests per period for each organisation and model")
    parser.add_argument("--tokens", type=_positive, help="tokens per period for each organisation and model")
    parser.add_argument("--period", type=float, default=60.0, help="seconds of a limit's period (default 60)")
    parser.add_argument("--algorithm", choices=[*Algorithm], default=Algorithm.BUCKET)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer's headers")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between a stream's events")
    parser.add_argument("--answer-tokens", type=_positive, help="words of an answer; default: it echoes the question")
    return parser


def _port(text: str) -> int:
    """The system takes larger numbers modulo 65536, and so another port."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not between 0 and 65535")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number
