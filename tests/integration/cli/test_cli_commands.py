import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.core.breaker import Breaker, BreakerNews, Span, opened
from gateway.core.ids import ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.relay.clock import SystemClock
from gateway.store.cipher import new_key
from gateway.telemetry.breaker_book import BreakerBook
from tests.integration.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[3]
GONE = 999_999_999
"""No process has this number."""
GOOD, BAD = "sk-good-0123456789", "sk-bad-0123456789"


class Models(BaseHTTPRequestHandler):
    """An upstream that knows one key."""

    def do_GET(self) -> None:
        is_good = self.headers["authorization"] == f"Bearer {GOOD}"
        body = {"object": "list", "data": [{"id": "gpt-4"}]}
        if not is_good:
            body = {"error": {"message": "Incorrect API key provided", "type": "x", "code": "invalid_api_key"}}
        raw = json.dumps(body).encode()
        self.send_response(200 if is_good else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(gateway: Command, upstream: str) -> Command:
    """One account that works and one that is refused."""
    gateway("providers", "add", "openai", "--base-url", upstream)
    for label, key in (("good", GOOD), ("bad", BAD)):
        gateway("accounts", "add", "--provider", "openai", "--label", label, "--api-key", key)
    return gateway


def park(gateway: Command, kind: str, holder: str, what: str, reason: str) -> None:
    now = datetime.now(UTC)
    gateway.rows(
        "INSERT INTO cooldowns (scope_kind, holder, what, reason, strikes, since_at, until_at, probe_at) "
        "VALUES ($1, $2, $3, $4, 2, $5, $6, $6)",
        kind,
        holder,
        what,
        reason,
        now,
        now + timedelta(minutes=5),
    )


def test_providers_are_added_listed_paused_and_removed(gateway: Command):
    add = ("providers", "add", "local", "--base-url", "http://10.0.0.5/v1", "--auth-strategy", "none")
    gateway(*add, "--kind", "openai_compatible", "--model", "llama-*", "--settings", '{"timeout_s": 120}')

    [provider] = gateway.json("providers", "list")
    assert (provider["kind"], provider["auth_type"], provider["supported_models"]) == (
        "openai_compatible",
        "none",
        ["llama-*"],
    )
    assert "llama-*" in gateway("providers", "list").stdout
    gateway("providers", "pause", "local")
    assert gateway.json("providers", "list")[0]["is_active"] is False
    gateway("providers", "resume", "local")
    assert gateway.json("providers", "list")[0]["is_active"] is True
    gateway("providers", "remove", "local", stdin="n\n", code=1)
    gateway("providers", "remove", "local", "--yes")
    assert gateway.json("providers", "list") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "p", "--base-url", "ftp://host"), "base_url must begin with https:// or http://"),
        (("add", "p", "--base-url", "http://host", "--kind", "telepathy"), "kind is not known"),
        (("add", "p", "--base-url", "http://host", "--settings", '{"timeout": 1}'), "settings cannot be read"),
        (("pause", "nobody"), "there is no provider nobody"),
        (("remove", "nobody", "--yes"), "there is no provider nobody"),
        (("remove", "nobody"), "there is no provider nobody"),
        (("verify", "nobody"), "there is no provider nobody"),
    ],
)
def test_bad_provider_is_refused_in_one_line(gateway: Command, arguments: tuple[str, ...], said: str):
    result = gateway("providers", *arguments, code=1)

    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("p", "--base-url", "http://host", "--settings", "{"),
        ("p", "--base-url", "http://host", "--settings", "[1]"),
        ("p",),
        ("--base-url", "http://host"),
        ("--preset", "nobody"),
        ("--preset", "azure"),
    ],
)
def test_what_cannot_be_a_provider_is_wrong_usage(gateway: Command, arguments: tuple[str, ...]):
    gateway("providers", "add", *arguments, code=2)


def test_a_provider_is_added_by_the_name_of_its_vendor(gateway: Command):
    gateway("providers", "add", "--preset", "groq")
    gateway(
        "providers", "add", "gpu", "--preset", "vllm", "--base-url", "http://gpu:8000", "--auth-strategy", "api_key"
    )

    groq, gpu = gateway.json("providers", "list")
    assert (groq["id"], groq["name"], groq["kind"]) == ("groq", "Groq", "openai_compatible")
    assert groq["base_url"] == "https://api.groq.com/openai/v1"
    assert (gpu["base_url"], gpu["auth_strategy"], gpu["auth_type"]) == ("http://gpu:8000", "api_key", "api_key")
    assert "mistral" in gateway("providers", "presets").stdout


def test_an_account_may_be_given_as_a_whole(gateway: Command):
    gateway("providers", "add", "azure", "--preset", "azure", "--base-url", "https://r.openai.azure.com",
            "--auth-strategy", "oauth_client_credentials")  # fmt: skip
    grant = '{"tenant_id": "t", "client_id": "app", "client_secret": "hidden"}'

    gateway("accounts", "add", "--provider", "azure", "--auth-data", "-", stdin=grant)
    gateway("accounts", "add", "--provider", "azure", "--auth-data", "-", stdin="[1]", code=2)

    assert gateway.json("providers", "list")[0]["auth_type"] == "oauth"
    [account] = gateway.json("accounts", "list")
    assert "hidden" not in str(account)


def test_verify_tells_what_works_and_ends_with_1_when_one_does_not(served: Command):
    both = served.json("accounts", "verify", code=1)
    good = served("accounts", "verify", "good")

    assert [(row["label"], row["is_ok"], row["outcome"], row["status"], row["models"]) for row in both] == [
        ("good", True, "ok", 200, 1),
        ("bad", False, "credential_rejected", 401, 0),
    ]
    assert "good" in good.stdout
    assert GOOD not in served.said
    assert BAD not in served.said


def test_verify_lifts_a_rejection_of_an_account_that_works(served: Command):
    ids = {row["label"]: row["id"] for row in served.json("accounts", "list")}
    for holder in ids.values():
        park(served, "account", holder, "", "credential_rejected")
    served.rows("UPDATE cooldowns SET is_rejected = true")

    served("providers", "verify", "openai", code=1)

    assert {row["label"]: row["state"] for row in served.json("accounts", "list")} == {
        "good": "ready",
        "bad": "rejected",
    }


def test_verify_ends_a_rest_that_a_401_began(served: Command):
    ids = {row["label"]: row["id"] for row in served.json("accounts", "list")}
    for holder in ids.values():
        park(served, "account", holder, "", "credential_rejected")

    served("providers", "verify", "openai", code=1)

    assert {row["label"]: row["state"] for row in served.json("accounts", "list")} == {
        "good": "ready",
        "bad": "cooling",
    }


def test_key_is_printed_once_and_revoked_by_name(gateway: Command):
    made = gateway("keys", "add", "my-app", "--model", "gpt-4*", "--expires-at", "2040-01-31")

    key = made.stdout.strip()
    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}", key)
    [row] = gateway.rows("SELECT digest, revoked_at FROM client_keys")
    assert row["digest"] == gateway.cipher.digest(key)
    [shown] = gateway.json("keys", "list")
    assert (shown["models"], shown["expires_at"]) == (["gpt-4*"], "2040-01-31T00:00:00Z")

    gateway("keys", "revoke", "my-app")

    assert gateway.json("keys", "list") == []
    assert gateway.json("keys", "list", "--all")[0]["revoked_at"] is not None
    assert key not in gateway.said.replace(made.output, "")


def test_key_of_two_names_must_be_made_clear(gateway: Command):
    first = gateway.json("keys", "add", "app")
    gateway("keys", "add", "app")

    assert "several keys are called app" in gateway("keys", "revoke", "app", code=1).stderr
    gateway("keys", "revoke", first["id"])
    assert "there is no key nobody" in gateway("keys", "revoke", "nobody", code=1).stderr
    gateway("keys", "add", "late", "--expires-at", "2001-01-01", code=2)


def test_route_explains_who_rests_until_when_and_why(served: Command):
    ids = {row["label"]: row["id"] for row in served.json("accounts", "list")}
    served("accounts", "add", "--provider", "openai", "--label", "paused", "--api-key", "sk-paused-0123456789")
    served("accounts", "pause", "paused")
    park(served, "holder_model", ids["bad"], "gpt-4", "rate_limited")

    told = served.json("route", "GPT-4")
    other = served.json("route", "gpt-3.5-turbo")
    table = served("route", "gpt-4").stdout

    assert (told["provider"], told["pattern"], told["upstream_model"]) == ("openai", "gpt-*", "GPT-4")
    assert [(found["account"], found["state"], found["reason"]) for found in told["candidates"]] == [
        ("good", "ready", None),
        ("bad", "cooling", "rate_limited"),
        ("paused", "inactive", None),
    ]
    assert told["candidates"][1]["scope"] == "gpt-4"
    assert {found["state"] for found in other["candidates"]} == {"ready", "inactive"}
    assert "5 min" in table


def test_route_of_a_model_that_nobody_serves_ends_with_1(served: Command):
    served("accounts", "pause", "good")
    served("accounts", "pause", "bad")

    assert "openai" in served("route", "gpt-4", code=1).stdout
    refused = served("route", "gpt-4", "--provider", "nobody", code=1)
    assert "x-provider" in refused.stderr


def test_route_tells_of_breakers_of_gateways_that_run_here(served: Command, tmp_path: Path):
    clock = SystemClock()
    rests = opened(Breaker(strikes=9), OutcomeKind.UPSTREAM_ERROR, clock.now())
    for process, what in [(os.getpid(), "gpt-4"), (os.getpid(), "gpt-3.5-turbo"), (GONE, "")]:
        folder = tmp_path / ".gateway" / "metrics" / str(process)
        folder.mkdir(parents=True, exist_ok=True)
        span = Span.MODEL if what else Span.PROVIDER
        news = BreakerNews(ProviderId("openai"), span, what, rests, is_any_open=True, attempts=9, failures=9)
        BreakerBook(folder, what or "0", clock=clock).note(news)

    told = served.json("route", "GPT-4", code=1)
    table = served("route", "gpt-4", code=1).stdout

    (breaker,) = told["breakers"]
    assert (breaker["what"], breaker["reason"]) == ("gpt-4", "upstream_error")
    assert "ready" in {found["state"] for found in told["candidates"]}
    assert "provider openai rests for gpt-4: upstream_error, " in table


def test_route_names_rows_that_are_skipped(served: Command):
    served.rows("UPDATE accounts SET weight = -1 WHERE label = 'bad'")

    told = served.json("route", "gpt-4")

    assert {found["account"]: found["state"] for found in told["candidates"]} == {"good": "ready", "bad": "skipped"}
    assert told["problems"] == [
        "account bad: weight must be greater than 0 (set is_active to false to rest an account)"
    ]


def test_doctor_finds_nothing_wrong_with_a_gateway_that_works(served: Command):
    served("accounts", "remove", "bad", "--yes")

    findings = served.json("doctor")

    assert {finding["state"] for finding in findings} == {"ok"}
    assert {finding["check"] for finding in findings} >= {"settings", "database", "schema", "encryption", "accounts"}


def test_doctor_says_what_is_wrong_and_what_to_do(served: Command):
    served.rows("UPDATE providers SET auth_type = 'oauth'")
    served.rows("INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', 'empty', '{}')")

    findings = served.json("doctor", code=1)
    text = served("doctor", code=1).stdout
    offline = served.json("doctor", "--offline", code=1)

    by_state = {(finding["check"], finding["state"]) for finding in findings}
    assert {("rows", "warning"), ("rows", "problem"), ("accounts", "ok"), ("accounts", "problem")} <= by_state
    assert "auth_type does not go with auth_strategy" in text
    assert "openai/bad: credential_rejected: 401" in text
    assert "→ give openai/bad a new key" in text
    assert "accounts" not in {finding["check"] for finding in offline}
    assert BAD not in served.said


def test_doctor_names_the_key_that_is_missing(served: Command, environment: Callable[..., None]):
    environment(GATEWAY_ENCRYPTION_KEYS=new_key("k9"))

    findings = served.json("doctor", code=1)

    assert findings[-1]["check"] == "encryption"
    assert "'k1'" in findings[-1]["message"]


def test_doctor_of_an_empty_database_says_to_migrate(empty_database_url: str, environment: Callable[..., None]):
    environment(DATABASE_URL=empty_database_url)
    gateway = Command(empty_database_url, new_key("k1"))

    assert gateway.json("doctor", code=1)[-1]["advice"] == "run `gateway migrate`"
    assert "run `gateway migrate`" in gateway("accounts", "list", code=1).stderr
    assert "2026" in gateway("migrate").stderr
    assert "already" in gateway("migrate").stderr
    assert gateway.json("accounts", "list") == []


def test_database_that_does_not_answer_is_said_in_one_line(environment: Callable[..., None]):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://me:hunter22@127.0.0.1:{closed.getsockname()[1]}/x"
    environment(DATABASE_URL=url, GATEWAY_DATABASE__WAIT_S="0")

    for arguments in (("accounts", "list"), ("migrate",), ("db", "url")):
        result = CliRunner().invoke(cli, arguments)

        assert result.exit_code == 1
        assert "cannot be reached" in result.stderr
        assert result.stderr.count("\n") == 1
        assert "hunter22" not in result.output


def test_wrong_setting_is_named(environment: Callable[..., None]):
    environment(GATEWAY_SERVER__PORT="many", DATABASE_URL="postgresql://127.0.0.1:1/x")

    for arguments in (("accounts", "list"), ("serve",)):
        result = CliRunner().invoke(cli, arguments)

        assert result.exit_code == 1
        assert "GATEWAY_SERVER__PORT" in result.stderr
    assert CliRunner().invoke(cli, ["doctor", "--json"]).exit_code == 1


def test_db_url_and_shell_lead_to_the_database_in_use(gateway: Command):
    assert gateway("db", "url").stdout.strip() == gateway.database_url

    finished = subprocess.run(
        [sys.executable, "-m", "gateway", "db", "shell", "-At", "-c", "SELECT count(*) FROM model_routes"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(gateway),
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    assert int(finished.stdout) > 10


def test_failure_is_one_line_and_exit_code_1_as_a_program_too(gateway: Command):
    finished = subprocess.run(
        [sys.executable, "-m", "gateway", "accounts", "pause", "nobody"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(gateway),
    )

    assert finished.returncode == 1
    assert finished.stderr == "Error: there is no account nobody: `gateway accounts list` shows them\n"


def _environment(gateway: Command) -> dict[str, str]:
    import os  # noqa: PLC0415  # only here

    return {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": gateway.database_url}
