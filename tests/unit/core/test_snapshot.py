from gateway.core.ids import AccountId, KeyId, ModelName, ProviderId, Secret
from gateway.core.snapshot import (
    Account,
    AuthStrategy,
    ClientKey,
    Credential,
    Provider,
    Route,
    RowProblem,
    build_snapshot,
)

OPENAI = ProviderId("openai")


def provider(id_="openai"):
    return Provider(
        id=ProviderId(id_),
        name=id_,
        kind="openai",
        base_url="https://api.example.com/v1",
        auth_strategy=AuthStrategy.API_KEY,
    )


def account(id_, provider_id="openai", **fields):
    credential = Credential(AuthStrategy.API_KEY, Secret("sk-of-" + id_))
    return Account(id=AccountId(id_), provider_id=ProviderId(provider_id), label=id_, credential=credential, **fields)


def route(pattern, **fields):
    return Route(pattern=pattern, provider_id=OPENAI, **fields)


def built(**rows):
    return build_snapshot(**{"version": 3, "providers": [provider()], "accounts": [], "routes": [], **rows})


def test_accounts_are_kept_by_tier_then_in_the_order_of_their_making():
    snapshot = built(accounts=[account("late", tier=2), account("b"), account("a"), account("mid", tier=1)])

    assert [row.id for row in snapshot.accounts_of[OPENAI]] == ["b", "a", "mid", "late"]
    assert set(snapshot.accounts) == {"late", "b", "a", "mid"}


def test_accounts_of_providers_that_are_not_there_are_left_out():
    snapshot = built(accounts=[account("a"), account("lost", "gone")])

    assert set(snapshot.accounts) == {"a"}
    assert set(snapshot.accounts_of) == {OPENAI}


def test_provider_without_accounts_has_an_empty_row():
    assert built().accounts_of[OPENAI] == ()


def test_exact_routes_are_found_by_name_the_highest_priority_first():
    low, high, other = route("gpt-4"), route("gpt-4", priority=5), route("o3")

    snapshot = built(routes=[low, high, other])

    assert snapshot.exact_routes == {"gpt-4": (high, low), "o3": (other,)}
    assert snapshot.prefix_routes == ()


def test_prefix_routes_stand_longest_first_then_by_priority():
    short, long = route("gpt-*"), route("gpt-4o-*")
    urgent = route("o3-*", priority=1)
    equal = route("o4-*")

    snapshot = built(routes=[short, equal, urgent, long])

    assert snapshot.prefix_routes == (long, short, urgent, equal)


def test_keys_are_found_by_digest_and_problems_are_kept():
    key = ClientKey(id=KeyId("k"), name="app", owner="me", digest=b"d")
    problem = RowProblem("accounts", "a", "column `auth_data`: no api_key")

    snapshot = built(keys=[key], problems=[problem], default_provider=OPENAI)

    assert snapshot.keys == {b"d": key}
    assert snapshot.problems == (problem,)
    assert (snapshot.version, snapshot.default_provider) == (3, OPENAI)


def test_limits_are_held_by_the_group_of_that_provider_or_by_the_account_itself():
    assert account("a").holder == "a"
    assert account("a", quota_group="org-1").holder == "group:openai:org-1"
    assert account("a", "azure", quota_group="org-1").holder == "group:azure:org-1"


def test_no_print_of_a_snapshot_holds_a_credential():
    snapshot = built(accounts=[account("a")], routes=[route("x", fallbacks=(ModelName("y"),))])

    assert "sk-of-a" not in repr(snapshot)
