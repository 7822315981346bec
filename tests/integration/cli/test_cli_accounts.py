import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.cli.conftest import Command

KEY = "sk-proj-0123456789abcdefgh"
OTHER = "sk-proj-9876543210zyxwvuts"


@pytest.fixture
def accounts(gateway: Command) -> Command:
    gateway("providers", "add", "openai", "--base-url", "https://api.openai.com")
    return gateway


def park(
    accounts: Command, holder: str, *, reason: str = "rate_limited", is_rejected: bool = False, what: str = ""
) -> datetime:
    now = datetime.now(UTC)
    until_at = now + timedelta(minutes=10)
    accounts.rows(
        "INSERT INTO cooldowns (scope_kind, holder, what, reason, since_at, until_at, probe_at, is_rejected) "
        "VALUES ($6, $1, $7, $2, $3, $4, $4, $5)",
        holder,
        reason,
        now,
        until_at,
        is_rejected,
        "holder_model" if what else "account",
        what,
    )
    return until_at


def test_key_from_stdin_is_sealed_and_never_printed(accounts: Command):
    added = accounts.json("accounts", "add", "--provider", "openai", "--api-key", "-", stdin=f"{KEY}\n")
    accounts("accounts", "list")
    accounts("accounts", "list", "--json")

    [row] = accounts.rows("SELECT id::text, auth_data::text AS sealed, auth_data FROM accounts")
    assert KEY not in row["sealed"]
    assert added["label"] == "account 1"
    assert added["auth_data"] == {"api_key": "sk-…efgh"}
    assert KEY not in accounts.said
    [audit] = accounts.rows("SELECT actor, changes::text FROM audit_log WHERE table_name = 'accounts'")
    assert audit["actor"] == "cli"
    assert KEY not in audit["changes"]


def test_key_is_asked_for_when_none_is_given(accounts: Command):
    result = accounts("accounts", "add", "--provider", "openai", "--label", "mine", stdin=f"{KEY}\n")

    assert "API key" in result.stderr
    assert KEY not in result.output
    assert [row["label"] for row in accounts.json("accounts", "list")] == ["mine"]


def test_credential_added_twice_is_refused_in_one_line(accounts: Command):
    accounts("accounts", "add", "--provider", "openai", "--api-key", KEY)

    result = accounts("accounts", "add", "--provider", "openai", "--api-key", KEY, code=1)

    assert re.fullmatch(r"Error: Account \S+ \(account 1\) has this credential already\.\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--provider", "nobody", "--api-key", KEY), "There is no provider nobody"),
        (("--provider", "openai", "--api-key", "sk-admin-secretsecret"), "admin key"),
        (("--provider", "openai", "--api-key", KEY, "--weight", "-1"), "weight must be greater than 0"),
        (("--provider", "openai", "--api-key", "-"), "auth_data.api_key is missing"),
    ],
)
def test_bad_account_is_refused_in_one_line(accounts: Command, arguments: tuple[str, ...], said: str):
    result = accounts("accounts", "add", *arguments, code=1)

    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secretsecret" not in result.output
    assert accounts.json("accounts", "list") == []


def test_wrong_usage_has_exit_code_2(accounts: Command):
    result = accounts("accounts", "add", "--tier", "first", "--provider", "openai", code=2)

    assert "--tier" in result.stderr


def test_unusual_key_is_added_with_a_warning(accounts: Command):
    result = accounts("accounts", "add", "--provider", "openai", "--api-key", "0123456789abcdef")

    assert "Warning: auth_data.api_key does not begin with sk-" in result.stderr


def test_import_answers_for_each_line(accounts: Command):
    text = f"{KEY}\n# comment\n{KEY}\n{OTHER}\n"

    done = accounts.json("accounts", "import", "--provider", "openai", stdin=text)
    again = accounts("accounts", "import", "--provider", "openai", "-", stdin=f"{OTHER}\nsk-admin-1\n", code=1)

    assert [(key["line"], key["result"]) for key in done] == [(1, "created"), (3, "duplicate"), (4, "created")]
    assert "duplicate" in again.stdout
    assert "invalid" in again.stdout
    assert OTHER not in accounts.said


def test_account_is_found_by_label_by_provider_and_label_and_by_id(accounts: Command):
    account = accounts.json("accounts", "add", "--provider", "openai", "--label", "mine", "--api-key", KEY)

    for name in ("mine", "openai/mine", account["id"]):
        accounts("accounts", "pause", name)
        assert accounts.json("accounts", "list")[0]["state"] == "inactive"
        accounts("accounts", "resume", name)
        assert accounts.json("accounts", "list")[0]["state"] == "ready"


def test_label_of_two_providers_must_be_made_clear(accounts: Command):
    accounts("providers", "add", "other", "--base-url", "https://other.example")
    for provider in ("openai", "other"):
        accounts("accounts", "add", "--provider", provider, "--label", "mine", "--api-key", KEY)

    result = accounts("accounts", "pause", "mine", code=1)

    assert "say which of openai/mine, other/mine" in result.stderr


def test_unknown_account_is_said(accounts: Command):
    assert "there is no account nobody" in accounts("accounts", "pause", "nobody", code=1).stderr


def test_list_shows_what_rests_and_why(accounts: Command):
    account = accounts.json("accounts", "add", "--provider", "openai", "--api-key", KEY)
    park(accounts, account["id"])

    [shown] = accounts.json("accounts", "list")
    table = accounts("accounts", "list").stdout

    assert (shown["state"], shown["reason"], shown["until"]) == ("cooling", "rate_limited", "10 min")
    assert "cooling" in table


def test_list_says_which_models_rest_on_an_account_that_is_ready_for_others(accounts: Command):
    add = ("accounts", "add", "--provider", "openai", "--quota-group", "g", "--api-key")
    account = accounts.json(*add, KEY)
    until_at = park(accounts, "group:openai:g", what="gpt-4")
    accounts("accounts", "add", "--provider", "openai", "--api-key", OTHER)

    resting, other = accounts.json("accounts", "list")
    lines = accounts("accounts", "list").stdout.splitlines()

    assert (account["rests"], other["rests"]) == ([], [])
    assert (resting["state"], resting["reason"]) == ("ready", None)
    assert [(rest["scope"], rest["reason"], rest["strikes"]) for rest in resting["rests"]] == [
        ("gpt-4", "rate_limited", 1)
    ]
    assert datetime.fromisoformat(resting["rests"][0]["until_at"]) == until_at
    assert re.search(r"  ready \(gpt-4: rate_limited until [\d: -]*\d\d:\d\d:\d\dZ\)  ", lines[1])
    assert "  ready  " in lines[2]


def test_list_names_a_few_of_many_resting_models_and_counts_the_others(accounts: Command):
    account = accounts.json("accounts", "add", "--provider", "openai", "--api-key", KEY)
    for number in range(5):
        park(accounts, account["id"], what=f"model-{number}")

    assert "model-2: rate_limited" in accounts("accounts", "list").stdout
    assert "; 2 more)" in accounts("accounts", "list").stdout
    assert len(accounts.json("accounts", "list")[0]["rests"]) == 5


def test_clear_cooldown_ends_the_rests_of_the_account_and_its_group_alone(accounts: Command):
    add = ("accounts", "add", "--provider", "openai")
    mine = accounts.json(*add, "--label", "mine", "--quota-group", "g", "--api-key", KEY)
    accounts(*add, "--label", "other", "--api-key", OTHER)
    park(accounts, mine["id"], is_rejected=True)
    park(accounts, "group:openai:g")
    park(accounts, "somebody-else")

    result = accounts("accounts", "clear-cooldown", "mine")

    assert "2 rests ended" in result.stderr
    assert accounts.rows("SELECT holder FROM cooldowns") == [{"holder": "somebody-else"}]


def test_resuming_lifts_a_rejection(accounts: Command):
    account = accounts.json("accounts", "add", "--provider", "openai", "--label", "mine", "--api-key", KEY)
    park(accounts, account["id"], reason="credential_rejected", is_rejected=True)

    assert accounts.json("accounts", "list")[0]["state"] == "rejected"
    accounts("accounts", "resume", "mine")

    assert accounts.json("accounts", "list")[0]["state"] == "ready"


def test_removing_asks_unless_told_not_to(accounts: Command):
    accounts("accounts", "add", "--provider", "openai", "--label", "mine", "--api-key", KEY)

    accounts("accounts", "remove", "mine", stdin="n\n", code=1)
    assert len(accounts.json("accounts", "list")) == 1

    accounts("accounts", "remove", "mine", "--yes")
    assert accounts.json("accounts", "list") == []
