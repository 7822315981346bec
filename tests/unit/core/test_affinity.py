from datetime import UTC, datetime

import pytest

from gateway.core.affinity import (
    Binding,
    Pin,
    Reference,
    encrypted_id,
    holders_of,
    may_use,
    one_of_each_realm,
    pin_of,
    realm_of,
)
from gateway.core.errors import InvalidCall
from gateway.core.ids import AccountId, ProviderId
from gateway.core.snapshot import Account, AuthStrategy, Credential, Provider, Snapshot, build_snapshot

OPENAI = ProviderId("openai")


def account(id_: str, *, org: str | None = None, project: str | None = None) -> Account:
    return Account(
        id=AccountId(id_),
        provider_id=OPENAI,
        label=id_,
        credential=Credential(AuthStrategy.API_KEY, organization=org, project=project),
    )


def snapshot(*accounts: Account) -> Snapshot:
    provider = Provider(id=OPENAI, name="", kind="openai", base_url="https://a/v1", auth_strategy=AuthStrategy.API_KEY)
    return build_snapshot(version=1, providers=[provider], accounts=accounts, routes=[])


def binding(id_: str, account_id: str, *, owner: str | None = None, realm: str | None = None) -> Binding:
    return Binding(
        id=id_,
        kind="files",
        provider_id=OPENAI,
        account_id=AccountId(account_id),
        owner=owner,
        realm=realm,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


def named(id_: str, account_id: str, param: str | None = None) -> tuple[Reference, Binding]:
    return Reference(id_, "files", param), binding(id_, account_id)


ALONE = snapshot(account("a"), account("b"))
SIBLINGS = snapshot(
    account("a", org="org-1", project="proj_1"),
    account("b", org="org-1", project="proj_1"),
    account("c", org="org-1", project="proj_2"),
    account("d", org="org-1"),
    account("e"),
)


@pytest.mark.parametrize(
    ("one", "realm"),
    [
        pytest.param(account("a"), None, id="nothing-known"),
        pytest.param(account("a", org="org-1"), None, id="an-organisation-has-many-projects"),
        pytest.param(account("a", org="org-1", project="proj_1"), "openai:org-1:proj_1", id="both"),
        pytest.param(account("a", project="proj_1"), "openai::proj_1", id="project-alone"),
    ],
)
def test_a_realm_needs_a_known_project(one: Account, realm: str | None) -> None:
    assert realm_of(one) == realm


@pytest.mark.parametrize(
    ("account_id", "realm", "holders"),
    [
        pytest.param("a", None, ("a", "b"), id="siblings"),
        pytest.param("c", None, ("c",), id="other-project"),
        pytest.param("d", None, ("d",), id="unknown-project"),
        pytest.param("gone", None, (), id="gone"),
        pytest.param("gone", "openai:org-1:proj_1", ("a", "b"), id="gone-with-siblings"),
        pytest.param("gone", "openai:org-1:proj_9", (), id="gone-with-its-project"),
        pytest.param("c", "openai:org-1:proj_1", ("c",), id="what-the-account-is-now-counts"),
    ],
)
def test_holders_are_the_account_and_its_siblings(account_id: str, realm: str | None, holders: tuple[str]) -> None:
    assert holders_of(SIBLINGS, binding("file-1", account_id, realm=realm)) == holders


def test_nothing_is_asked_twice_of_one_project() -> None:
    assert one_of_each_realm(SIBLINGS, SIBLINGS.accounts.values()) == [("a", "b"), ("c",), ("d",), ("e",)]


@pytest.mark.parametrize(
    ("owner", "caller", "may"),
    [("ann", "ann", True), ("ann", "bob", False), ("ann", None, False), (None, "bob", True), (None, None, True)],
)
def test_objects_are_their_owners_or_everybodys(owner: str | None, caller: str | None, *, may: bool) -> None:
    assert may_use(binding("file-1", "a", owner=owner), caller) is may


def test_a_call_goes_to_the_account_that_has_all_it_names() -> None:
    assert pin_of(ALONE, [named("file-1", "a"), named("file-2", "a")]) == Pin(OPENAI, frozenset({AccountId("a")}))


def test_siblings_have_what_the_other_has() -> None:
    pin = pin_of(SIBLINGS, [named("file-1", "a"), named("file-2", "b")])

    assert pin == Pin(OPENAI, frozenset({AccountId("a"), AccountId("b")}))


def test_two_projects_are_named_both() -> None:
    with pytest.raises(InvalidCall) as refused:
        pin_of(ALONE, [named("file-1", "a", "input_file_id"), named("resp_2", "b", "previous_response_id")])

    error = refused.value
    assert (error.status, error.code, error.param) == (400, "mixed_account_references", "previous_response_id")
    for part in ("`file-1` (`input_file_id`)", "`resp_2` (`previous_response_id`)", "account"):
        assert part in error.message


def test_an_encrypted_text_is_never_shown() -> None:
    secret = encrypted_id("gAAAsecret")
    both = [
        named("file-1", "a"),
        (Reference(secret, "encrypted_content", "input[0].encrypted_content"), binding("x", "b")),
    ]

    with pytest.raises(InvalidCall, match="encrypted_content") as refused:
        pin_of(ALONE, both)

    assert secret not in refused.value.message


def test_what_nobody_has_any_more_is_pinned_to_nobody() -> None:
    assert pin_of(ALONE, [named("file-1", "gone")]) is None


def test_equal_texts_have_one_id_and_others_another() -> None:
    assert encrypted_id("a") == encrypted_id("a") != encrypted_id("b")
    assert encrypted_id("\ud800")
