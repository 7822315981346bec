import base64
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from gateway.core.snapshot import AuthStrategy, Snapshot
from gateway.store.cipher import Cipher, parse_keys
from gateway.store.registry import Loaded, Tables, read_tables

CIPHER = Cipher(parse_keys("k1:" + base64.b64encode(b"1" * 32).decode()))
OTHER = Cipher(parse_keys("k9:" + base64.b64encode(b"9" * 32).decode()))
KINDS = frozenset({"openai", "openai_compatible"})
CREDENTIAL = "sk-proj-hunter2hunter2"


def provider(**changes: Any) -> dict[str, Any]:
    row = {
        "id": "openai",
        "name": "OpenAI",
        "base_url": "https://api.openai.com",
        "auth_type": "api_key",
        "auth_strategy": "api_key",
        "kind": "openai",
        "supported_models": [],
        "settings": {},
        "is_active": True,
        "managed_by": None,
    }
    return {**row, **changes}


def account(number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "id": UUID(int=number),
        "provider_id": "openai",
        "label": f"Account {number}",
        "auth_data": {"api_key": f"{CREDENTIAL}{number}"},
        "credential_digest": None,
        "quota_group": None,
        "tier": 0,
        "weight": 1.0,
        "max_concurrency": None,
        "rpm_limit": None,
        "tpm_limit": None,
        "supported_models": None,
        "is_active": True,
    }
    return {**row, **changes}


def route(**changes: Any) -> dict[str, Any]:
    row = {
        "id": UUID(int=7),
        "pattern": "gpt-*",
        "provider_id": "openai",
        "upstream_model": None,
        "fallbacks": [],
        "priority": 0,
        "is_active": True,
    }
    return {**row, **changes}


def key(**changes: Any) -> dict[str, Any]:
    row = {
        "id": UUID(int=9),
        "name": "app",
        "owner": "",
        "digest": CIPHER.digest("gw-1"),
        "models": [],
        "expires_at": None,
        "is_active": True,
        "revoked_at": None,
    }
    return {**row, **changes}


def load(*, providers: Any = None, accounts: Any = (), routes: Any = (), keys: Any = ()) -> Loaded:
    tables = Tables(providers or [provider()], accounts, routes, keys)
    return read_tables(tables, version=3, cipher=CIPHER, kinds=KINDS)


def labels(snapshot: Snapshot) -> list[str]:
    return [one.label for one in snapshot.accounts.values()]


def test_rows_as_the_contract_shows_them_become_a_snapshot() -> None:
    loaded = load(
        providers=[provider(supported_models=["GPT-4", "gpt-3.5-turbo"])],
        accounts=[account()],
        routes=[route(pattern=" GPT-4* ", fallbacks=["gpt-4o-mini"])],
        keys=[key(models=["GPT-*"])],
    )

    snapshot = loaded.snapshot
    assert snapshot.version == 3
    assert snapshot.problems == ()
    assert snapshot.providers["openai"].base_url == "https://api.openai.com/v1"
    assert snapshot.providers["openai"].supported_models == ("gpt-4", "gpt-3.5-turbo")
    (only,) = snapshot.accounts_of["openai"]
    assert only.id == str(UUID(int=1))
    assert only.credential.strategy is AuthStrategy.API_KEY
    assert only.credential.secret.reveal() == CREDENTIAL + "1"
    assert snapshot.prefix_routes[0].pattern == "gpt-4*"
    assert snapshot.keys[CIPHER.digest("gw-1")].owner == str(UUID(int=9))
    assert snapshot.keys[CIPHER.digest("gw-1")].models == ("gpt-*",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"id": "two words"}, "id must", id="id"),
        pytest.param({"id": ""}, "id must", id="empty-id"),
        pytest.param({"kind": "carrier-pigeon"}, "kind is not known", id="kind"),
        pytest.param({"base_url": "api.openai.com"}, "base_url must", id="url-without-scheme"),
        pytest.param({"base_url": "https://me:hunter2@x.example"}, "base_url must", id="url-with-password"),
        pytest.param({"base_url": ""}, "base_url must", id="empty-url"),
        pytest.param({"auth_strategy": "magic"}, "auth_strategy is not known", id="strategy"),
        pytest.param({"supported_models": "gpt-4"}, "supported_models must be a list", id="models-text"),
        pytest.param({"supported_models": [1]}, "supported_models must be a list", id="models-numbers"),
        pytest.param({"supported_models": [" "]}, "supported_models must be a list", id="models-blank"),
        pytest.param({"supported_models": None}, "supported_models must be a list", id="models-json-null"),
        pytest.param({"settings": []}, "settings cannot be read", id="settings-list"),
        pytest.param({"settings": {"timeout": 5}}, "unknown field `timeout`", id="unknown-setting"),
        pytest.param({"settings": {"timeout_s": "5"}}, r"\$\.timeout_s", id="setting-of-another-type"),
        pytest.param({"settings": {"timeout_s": 0}}, "settings.timeout_s must", id="no-time"),
        pytest.param({"settings": {"stall_timeout_s": -1}}, "settings.stall_timeout_s must", id="negative-time"),
        pytest.param({"settings": {"keep_alive_s": -1}}, "keep_alive_s", id="negative-keep-alive"),
        pytest.param({"settings": {"strategy": "best"}}, r"\$\.strategy", id="selection-strategy"),
        pytest.param({"settings": {"auth_header": "a b"}}, "settings.auth_header", id="auth-header"),
        pytest.param({"settings": {"headers": {"x": "hunter2\n"}}}, "settings.headers", id="header-value"),
        pytest.param({"settings": {"headers": {"host": "a"}}}, "settings.headers", id="reserved-header"),
        pytest.param({"settings": {"proxy": "me:hunter2@proxy:3128"}}, "settings.proxy must begin", id="proxy"),
        pytest.param({"settings": {"proxy": ["hunter2"]}}, r"\$\.proxy", id="proxy-of-another-type"),
        pytest.param({"settings": {"api_version": "2024&x=1"}}, "settings.api_version must", id="api-version"),
        pytest.param({"settings": {"deployments": {"gpt-4o": " "}}}, "settings.deployments must", id="deployment"),
        pytest.param({"settings": {"limit_headers": {"rpm": "x"}}}, "limit_headers has an unknown", id="limit-key"),
        pytest.param({"settings": {"limit_headers": {"tokens_limit": "é"}}}, "limit_headers holds", id="limit-header"),
    ],
)
def test_a_bad_provider_is_reported_and_the_others_serve(changes: dict[str, Any], says: str) -> None:
    bad = provider(**{"id": "bad", **changes})
    hangs_on_it = account(2, provider_id=bad["id"])

    loaded = load(providers=[bad, provider()], accounts=[hangs_on_it, account(1)])

    assert set(loaded.snapshot.providers) == {"openai"}
    assert labels(loaded.snapshot) == ["Account 1"]
    (problem,) = loaded.snapshot.problems
    assert (problem.table, problem.id, problem.is_skipped) == ("providers", bad["id"], True)
    assert re.search(says, problem.message)
    assert "hunter2" not in problem.message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"auth_data": {"apikey": "hunter2"}}, "auth_data.api_key is missing", id="field"),
        pytest.param({"auth_data": {}}, "auth_data.api_key is missing", id="empty"),
        pytest.param({"auth_data": "hunter2"}, "auth_data must be an object", id="text"),
        pytest.param({"auth_data": ["hunter2"]}, "auth_data must be an object", id="list"),
        pytest.param({"auth_data": None}, "auth_data must be an object", id="json-null"),
        pytest.param({"auth_data": {"api_key": "hunter2\n"}}, "auth_data.api_key has", id="line-end"),
        pytest.param({"auth_data": {"$enc": 1, "kid": "k1"}}, "cannot be opened", id="damaged-envelope"),
        pytest.param({"auth_data": OTHER.seal({"api_key": "x"}, str(UUID(int=2)))}, "'k9'", id="unknown-key"),
        pytest.param({"auth_data": CIPHER.seal({"api_key": "x"}, str(UUID(int=3)))}, "another row", id="moved"),
        pytest.param({"weight": 0.0}, "weight must", id="no-weight"),
        pytest.param({"weight": -1.0}, "weight must", id="negative-weight"),
        pytest.param({"weight": float("nan")}, "weight must", id="weight-nan"),
        pytest.param({"weight": float("inf")}, "weight must", id="weight-infinite"),
        pytest.param({"max_concurrency": 0}, "max_concurrency must", id="no-concurrency"),
        pytest.param({"rpm_limit": -5}, "rpm_limit must", id="negative-rpm"),
        pytest.param({"tpm_limit": 0}, "tpm_limit must", id="no-tpm"),
        pytest.param({"supported_models": {"gpt-4": True}}, "supported_models must", id="models-object"),
    ],
)
def test_a_bad_account_is_reported_and_the_others_serve(changes: dict[str, Any], says: str) -> None:
    loaded = load(accounts=[account(2, **changes), account(1)])

    assert labels(loaded.snapshot) == ["Account 1"]
    (problem,) = loaded.snapshot.problems
    assert (problem.table, problem.id, problem.is_skipped) == ("accounts", str(UUID(int=2)), True)
    assert says in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"pattern": " "}, "pattern must", id="blank"),
        pytest.param({"pattern": "*-gpt"}, "pattern must", id="star-in-front"),
        pytest.param({"pattern": "gpt-**"}, "pattern must", id="two-stars"),
        pytest.param({"provider_id": ""}, "provider_id must", id="no-provider"),
        pytest.param({"fallbacks": "gpt-4"}, "fallbacks must", id="fallbacks-text"),
        pytest.param({"upstream_model": " "}, "upstream_model must", id="blank-upstream-model"),
    ],
)
def test_a_bad_route_is_reported_and_the_others_serve(changes: dict[str, Any], says: str) -> None:
    loaded = load(routes=[route(**changes), route(pattern="o1")])

    assert list(loaded.snapshot.exact_routes) == ["o1"]
    assert loaded.snapshot.prefix_routes == ()
    (problem,) = loaded.snapshot.problems
    assert problem.table == "model_routes"
    assert says in problem.message


def test_a_bad_key_is_reported_and_a_revoked_one_is_not() -> None:
    loaded = load(
        keys=[
            key(digest=OTHER.digest("gw-2")),
            key(models="gpt-4"),
            key(revoked_at=datetime(2026, 1, 1, tzinfo=UTC)),
            key(is_active=False),
        ]
    )

    assert loaded.snapshot.keys == {}
    assert [problem.message.split()[0] for problem in loaded.snapshot.problems] == ["digest", "models"]


def test_what_looks_wrong_but_works_is_reported_and_serves() -> None:
    loaded = load(
        providers=[provider(auth_type="oauth")],
        accounts=[account(1, tier=-1), account(2, auth_data={"api_key": CREDENTIAL + "1"})],
    )

    assert labels(loaded.snapshot) == ["Account 1", "Account 2"]
    assert [(problem.table, problem.is_skipped) for problem in loaded.snapshot.problems] == [
        ("providers", False),
        ("accounts", False),
        ("accounts", False),
    ]
    assert "auth_type" in loaded.snapshot.problems[0].message
    assert "negative" in loaded.snapshot.problems[1].message
    assert "same credential" in loaded.snapshot.problems[2].message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"base_url": "https://r.openai.azure.com"}, "kind is openai, but base_url is", id="azures-host"),
        pytest.param({"settings": {"api_version": "2024-10-21"}}, "settings.api_version means nothing", id="version"),
    ],
)
def test_a_kind_that_does_not_fit_is_reported_and_serves(changes: dict[str, Any], says: str) -> None:
    (problem,) = load(providers=[provider(**changes)]).snapshot.problems

    assert says in problem.message
    assert not problem.is_skipped


def test_models_of_deployments_are_known_in_any_case() -> None:
    loaded = load(providers=[provider(settings={"deployments": {" GPT-4o ": "Prod"}})])

    assert loaded.snapshot.providers["openai"].settings.deployments == {"gpt-4o": "Prod"}


def test_an_exact_base_url_holds_for_accounts_as_well() -> None:
    own = {"api_key": CREDENTIAL, "base_url": "https://second.example/inference"}
    row = provider(base_url="https://first.example/inference", settings={"exact_base_url": True})

    snapshot = load(providers=[row], accounts=[account(1, auth_data=own)]).snapshot

    (only,) = snapshot.accounts_of["openai"]
    assert snapshot.providers["openai"].base_url == "https://first.example/inference"
    assert only.credential.base_url == "https://second.example/inference"


def test_one_key_at_two_addresses_is_two_credentials() -> None:
    twice = {"api_key": CREDENTIAL, "base_url": "https://second.example"}

    loaded = load(accounts=[account(1, auth_data={"api_key": CREDENTIAL}), account(2, auth_data=twice)])

    assert loaded.snapshot.problems == ()


def test_inactive_rows_are_as_if_they_were_not_there_but_their_secrets_are_sealed() -> None:
    loaded = load(
        providers=[provider(), provider(id="resting", base_url="rubbish", is_active=False)],
        accounts=[account(1, is_active=False), account(2, provider_id="resting"), account(3, weight=0.0)],
        routes=[route(is_active=False, pattern="")],
    )

    assert loaded.snapshot.accounts == {}
    assert [problem.id for problem in loaded.snapshot.problems] == [str(UUID(int=3))]
    assert [row.id for row in loaded.plain] == [str(UUID(int=number)) for number in (1, 2, 3)]


def test_an_account_under_a_provider_that_is_no_longer_declared_says_why_it_rests() -> None:
    retired = provider(is_active=False, managed_by="env:retired")
    paused = provider(id="paused", is_active=False)

    loaded = load(providers=[retired, paused], accounts=[account(1), account(2, provider_id="paused")])

    (problem,) = loaded.snapshot.problems
    assert (problem.table, problem.id) == ("accounts", str(UUID(int=1)))
    assert "no longer declared" in problem.message


def test_only_plain_rows_are_sealed_and_rows_of_older_keys_wait_for_a_start() -> None:
    both = Cipher(
        parse_keys("k1:" + base64.b64encode(b"1" * 32).decode() + ",k9:" + base64.b64encode(b"9" * 32).decode())
    )
    secret = {"api_key": "sk-2"}
    sealed = both.seal({"api_key": "sk-1"}, str(UUID(int=1)))
    rows = [
        account(1, auth_data=sealed, credential_digest=both.digest("sk-1\n\n")),
        account(2, auth_data=OTHER.seal(secret, str(UUID(int=2)))),
        account(3, auth_data={}),
        account(4),
    ]

    loaded = read_tables(Tables([provider()], rows, [], []), version=1, cipher=both, kinds=KINDS)

    assert [row.id for row in loaded.plain] == [str(UUID(int=4))]
    assert [(row.id, row.auth_data) for row in loaded.stale] == [(str(UUID(int=2)), secret)]
    assert "hunter2" not in repr(loaded)


def test_processes_know_a_credential_by_its_mark_however_the_row_holds_it() -> None:
    sealed = CIPHER.seal({"api_key": "sk-1"}, str(UUID(int=2)))
    rows = [
        account(1, auth_data={"api_key": "sk-1"}),
        account(2, auth_data=sealed),
        account(3, auth_data={"api_key": "sk-3"}),
    ]

    marks = [found.credential_mark for found in load(accounts=rows).snapshot.accounts.values()]

    assert marks[0] is not None
    assert marks[0] == marks[1] != marks[2]
    assert "sk-" not in marks[0]


def test_a_default_provider_that_is_not_there_is_reported() -> None:
    loaded = read_tables(
        Tables([provider()], [], [], []), version=1, cipher=CIPHER, kinds=KINDS, default_provider="anthropic"
    )

    assert loaded.snapshot.default_provider == "anthropic"
    assert [problem.id for problem in loaded.snapshot.problems] == ["anthropic"]
