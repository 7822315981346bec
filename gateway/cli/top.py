"""`top`: a running gateway, live in the terminal: accounts, what rests until when, and what providers answer."""

import select
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import httpx2
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from gateway.cli.running import url_of
from gateway.cli.show import in_short, json_option, print_json, print_table
from gateway.core.outcome import OutcomeKind
from gateway.settings_load import load_settings

REFRESH_S = 1.0
MOST_ACCOUNTS = 50
"""Each costs a request a second; the others are counted."""
_OPEN, _CLEAR, _CLOSE = "\x1b[?1049h\x1b[?25l", "\x1b[H\x1b[2J", "\x1b[?25h\x1b[?1049l"


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    provider: str
    account: str
    state: str
    in_flight: int
    """On the worker that answered."""
    rests: list[str]
    """`gpt-4: rate_limited, 12 s`."""


class ProviderLine(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts since the service started, of all workers."""

    provider: str
    attempts: int
    ok: int
    rate_limited: int
    failed: int
    """All other outcomes."""


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """What the terminal shows."""

    at: datetime
    url: str
    version: str
    status: str
    problems: list[str]
    workers: int
    calls_per_minute: int
    calls_in_flight: int
    calls_waiting: int
    providers: list[ProviderLine]
    accounts: list[AccountLine]
    more_accounts: int
    """That are not shown."""


@click.command()
@click.option("--url", help="Of the running gateway; default: where the settings say that it listens.")
@click.option("--token", help="The admin token; default: the setting `admin_token`.")
@click.option("--once", is_flag=True, help="Print once and end, as without a terminal.")
@json_option
def top(url: str | None, token: str | None, once: bool, as_json: bool) -> None:
    """Show accounts, rests, rates and what providers answer, each second anew; q or Ctrl-C ends it."""
    settings = load_settings()
    url = (url or url_of(settings)).rstrip("/")
    token = token or (settings.admin_token.reveal() if settings.admin_token else None)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx2.Client(base_url=url, headers=headers, timeout=5.0, trust_env=False) as client:
        if as_json:
            print_json(read_top(client))
        elif once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            show(read_top(client))
        else:
            _show_live(client)


def read_top(client: httpx2.Client) -> Top:
    """Asks the gateway. Raises ClickException with what to do when it does not answer."""
    health = msgspec.json.decode(_get(client, "/health"))
    attempts, waiting = _counts(_get(client, "/metrics").decode())
    listed = msgspec.json.decode(_get(client, f"/api/v1/accounts?limit={MOST_ACCOUNTS}"))
    now = datetime.now(UTC)
    return Top(
        at=now,
        url=str(client.base_url).rstrip("/"),
        version=health["version"],
        status=health["status"],
        problems=health["problems"],
        workers=health["workers"],
        calls_per_minute=health["requests"]["per_minute"],
        calls_in_flight=health["requests"]["in_flight"],
        calls_waiting=waiting,
        providers=[_provider(name, attempts[name]) for name in sorted(attempts)],
        accounts=[_account(client, row["id"], now) for row in listed["data"]],
        more_accounts=listed["total"] - len(listed["data"]),
    )


def show(found: Top) -> None:
    click.echo(
        f"gateway {found.version} at {found.url}: {found.status}, {found.workers} workers, "
        f"{found.calls_per_minute} calls/min, {found.calls_in_flight} in flight, {found.calls_waiting} waiting"
    )
    for problem in found.problems:
        click.echo(f"! {problem}")
    click.echo()
    columns = ("provider", "attempts", "ok", "rate_limited", "failed")
    print_table([msgspec.structs.asdict(line) for line in found.providers], columns, none="No attempt was made yet.")
    click.echo()
    rows = [{**msgspec.structs.asdict(line), "rests": "; ".join(line.rests)} for line in found.accounts]
    print_table(rows, ("provider", "account", "state", "in_flight", "rests"), none="There is no account.")
    if found.more_accounts:
        click.echo(f"and {found.more_accounts} more")


def _get(client: httpx2.Client, path: str) -> bytes:
    try:
        answer = client.get(path)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise click.ClickException(f"no gateway answers at {client.base_url}: {type(error).__name__}") from error
    if answer.status_code in {401, 403}:
        raise click.ClickException("the gateway wants its admin token: set GATEWAY_ADMIN_TOKEN, or --token")
    if not answer.is_success:
        raise click.ClickException(f"the gateway answered {answer.status_code} at {path}")
    return answer.content


def _counts(metrics: str) -> tuple[dict[str, Counter[str]], int]:
    """Attempts by provider and outcome; calls that wait."""
    attempts: dict[str, Counter[str]] = {}
    waiting = 0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "gateway_attempts_total":
                counts = attempts.setdefault(sample.labels["provider"], Counter())
                counts[sample.labels["outcome"]] += int(sample.value)
            elif sample.name == "gateway_calls_waiting":
                waiting += int(sample.value)
    return attempts, waiting


def _provider(name: str, counts: Mapping[str, int]) -> ProviderLine:
    total, ok = sum(counts.values()), counts.get(OutcomeKind.OK, 0)
    limited = counts.get(OutcomeKind.RATE_LIMITED, 0)
    return ProviderLine(provider=name, attempts=total, ok=ok, rate_limited=limited, failed=total - ok - limited)


def _account(client: httpx2.Client, account_id: str, now: datetime) -> AccountLine:
    status = msgspec.json.decode(_get(client, f"/api/v1/accounts/{account_id}/status"))
    return AccountLine(
        provider=status["provider_id"],
        account=status["label"],
        state=status["state"],
        in_flight=status["in_flight"],
        rests=[
            _rest(scope, now) for scope in status["scopes"] if scope["state"] != "ready" or scope["avoided_until_at"]
        ],
    )


def _rest(scope: Mapping[str, Any], now: datetime) -> str:
    if scope["state"] == "ready":
        return f"{scope['what']}: asked last, {in_short(datetime.fromisoformat(scope['avoided_until_at']), now)}"
    until = "until verified" if scope["until_at"] is None else in_short(datetime.fromisoformat(scope["until_at"]), now)
    return f"{scope['what'] or 'all'}: {scope['reason']}, {until}"


# -- the live view -----------------------------------------------------------------------------------------------


def _show_live(client: httpx2.Client) -> None:
    found = read_top(client)  # what is wrong at the start is said in the plain terminal
    with _screen():
        while True:
            click.echo(_CLEAR, nl=False)
            show(found)
            click.echo("\nq ends")
            if _is_quit(REFRESH_S):
                return
            found = read_top(client)


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, keys without Enter; as it was before, however it ends."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    click.echo(_OPEN, nl=False)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(_CLOSE, nl=False)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_quit(within_s: float) -> bool:
    """Whether `q` was pressed, or stdin ended, before the time ran out."""
    deadline = time.monotonic() + within_s
    while (left_s := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left_s)
        if ready and sys.stdin.read(1) in {"q", "Q", ""}:
            return True
    return False
