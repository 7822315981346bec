import asyncio
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.ids import AccountId, ProviderId, Secret
from gateway.core.snapshot import Account, AuthStrategy, Credential, Grant
from gateway.providers.oauth import AccessToken
from gateway.store.cipher import Cipher, new_key, parse_keys
from gateway.store.engine import make_engine
from gateway.store.tokens import TokenTable

GRANT = Grant("https://login.example/token", "app", Secret("hidden"))
TOKEN = AccessToken(Secret("t0ken"), 600.0)


@pytest.fixture
async def account(connection: AsyncConnection) -> Account:
    await connection.execute(text("INSERT INTO providers (id, base_url) VALUES ('azure', 'https://a.example')"))
    id_ = await connection.scalar(text("INSERT INTO accounts (provider_id) VALUES ('azure') RETURNING id"))
    credential = Credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, grant=GRANT)
    return Account(id=AccountId(str(id_)), provider_id=ProviderId("azure"), label="a", credential=credential)


@pytest.fixture
def tokens(engine: AsyncEngine, cipher: Cipher) -> TokenTable:
    return TokenTable(engine, cipher)


async def test_a_token_is_found_by_all_who_know_its_credential(tokens: TokenTable, account: Account) -> None:
    assert await tokens.load(account) is None

    await tokens.save(account, TOKEN)
    await tokens.save(account, AccessToken(Secret("newer"), 900.0))

    found = await tokens.load(account)
    assert found is not None
    assert found.secret == Secret("newer")
    assert 890 < found.lifetime_s <= 900


async def test_a_token_rests_sealed(tokens: TokenTable, account: Account, connection: AsyncConnection) -> None:
    await tokens.save(account, TOKEN)

    stored = str((await connection.execute(text("SELECT * FROM account_tokens"))).one())

    assert "$enc" in stored
    assert "t0ken" not in stored
    assert "hidden" not in stored


async def test_a_token_that_is_over_is_not_found(
    tokens: TokenTable, account: Account, connection: AsyncConnection
) -> None:
    await tokens.save(account, TOKEN)
    await connection.execute(text("UPDATE account_tokens SET expires_at = now() - interval '1 s'"))

    assert await tokens.load(account) is None


async def test_a_token_of_another_secret_or_key_is_not_found(
    tokens: TokenTable, account: Account, engine: AsyncEngine
) -> None:
    await tokens.save(account, TOKEN)
    changed = msgspec.structs.replace(GRANT, client_secret=Secret("other"))
    other = msgspec.structs.replace(account, credential=msgspec.structs.replace(account.credential, grant=changed))

    assert await tokens.load(other) is None
    assert await TokenTable(engine, Cipher(parse_keys(new_key("k2")))).load(account) is None


async def test_one_of_many_claims_the_fetch(tokens: TokenTable, account: Account) -> None:
    won = await asyncio.gather(*(tokens.claim(account.id, 30.0) for _ in range(8)))

    assert sorted(won) == [False] * 7 + [True]


@pytest.mark.parametrize("how", ["save", "release", "time"])
async def test_a_claim_ends(tokens: TokenTable, account: Account, how: str) -> None:
    assert await tokens.claim(account.id, 0.05 if how == "time" else 30.0)
    match how:
        case "save":
            await tokens.save(account, TOKEN)
        case "release":
            await tokens.release(account.id)
        case _:
            await asyncio.sleep(0.1)  # noqa: TID251  # the server's clock

    assert await tokens.claim(account.id, 30.0)


async def test_a_token_goes_with_its_account(tokens: TokenTable, account: Account, connection: AsyncConnection) -> None:
    await tokens.save(account, TOKEN)

    await connection.execute(text("DELETE FROM accounts"))

    assert await connection.scalar(text("SELECT count(*) FROM account_tokens")) == 0
    gone = msgspec.structs.replace(account, id=AccountId(str(uuid4())))
    await tokens.save(gone, TOKEN)
    assert await tokens.claim(gone.id, 1.0)


async def test_a_server_that_hangs_is_waited_for_once(
    tokens: TokenTable, account: Account, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.tokens.PATIENCE_S", 0.05)
    async with engine.begin() as holder:
        await holder.execute(text("LOCK TABLE account_tokens IN ACCESS EXCLUSIVE MODE"))

        asked: list[object] = []
        event.listen(engine.sync_engine, "begin", asked.append)
        monkeypatch.setattr("gateway.store.tokens.AWAY_S", 1e6)
        assert [await tokens.claim(account.id, 30.0) for _ in range(20)] == [True] * 20
        assert not await tokens.save(account, TOKEN)

    assert len(asked) == 1


async def test_without_postgres_everybody_may_fetch(account: Account, cipher: Cipher) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", 1)
    tokens = TokenTable(engine, cipher)

    assert await tokens.load(account) is None
    assert await tokens.claim(account.id, 1.0)
    await tokens.save(account, TOKEN)
    await tokens.release(account.id)
    await engine.dispose()
