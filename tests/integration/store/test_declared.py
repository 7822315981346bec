import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.ids import ProviderId
from gateway.store.cipher import Cipher, new_key, parse_keys
from gateway.store.declarations import Declarations, DeclaredAccount, DeclaredProvider, DeclaredRoute, Reconciled
from gateway.store.declared import reconcile
from gateway.store.registry import load_snapshot

NOTHING = Declarations()
OPENAI = ProviderId("openai")


def keys(*texts: str, **changes: Any) -> Declarations:
    """As OPENAI_API_KEYS gives it."""
    accounts = tuple(DeclaredAccount(auth_data={"api_key": text}) for text in texts)
    provider = DeclaredProvider(id=OPENAI, name="OpenAI", base_url="https://api.openai.com", accounts=accounts)
    return Declarations(providers=(msgspec.structs.replace(provider, **changes),))


async def start(
    engine: AsyncEngine, cipher: Cipher, *, file: Declarations = NOTHING, env: Declarations = NOTHING
) -> Reconciled:
    async with engine.begin() as connection:
        return await reconcile(connection, cipher, file=file, env=env)


async def rows(connection: AsyncConnection, table: str = "accounts") -> list[dict[str, Any]]:
    statements = {
        "accounts": "SELECT * FROM accounts ORDER BY created_at",
        "providers": "SELECT * FROM providers ORDER BY id",
        "model_routes": "SELECT * FROM model_routes WHERE managed_by IS DISTINCT FROM 'seed' ORDER BY pattern",
    }
    return [dict(row) for row in (await connection.execute(text(statements[table]))).mappings()]


async def serving(engine: AsyncEngine, cipher: Cipher) -> list[str]:
    """The keys that are in use."""
    async with engine.connect() as connection:
        loaded = await load_snapshot(connection, version=1, cipher=cipher, kinds=frozenset({"openai"}))
    return [account.credential.secret.reveal() for account in loaded.snapshot.accounts.values()]


async def test_keys_of_the_environment_are_accounts_at_once_and_sealed(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    done = await start(engine, cipher, env=keys("sk-proj-aaaa-1111", "sk-proj-bbbb-2222"))

    assert done == Reconciled(added=3)
    assert await serving(engine, cipher) == ["sk-proj-aaaa-1111", "sk-proj-bbbb-2222"]
    found = await rows(connection)
    assert [row["managed_by"] for row in found] == ["env", "env"]
    assert "aaaa" not in str(found)
    assert [row["credential_digest"] for row in found] == [
        cipher.digest(key + "\n\n") for key in ("sk-proj-aaaa-1111", "sk-proj-bbbb-2222")
    ]
    assert found[0]["label"].startswith("env sk-…1111 ")


async def test_a_second_start_changes_nothing_whatever_the_order(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, env=keys("sk-proj-aaaa-1111", "sk-proj-bbbb-2222"))
    before = await rows(connection)

    done = await start(engine, cipher, env=keys("sk-proj-bbbb-2222", "sk-proj-aaaa-1111"))

    assert done == Reconciled()
    assert await rows(connection) == before


async def test_two_keys_of_one_mask_and_one_key_given_twice(engine: AsyncEngine, cipher: Cipher) -> None:
    await start(engine, cipher, env=keys("sk-one-1-same", "sk-two-2-same", "sk-one-1-same"))

    assert await serving(engine, cipher) == ["sk-one-1-same", "sk-two-2-same"]


async def test_a_key_that_is_gone_rests_and_comes_back_as_the_same_account(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, env=keys("sk-proj-aaaa-1111", "sk-proj-bbbb-2222"))
    before = await rows(connection)

    assert (await start(engine, cipher, env=keys("sk-proj-bbbb-2222"))).removed == 1
    assert await serving(engine, cipher) == ["sk-proj-bbbb-2222"]
    assert [row["managed_by"] for row in await rows(connection)] == ["env:retired", "env"]

    await start(engine, cipher, env=keys("sk-proj-bbbb-2222", "sk-proj-aaaa-1111"))
    assert [row["id"] for row in await rows(connection)] == [row["id"] for row in before]
    assert await serving(engine, cipher) == ["sk-proj-aaaa-1111", "sk-proj-bbbb-2222"]


async def test_with_nothing_declared_any_more_provider_and_accounts_rest(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, env=keys("sk-proj-aaaa-1111"))

    await start(engine, cipher)

    assert [row["is_active"] for row in await rows(connection, "providers")] == [False]
    assert await serving(engine, cipher) == []

    await start(engine, cipher, env=keys("sk-proj-aaaa-1111"))
    assert await serving(engine, cipher) == ["sk-proj-aaaa-1111"]


async def test_a_managed_provider_that_serves_peoples_accounts_stays(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, env=keys("sk-proj-aaaa-1111"))
    await connection.exec_driver_sql(
        """INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', 'mine', '{"api_key": "sk-mine"}')"""
    )

    await start(engine, cipher)

    assert await serving(engine, cipher) == ["sk-mine"]


async def test_rows_made_by_people_are_never_touched(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await connection.exec_driver_sql(
        "INSERT INTO providers (id, name, base_url) VALUES ('openai', 'Mine', 'https://mine.example')"
    )
    await connection.exec_driver_sql(
        "INSERT INTO accounts (provider_id, label, auth_data, weight) "
        """VALUES ('openai', 'mine', '{"api_key": "sk-proj-aaaa-1111"}', 5)"""
    )
    people = await rows(connection), await rows(connection, "providers")

    done = await start(engine, cipher, env=keys("sk-proj-aaaa-1111", "sk-proj-bbbb-2222"))

    assert done == Reconciled(added=1, kept=2)
    assert (await rows(connection))[:1] == people[0]
    assert await rows(connection, "providers") == people[1]
    assert await serving(engine, cipher) == ["sk-proj-aaaa-1111", "sk-proj-bbbb-2222"]

    await start(engine, cipher)
    assert (await rows(connection))[:1] == people[0]
    assert await rows(connection, "providers") == people[1]


async def test_a_label_that_people_have_is_not_taken(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await connection.exec_driver_sql("INSERT INTO providers (id, base_url) VALUES ('openai', 'https://x.example')")
    await connection.exec_driver_sql(
        """INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', 'main', '{"api_key": "sk-mine"}')"""
    )
    declared = keys(accounts=(DeclaredAccount(label="main", auth_data={"api_key": "sk-theirs"}),))

    await start(engine, cipher, file=declared)
    assert (await start(engine, cipher, file=declared)) == Reconciled(kept=1)

    assert [row["label"] for row in await rows(connection)] == ["main", "main (2)"]


async def test_declared_columns_are_set_back_and_a_pause_by_hand_stays(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    account = DeclaredAccount(label="main", auth_data={"api_key": "sk-aaaa"}, tier=2, metadata={"team": "a"})
    declared = keys(accounts=(account,), settings={"timeout_s": 30})
    await start(engine, cipher, file=declared)
    await connection.exec_driver_sql("UPDATE accounts SET tier = 7, weight = 9, is_active = false")
    await connection.exec_driver_sql("UPDATE providers SET base_url = 'https://other.example'")

    assert (await start(engine, cipher, file=declared)).changed == 2

    (row,) = await rows(connection)
    assert (row["tier"], row["weight"], row["metadata"], row["is_active"]) == (2, 1.0, {"team": "a"}, False)
    assert (await rows(connection, "providers"))[0]["base_url"] == "https://api.openai.com"


async def test_a_credential_exchanged_under_its_label_keeps_the_account(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, file=keys(accounts=(DeclaredAccount(label="main", auth_data={"api_key": "sk-old"}),)))
    (before,) = await rows(connection)

    await start(engine, cipher, file=keys(accounts=(DeclaredAccount(label="main", auth_data={"api_key": "sk-new"}),)))

    (after,) = await rows(connection)
    assert after["id"] == before["id"]
    assert after["credential_digest"] == cipher.digest("sk-new\n\n")
    assert await serving(engine, cipher) == ["sk-new"]


async def test_a_new_label_for_a_known_credential_renames_the_account(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await start(engine, cipher, file=keys(accounts=(DeclaredAccount(label="old", auth_data={"api_key": "sk-a"}),)))

    await start(engine, cipher, file=keys(accounts=(DeclaredAccount(label="new", auth_data={"api_key": "sk-a"}),)))

    assert [row["label"] for row in await rows(connection)] == ["new"]


async def test_a_damaged_credential_is_replaced_by_the_declared_one(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    declared = keys(accounts=(DeclaredAccount(label="main", auth_data={"api_key": "sk-a"}),))
    await start(engine, cipher, file=declared)
    await connection.exec_driver_sql("""UPDATE accounts SET auth_data = auth_data || '{"ct": "AAAA"}'""")
    assert await serving(engine, cipher) == []

    await start(engine, cipher, file=declared)

    assert await serving(engine, cipher) == ["sk-a"]
    assert len(await rows(connection)) == 1


async def test_a_declaration_may_put_to_rest_and_wake(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    def declared(*, is_active: bool) -> Declarations:
        return keys(accounts=(DeclaredAccount(label="main", auth_data={"api_key": "sk-a"}, is_active=is_active),))

    await start(engine, cipher, file=declared(is_active=False))
    assert await serving(engine, cipher) == []
    await start(engine, cipher, file=declared(is_active=True))
    assert await serving(engine, cipher) == ["sk-a"]
    await start(engine, cipher, file=declared(is_active=False))
    assert await serving(engine, cipher) == []


async def test_the_file_goes_before_the_environment_and_gives_back_what_it_leaves(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    env, file = keys("sk-aaaa"), keys("sk-aaaa", base_url="https://file.example")

    for declared in (NOTHING, file, NOTHING):
        await start(engine, cipher, env=env, file=declared)
        (account,) = await rows(connection)
        (provider,) = await rows(connection, "providers")
        assert (account["is_active"], provider["is_active"]) == (True, True)
        assert account["managed_by"] == provider["managed_by"] == ("env" if declared is NOTHING else "file")
    assert provider["base_url"] == "https://api.openai.com"


async def test_accounts_of_a_provider_that_has_no_row_are_counted_and_not_added(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    declared = keys("sk-aaaa", "sk-bbbb", base_url=None)

    assert await start(engine, cipher, file=declared) == Reconciled(homeless=2)

    await connection.exec_driver_sql("INSERT INTO providers (id, base_url) VALUES ('openai', 'https://x.example')")
    assert await start(engine, cipher, file=declared) == Reconciled(added=2)
    assert (await rows(connection, "providers"))[0]["managed_by"] is None


async def test_an_account_without_a_credential_is_one_account(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    declared = keys(accounts=(DeclaredAccount(),), auth_strategy="none", auth_type="none")

    await start(engine, cipher, file=declared)
    assert await start(engine, cipher, file=declared) == Reconciled()

    assert [(row["label"], row["auth_data"]) for row in await rows(connection)] == [("file", {})]
    assert await serving(engine, cipher) == [""]


async def test_routes_come_change_and_go(engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher) -> None:
    await connection.exec_driver_sql("INSERT INTO model_routes (pattern, provider_id) VALUES ('gpt-*', 'mine')")
    seeds = await connection.scalar(text("SELECT count(*) FROM model_routes WHERE managed_by = 'seed'"))
    first = DeclaredRoute(pattern="GPT-4*", provider_id=OPENAI, fallbacks=["gpt-3.5-turbo"])
    second = DeclaredRoute(pattern="fast", provider_id=OPENAI, upstream_model="gpt-4o-mini")

    assert (await start(engine, cipher, file=Declarations(routes=(first, second)))).added == 2
    changed = msgspec.structs.replace(first, pattern="gpt-4*", priority=5)
    assert await start(engine, cipher, file=Declarations(routes=(changed,))) == Reconciled(changed=1, removed=1)

    assert [(row["pattern"], row["priority"], row["managed_by"]) for row in await rows(connection, "model_routes")] == [
        ("gpt-*", 0, None),
        ("gpt-4*", 5, "file"),
    ]
    assert await connection.scalar(text("SELECT count(*) FROM model_routes WHERE managed_by = 'seed'")) == seeds


async def test_several_starts_at_once_add_nothing_twice(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    env = keys("sk-aaaa", "sk-bbbb")

    done = await asyncio.gather(*(start(engine, cipher, env=env) for _ in range(4)))

    assert sorted(one.added for one in done) == [0, 0, 0, 3]
    assert len(await rows(connection)) == 2


async def test_a_start_after_the_key_was_rotated_finds_its_accounts(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    old, new = new_key("k1"), new_key("k2")
    await start(engine, Cipher(parse_keys(old)), env=keys("sk-aaaa"))
    before = await rows(connection)

    done = await start(engine, Cipher(parse_keys(f"{new},{old}")), env=keys("sk-aaaa"))

    assert (done.added, done.removed) == (0, 0)
    assert [row["id"] for row in await rows(connection)] == [row["id"] for row in before]


async def test_a_failure_leaves_nothing_half_done(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    broken = Declarations(routes=(DeclaredRoute(pattern="a\0b", provider_id=OPENAI),), providers=keys("sk-a").providers)

    with pytest.raises(Exception, match=r"invalid byte sequence|0x00"):
        await start(engine, cipher, file=broken)

    assert await rows(connection) == []
