"""What was learned of organisations, in the table."""

import uuid

import asyncpg
import pytest

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.store.cooldowns import ParkTable
from gateway.store.organizations import load_organizations


@pytest.fixture
async def psql(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def learned(engine):
    async with engine.connect() as connection:
        return {one.account_id: one for one in await load_organizations(connection)}


async def account(connection, label):
    await connection.execute(
        "INSERT INTO providers (id, name, base_url) VALUES ('openai', 'x', 'https://x') ON CONFLICT DO NOTHING"
    )
    id_ = await connection.fetchval(
        "INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', $1, '{}') RETURNING id", label
    )
    return AccountId(str(id_))


async def test_the_newest_word_holds_and_strangers_are_left_out(engine, psql):
    a, b = await account(psql, "a"), await account(psql, "b")
    table = ParkTable(engine)
    nobody = AccountId(str(uuid.uuid4()))

    assert await table.keep_organizations([Membership(b, "org-1"), Membership(a, "org-1"), Membership(nobody, "org-1")])
    assert await table.keep_organizations([Membership(a, "org-2", True)])

    assert await learned(engine) == {a: Membership(a, "org-2", True), b: Membership(b, "org-1", None)}


async def test_what_was_learned_before_an_edit_is_left_out(engine, psql):
    a = await account(psql, "a")
    await ParkTable(engine).keep_organizations([Membership(a, "org-1")])

    await psql.execute("UPDATE accounts SET label = 'other'")

    assert await learned(engine) == {}


async def test_it_goes_with_its_account(engine, psql):
    a = await account(psql, "a")
    await ParkTable(engine).keep_organizations([Membership(a, "org-1")])

    await psql.execute("DELETE FROM accounts")

    assert await psql.fetchval("SELECT count(*) FROM account_organizations") == 0
