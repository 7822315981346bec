"""Settings from all their places, and the words about wrong ones."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gateway.core.ids import Secret
from gateway.core.snapshot import ProviderSettings, SelectionStrategy
from gateway.settings import (
    AccountDeclaration,
    AuthMode,
    LogLevel,
    ProviderDeclaration,
    Settings,
    WorkerContext,
    WorkerOrder,
    read_order,
    write_order,
)
from gateway.settings_load import is_loopback, load_settings
from gateway.settings_sources import SECRET_NAMES, InvalidSettings


def written(folder: Path, text: str, name: str = "gateway.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def problem_of(environ: dict[str, str], folder: Path) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ, folder)
    return str(caught.value)


def test_nothing_set_gives_the_documented_defaults(tmp_path):
    settings = load_settings({}, tmp_path)

    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8080, None)
    assert settings.home == tmp_path / ".gateway"
    assert settings.auth is AuthMode.AUTO
    assert settings.database_url is None
    assert (settings.limits.max_json_bytes, settings.limits.max_body_bytes) == (32 * 2**20, 512 * 2**20)


def test_each_place_yields_to_the_one_above_it(tmp_path):
    written(tmp_path, "server: {host: file, port: 1, workers: 1, drain_s: 1}\n")
    written(tmp_path, "GATEWAY_SERVER__PORT=2\nGATEWAY_SERVER__WORKERS=2\nGATEWAY_SERVER__DRAIN_S=2\n", ".env")
    environ = {"GATEWAY_SERVER__WORKERS": "3", "GATEWAY_SERVER__DRAIN_S": "3", "GATEWAY_AUTH": "open"}

    server = load_settings(environ, tmp_path, {"server.drain_s": "4", "server.port": None}).server

    assert (server.host, server.port, server.workers, server.drain_s) == ("file", 2, 3, 4.0)


def test_layer_of_the_environment_is_laid_over_the_file(tmp_path):
    written(tmp_path, "log_level: info\nserver: {port: 1, workers: 1}\n")
    written(tmp_path, "server: {port: 2}\n", "gateway.prod.yaml")

    settings = load_settings({"GATEWAY_ENV": "prod"}, tmp_path)

    assert (settings.server.port, settings.server.workers, settings.env) == (2, 1, "prod")
    assert "no file gateway.prd.yaml; there are gateway.prod.yaml" in problem_of({"GATEWAY_ENV": "prd"}, tmp_path)
    assert load_settings({}, tmp_path).server.port == 1


def test_another_file_can_be_named(tmp_path):
    written(tmp_path, "server: {port: 7}\n", "other.yml")

    assert load_settings({"GATEWAY_CONFIG": "other.yml"}, tmp_path).server.port == 7
    assert "GATEWAY_CONFIG (environment): there is no file" in problem_of({"GATEWAY_CONFIG": "gone.yml"}, tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("GATEWAY_ADMIN_TOKEN=abc", "abc", id="plain"),
        pytest.param("export GATEWAY_ADMIN_TOKEN=abc", "abc", id="export"),
        pytest.param("GATEWAY_ADMIN_TOKEN = 'a b # c' # rest", "a b # c", id="quoted"),
        pytest.param('GATEWAY_ADMIN_TOKEN="a=b"', "a=b", id="equals-sign"),
        pytest.param("GATEWAY_ADMIN_TOKEN=a#b # rest", "a#b", id="comment-needs-a-space"),
        pytest.param("# GATEWAY_ADMIN_TOKEN=abc\n\n", None, id="comment"),
        pytest.param("GATEWAY_ADMIN_TOKEN=", None, id="empty-is-unset"),
    ],
)
def test_lines_of_dotenv(tmp_path, line, expected):
    written(tmp_path, f"{line}\nUNRELATED=x\n", ".env")

    assert load_settings({}, tmp_path).admin_token == (None if expected is None else Secret(expected))


def test_line_of_dotenv_that_is_no_assignment_is_named(tmp_path):
    written(tmp_path, "A=1\nnonsense\n", ".env")

    assert problem_of({}, tmp_path) == ".env:2: is not of the form NAME=value"


def test_references_in_the_file_are_taken_from_the_environment(tmp_path):
    written(tmp_path, "admin_token: ${TOKEN}\nserver: {port: '${PORT:-9000}'}\ndefault_provider: a$${b}\n")

    settings = load_settings({"TOKEN": "t0p"}, tmp_path)

    assert (settings.admin_token, settings.server.port) == (Secret("t0p"), 9000)
    assert settings.default_provider == "a${b}"
    assert problem_of({}, tmp_path) == "gateway.yaml:1: ${TOKEN} is not set in the environment"


def test_any_secret_may_be_given_as_a_file(tmp_path):
    (tmp_path / "secret").write_text("from-file\n")
    file = str(tmp_path / "secret")
    written(tmp_path, f"providers: {{x: {{base_url: 'http://x', accounts: [{{label: a, api_key_file: {file}}}]}}}}\n")
    names = ("GATEWAY_ADMIN_TOKEN_FILE", "GATEWAY_ENCRYPTION_KEYS_FILE", "OPENAI_API_KEY_FILE")

    settings = load_settings(dict.fromkeys(names, file), tmp_path)

    secret = Secret("from-file")
    assert (settings.admin_token, settings.encryption_keys, settings.openai.keys) == (secret, secret, (secret,))
    assert settings.providers["x"].accounts[0].api_key == secret


def test_database_url_may_be_given_as_a_file(tmp_path):
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")

    assert load_settings({"DATABASE_URL_FILE": f"{tmp_path}/url"}, tmp_path).database_url == Secret(
        "postgresql://u:p@h/d"
    )


def test_secret_given_twice_or_in_a_missing_file_is_named(tmp_path):
    gone = {"GATEWAY_ADMIN_TOKEN_FILE": "/nonexistent/token"}

    assert "GATEWAY_ADMIN_TOKEN_FILE (environment): the file /nonexistent/token" in problem_of(gone, tmp_path)
    assert "admin_token is set as well" in problem_of({**gone, "GATEWAY_ADMIN_TOKEN": "x"}, tmp_path)


def test_every_secret_of_the_settings_may_be_a_file():
    def secrets(struct: type[msgspec.Struct]) -> set[str]:
        return {field.name for field in msgspec.structs.fields(struct) if field.type in (Secret, Secret | None)}

    assert secrets(Settings) | secrets(AccountDeclaration) | secrets(ProviderDeclaration) == SECRET_NAMES


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("GATEWAY_SERVER__PORT", "abc", "must be a whole number of at least 0 and at most 65535", id="int"),
        pytest.param("GATEWAY_SERVER__PORT", "70000", "at most 65535, not '70000'", id="range"),
        pytest.param("GATEWAY_SERVER__WORKERS", "0", "must be a whole number of at least 1, not '0'", id="at-least"),
        pytest.param("GATEWAY_SERVER__DRAIN_S", "nan", "must be a number greater than 0", id="not-a-number"),
        pytest.param("GATEWAY_SERVER__DRAIN_S", "inf", "must be a number greater than 0", id="infinity"),
        pytest.param("GATEWAY_AUTH", "opne", "must be one of auto, keys, open, not 'opne'", id="choice"),
        pytest.param("GATEWAY_SERVER__HOTS", "x", "did you mean GATEWAY_SERVER__HOST?", id="unknown-in-section"),
        pytest.param("GATEWAY_LOG_LEVL", "x", "did you mean GATEWAY_LOG_LEVEL?", id="unknown"),
        pytest.param("GATEWAY_SERVER", "x", "must be a section with backlog, drain_s, host", id="section"),
        pytest.param("GATEWAY_PROVIDERS__OPENAI__STREAMING", "maybe", "must be true or false", id="bool"),
        pytest.param("GATEWAY_OPENAI__KEYS", "sk-x", "is not a known setting", id="hidden"),
        pytest.param("GATEWAY_ROUTES", "{broken", "must be a mapping", id="json"),
    ],
)
def test_wrong_variable_is_named_with_what_is_allowed(tmp_path, name, text, expected):
    problem = problem_of({name: text}, tmp_path)

    assert problem.startswith(f"{name} (environment): ")
    assert expected in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("server:\n  port: x\n", "gateway.yaml:2: server.port must be a whole number", id="value"),
        pytest.param("serevr: {}\n", "gateway.yaml:1: serevr is not a known setting; did you mean server?", id="name"),
        pytest.param("a: [\n", "gateway.yaml:2: is not YAML", id="syntax"),
        pytest.param("auth: open\nauth: keys\n", "gateway.yaml:2: auth stands here a second time", id="twice"),
        pytest.param("- a\n", "gateway.yaml:1: must be a mapping of settings", id="list"),
        pytest.param("? [a]\n: b\n", "gateway.yaml:1: a key must be text", id="odd-key"),
        pytest.param("openai: {keys: [sk-1]}\n", "gateway.yaml:1: openai is not a known setting of the file", id="env"),
        pytest.param("providers: {x: {accounts: [{labl: a}]}}\n", "mean providers.x.accounts[0].label?", id="nested"),
        pytest.param("routes: {a: {}}\n", "gateway.yaml:1: routes.a needs provider", id="route"),
        pytest.param("providers: [x]\n", "providers must be a mapping of names to values", id="not-a-mapping"),
        pytest.param("providers: {x: {accounts: 3}}\n", "providers.x.accounts must be a list", id="not-a-list"),
        pytest.param("home: [x]\n", "home must be a path", id="not-a-scalar"),
        pytest.param("providers: {x: {base_url: 'ftp://x'}}\n", "providers.x.base_url must begin with http", id="url"),
        pytest.param("providers: {x: {proxy: 'socks5://x'}}\n", "providers.x.proxy must begin with http", id="proxy"),
        pytest.param("waiting: {default_s: 10, max_s: 5}\n", "waiting.default_s must not exceed", id="together"),
    ],
)
def test_wrong_line_of_the_file_is_named(tmp_path, text, expected):
    assert expected in problem_of({}, written(tmp_path, text))


def test_all_problems_come_at_once(tmp_path):
    written(tmp_path, "server: {port: x}\nlog_level: loud\n")

    assert len(problem_of({"GATEWAY_AUTH": "x"}, tmp_path).splitlines()) == 3


def test_values_of_secrets_are_never_shown(tmp_path):
    written(tmp_path, "admin_token: [hidden1]\nserver: {port: '${P}', drain_s: " + "sk-" + "h" * 40 + "}\n")

    problem = problem_of({"P": "hidden2", "DATABASE_URL": "hidden3"}, tmp_path)

    assert "hidden" not in problem
    assert "hhhh" not in problem
    assert "hidden" not in repr(load_settings({"GATEWAY_ADMIN_TOKEN": "hidden"}, tmp_path / "elsewhere"))


def test_database_url_of_another_kind_is_refused_without_its_text(tmp_path):
    problem = problem_of({"DATABASE_URL": "mysql://u:hidden@h/d"}, tmp_path)

    assert problem.startswith("DATABASE_URL (environment): database_url must read postgresql://")
    assert "hidden" not in problem


def test_proxy_is_a_secret_that_may_come_from_a_variable_or_a_file(tmp_path):
    (tmp_path / "proxy").write_text("http://me:hidden@proxy:3128\n")
    environ = {"GATEWAY_PROVIDERS__A__PROXY_FILE": f"{tmp_path}/proxy", "GATEWAY_PROVIDERS__A__HTTP2": "on"}

    settings = load_settings(environ, tmp_path)

    assert settings.providers["a"] == ProviderDeclaration(proxy=Secret("http://me:hidden@proxy:3128"), http2=True)
    assert "hidden" not in repr(settings)
    assert "hidden" not in problem_of({"GATEWAY_PROVIDERS__A__PROXY": "me:hidden@proxy"}, tmp_path)


def test_other_addresses_than_loopback_need_an_admin_token(tmp_path):
    environ = {"GATEWAY_SERVER__HOST": "0.0.0.0"}  # noqa: S104  # what is refused here

    assert "GATEWAY_SERVER__HOST (environment): listening on 0.0.0.0" in problem_of(environ, tmp_path)
    assert "needs GATEWAY_ADMIN_TOKEN" in problem_of(environ, tmp_path)
    assert load_settings({**environ, "GATEWAY_ADMIN_TOKEN": "t"}, tmp_path).auth is AuthMode.AUTO
    assert load_settings({**environ, "GATEWAY_AUTH": "open"}, tmp_path).auth is AuthMode.OPEN


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],  # noqa: S104  # read, not bound
)
def test_loopback_hosts(host, expected):
    assert is_loopback(host) is expected


def test_variables_of_the_openai_sdk_give_accounts(tmp_path):
    environ = {
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_API_KEYS": "sk-2, sk-1,\nsk-3",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
        "OPENAI_BASE_URL": "https://example.com/v1",
    }

    openai = load_settings(environ, tmp_path).openai

    assert [key.reveal() for key in openai.keys] == ["sk-1", "sk-2", "sk-3"]
    assert (openai.organization, openai.project, openai.base_url) == ("org-1", "proj-1", "https://example.com/v1")


def test_base_url_that_leads_back_to_the_gateway_is_refused(tmp_path):
    environ = {"OPENAI_BASE_URL": "http://localhost:8080/v1"}

    assert load_settings(environ, tmp_path).openai.keys == ()  # an SDK's own setting, nothing of ours
    assert "OPENAI_BASE_URL (environment): leads to this gateway" in problem_of(
        {**environ, "OPENAI_API_KEY": "k"}, tmp_path
    )


def test_provider_settings_from_variables_find_the_declared_id(tmp_path):
    written(tmp_path, "providers: {My-Provider: {base_url: 'http://x', strategy: round_robin}}\n")
    environ = {"GATEWAY_PROVIDERS__MY_PROVIDER__TIMEOUT_S": "30", "GATEWAY_PROVIDERS__OPENAI__TIMEOUT_S": "20"}

    providers = load_settings(environ, tmp_path).providers

    assert providers["My-Provider"].timeout_s == 30.0
    assert providers["My-Provider"].strategy is SelectionStrategy.ROUND_ROBIN
    assert providers["openai"].timeout_s == 20.0


def test_every_provider_setting_may_be_declared():
    names = {field.name for field in msgspec.structs.fields(ProviderSettings)}

    assert names <= {field.name for field in msgspec.structs.fields(ProviderDeclaration)}


def test_routes_in_both_spellings(tmp_path):
    written(tmp_path, 'routes: {"gpt-*": openai, b: {provider: x, fallbacks: [c]}}\n')

    routes = load_settings({}, tmp_path).routes

    assert routes["gpt-*"].provider == "openai"
    assert (routes["b"].provider, routes["b"].fallbacks) == ("x", ["c"])
    assert load_settings({"GATEWAY_ROUTES": '{"gpt-*": "z"}'}, tmp_path).routes["gpt-*"].provider == "z"


def test_lists_in_variables_are_json_or_comma_separated(tmp_path):
    for text in ("https://a, https://b", '["https://a", "https://b"]'):
        assert load_settings({"GATEWAY_CORS_ORIGINS": text}, tmp_path).cors_origins == ["https://a", "https://b"]


@pytest.mark.parametrize(("text", "expected"), [("5 MiB", 5 * 2**20), ("1.5kb", 1500), ("2GB", 2 * 10**9), ("77", 77)])
def test_sizes_have_units(tmp_path, text, expected):
    assert load_settings({"GATEWAY_LIMITS__MAX_BODY_BYTES": text}, tmp_path).limits.max_body_bytes == expected


def test_text_that_yaml_reads_as_another_type_stays_text(tmp_path):
    written(tmp_path, "admin_token: 0123\ndefault_provider: 2026-01-01\nlog_level: debug\n")

    settings = load_settings({}, tmp_path)

    assert (settings.admin_token, settings.default_provider) == (Secret("0123"), "2026-01-01")
    assert settings.log_level is LogLevel.DEBUG


def test_null_in_the_file_means_the_default(tmp_path):
    written(tmp_path, "server:\n  port:\nadmin_token: ~\n")

    settings = load_settings({"GATEWAY_ADMIN_TOKEN": ""}, tmp_path)

    assert (settings.server.port, settings.admin_token) == (8080, None)


def test_yaml_merges_and_free_values(tmp_path):
    written(
        tmp_path,
        """
providers:
  a: &a {base_url: "http://a", timeout_s: 5, accounts: [{label: x, metadata: {team: [1, true, null]}}]}
  b: {<<: *a, timeout_s: 6}
""",
    )

    providers = load_settings({}, tmp_path).providers

    assert (providers["b"].base_url, providers["b"].timeout_s) == ("http://a", 6.0)
    assert providers["a"].accounts[0].metadata == {"team": [1, True, None]}


def test_variables_that_kubernetes_makes_for_a_service_are_left_alone(tmp_path):
    environ = {
        "GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_HTTP": "8080",
        "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    }

    assert load_settings(environ, tmp_path) == load_settings({}, tmp_path)


def test_section_set_as_a_whole_and_in_part_is_refused(tmp_path):
    environ = {"GATEWAY_ROUTES": "{}", "GATEWAY_ROUTES__X": "y"}

    assert "is set as a whole by GATEWAY_ROUTES" in problem_of(environ, tmp_path)


def test_order_of_a_worker_survives_the_way_to_it():
    context = WorkerContext(
        index=1,
        count=2,
        dsn=Secret("postgresql://u:p@h/d"),
        listen_dsn=Secret("postgresql://u:p@h/d"),
        encryption_keys=Secret("k1:x"),
        metrics_dir=Path("/metrics"),
        address="http://127.0.0.1:8080",
        is_loopback=True,
        started_at=datetime(2026, 11, 21, tzinfo=UTC),
    )
    settings = Settings(admin_token=Secret("t"))
    order = WorkerOrder(settings=settings, context=context, app="a:b", listen_fds=(3,), ready_fd=4, parent_pid=1)

    assert read_order(write_order(order)) == order
    assert "u:p" not in repr(order)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{providers: {a: {preset: nobody}}}", "there is no preset of this name", id="unknown"),
        pytest.param("{providers: {a: {preset: azure}}}", "needs base_url", id="no-address-for-everybody"),
    ],
)
def test_a_preset_that_gives_no_provider_stops_the_start(tmp_path, text, says):
    written(tmp_path, text)

    assert says in problem_of({}, tmp_path)
