import asyncio
from urllib.parse import parse_qsl

import msgspec
import pytest

from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind, Outcome, OutcomeKind
from gateway.core.snapshot import AuthStrategy, Credential, Grant
from gateway.providers.base import Destination
from gateway.providers.catalog import KINDS
from gateway.providers.oauth import AccessToken
from gateway.relay.credentials import CLAIM_S, Credentials
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import account, finished, snapshot_of
from tests.fakes.scripted_upstream import Reply, ScriptedUpstream
from tests.fakes.token_store import MemoryTokens

GRANT = Grant("https://login.example/token", "app", Secret("hidden"))


def granted(name="a", grant=GRANT, **fields):
    credential = Credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, grant=grant)
    return msgspec.structs.replace(account(name), credential=credential, **fields)


EDITED = granted(grant=msgspec.structs.replace(GRANT, client_secret=Secret("new")))


def sold(token, lifetime_s=3600, **reply):
    return Reply(200, pieces=(msgspec.json.encode({"access_token": token, "expires_in": lifetime_s}),), **reply)


def refused(status=401, error="invalid_client"):
    return Reply(status, pieces=(msgspec.json.encode({"error": error}),))


class Process:
    """One of several that share clock, table and token endpoint."""

    def __init__(self, *answers, first=None, **lifetime):
        self.clock = first.clock if first else FakeClock()
        self.upstream = first.upstream if first else ScriptedUpstream(self.clock)
        self.store = first.store if first else MemoryTokens(self.clock)
        if answers:
            self.upstream.on("", *answers)
        self.credentials = Credentials(
            upstream=self.upstream, store=self.store, kinds=KINDS, clock=self.clock, registry=lambda: self.snapshot
        )
        self.use(granted())

    def use(self, *accounts):
        self.snapshot = snapshot_of(*accounts)
        self.provider = next(iter(self.snapshot.providers.values()))
        self.account = accounts[0]

    async def token(self, **given):
        """The token that a call presents, or what it comes to."""
        ready = await finished(self.clock, self.credentials.destination_of(self.provider, self.account, **given))
        return ready if isinstance(ready, Outcome) else shown(ready)

    async def tick(self):
        await self.credentials.refresh_due()
        await self.clock.settle()

    @property
    def asked(self):
        return len(self.upstream.attempts)

    @property
    def secrets(self):
        """What tokens were asked for with, in order."""
        return [dict(parse_qsl(asked.request.body.decode()))["client_secret"] for asked in self.upstream.attempts]


def shown(destination):
    return dict(destination.headers)[b"authorization"].removeprefix(b"Bearer ").decode()


async def test_the_first_call_waits_for_a_token_and_the_next_have_it():
    process = Process(sold("t1"))

    assert [await process.token() for _ in range(3)] == ["t1"] * 3
    assert process.asked == 1


async def test_calls_at_once_share_one_fetch():
    process = Process(sold("t1", wait_s=2.0))

    tokens = await finished(
        process.clock,
        asyncio.gather(*(process.credentials.destination_of(process.provider, process.account) for _ in range(20))),
    )

    assert {shown(token) for token in tokens} == {"t1"}
    assert process.asked == 1


async def test_a_caller_who_leaves_does_not_end_the_fetch_of_the_others():
    process = Process(sold("t1", wait_s=2.0))
    leaver, stayer = (
        asyncio.ensure_future(process.credentials.destination_of(process.provider, process.account)) for _ in range(2)
    )
    await process.clock.settle()
    leaver.cancel()

    assert shown(await finished(process.clock, stayer)) == "t1"
    assert process.asked == 1


async def test_a_token_is_refreshed_ahead_and_used_meanwhile():
    process = Process(sold("t1"), sold("t2"))
    await process.tick()
    await process.clock.advance(3600 - 301)
    await process.tick()
    assert process.asked == 1

    await process.clock.advance(2)
    await process.tick()

    assert process.asked == 2
    assert await process.token() == "t2"


async def test_a_short_life_is_refreshed_after_four_fifths_of_it():
    process = Process(sold("t1", 100), sold("t2", 100))
    await process.tick()
    await process.clock.advance(79)
    await process.tick()
    assert process.asked == 1

    await process.clock.advance(2)
    await process.tick()

    assert process.asked == 2


async def test_a_token_that_lasts_is_used_while_fetching_fails():
    process = Process(sold("t1"), Fault(FaultKind.CONNECT, "refused"))
    await process.tick()
    await process.clock.advance(3400)

    for _ in range(5):
        await process.tick()
        await process.clock.advance(1)

    assert await process.token() == "t1"
    assert 1 < process.asked < 5
    await process.clock.advance(200)
    assert (await process.token()).kind is OutcomeKind.NO_TOKEN


async def test_a_failed_fetch_rests_longer_each_time():
    process = Process(Fault(FaultKind.CONNECT, "refused"))

    for _ in range(60):
        await process.tick()
        await process.clock.advance(1)

    assert process.asked == 6  # after 1, 2, 4, 8, 16 s
    outcome = await process.token()
    assert (outcome.kind, outcome.message) == (
        OutcomeKind.NO_TOKEN,
        "the token endpoint gave no answer: refused",
    )
    assert process.asked == 6


async def test_a_check_asks_at_once():
    process = Process(refused(), sold("t1"))
    assert (await process.token()).kind is OutcomeKind.CREDENTIAL_REJECTED
    assert (await process.token()).kind is OutcomeKind.CREDENTIAL_REJECTED
    assert process.asked == 1

    assert await process.token(is_check=True) == "t1"


async def test_processes_fetch_once_for_all():
    first = Process(sold("t1", wait_s=3.0))
    others = [Process(first=first) for _ in range(3)]

    waits = (each.credentials.destination_of(each.provider, each.account) for each in (first, *others))
    ready = await finished(first.clock, asyncio.gather(*waits))

    assert [shown(each) for each in ready] == ["t1"] * 4
    assert first.asked == 1


async def test_a_token_that_comes_between_the_look_and_the_claim_is_used():
    process = Process(sold("t1"))
    claim = process.store.claim

    async def late(account_id, seconds):
        await process.store.save(process.account, AccessToken(Secret("theirs"), 100.0))
        return await claim(account_id, seconds)

    process.store.claim = late

    assert await process.token() == "theirs"
    assert process.asked == 0
    assert process.store.claims == {}


async def test_processes_refresh_once_for_all():
    first = Process(sold("t1"), sold("t2"))
    second = Process(first=first)
    await first.tick()
    await second.tick()
    await first.clock.advance(3400)

    for _ in range(3):
        await first.tick()
        await second.tick()
        await first.clock.advance(1)

    assert (await first.token(), await second.token()) == ("t2", "t2")
    assert first.asked == 2


async def test_a_claim_whose_process_died_ends_by_itself():
    process = Process(sold("t1"))
    await process.store.claim(process.account.id, 5.0)

    assert await process.token() == "t1"

    assert 5.0 <= process.clock.now() - 1000.0 < CLAIM_S


async def test_without_the_table_each_process_fetches_for_itself():
    first = Process(sold("t1"), sold("t2"))
    first.store.is_away = True
    second = Process(first=first)

    assert (await first.token(), await second.token()) == ("t1", "t2")


async def test_what_was_bought_without_the_table_is_shared_once_it_is_back():
    first = Process(sold("t1"))
    first.store.is_away = True
    assert await first.token() == "t1"
    await first.clock.advance(60)
    first.store.is_away = False

    await first.tick()

    second = Process(first=first)
    assert await second.token() == "t1"
    assert first.asked == 1
    found = await first.store.load(first.account)
    assert found.lifetime_s <= 3540


async def test_a_token_that_was_refused_before_it_could_be_shared_never_is():
    process = Process(sold("t1"), refused())
    process.store.is_away = True
    used = await finished(process.clock, process.credentials.destination_of(process.provider, process.account))
    await process.clock.advance(60)
    assert await finished(process.clock, process.credentials.renewed(process.provider, process.account, used)) is None
    process.store.is_away = False

    await process.tick()
    await process.clock.advance(30)
    await process.tick()

    assert process.store.kept == {}


async def test_a_token_that_is_not_taken_is_bought_anew_once():
    process = Process(sold("t1"), sold("t2"))
    used = await finished(process.clock, process.credentials.destination_of(process.provider, process.account))
    await process.clock.advance(60)

    renew = process.credentials.renewed
    another = await finished(process.clock, renew(process.provider, process.account, used))

    assert shown(another) == "t2"
    assert await finished(process.clock, renew(process.provider, process.account, used)) is another
    assert await finished(process.clock, renew(process.provider, process.account, another)) is None
    assert process.asked == 2


async def test_a_token_that_is_not_taken_is_not_found_in_the_table_again():
    first = Process(sold("t1"), sold("t2"))
    second = Process(first=first)
    used = await finished(first.clock, first.credentials.destination_of(first.provider, first.account))
    assert await second.token() == "t1"
    await first.clock.advance(60)

    another = await finished(first.clock, first.credentials.renewed(first.provider, first.account, used))

    assert shown(another) == "t2"
    assert first.asked == 2


async def test_another_secret_buys_another_token():
    process = Process(sold("t1"), sold("t2"))
    assert await process.token() == "t1"

    process.use(EDITED)

    assert await process.token() == "t2"


async def test_a_copy_from_before_an_edit_presents_what_is_bought_with_the_new_secret():
    process = Process(sold("t1"), sold("t2"))
    provider, stale = process.provider, process.account
    used = await finished(process.clock, process.credentials.destination_of(provider, stale))
    process.use(EDITED)

    assert await finished(process.clock, process.credentials.renewed(provider, stale, used)) is None
    await process.tick()
    another = await finished(process.clock, process.credentials.destination_of(provider, stale))

    assert shown(another) == "t2"
    assert process.secrets == ["hidden", "new"]


async def test_a_fetch_that_waited_while_its_account_was_edited_buys_nothing():
    process = Process(sold("t2"))
    await process.store.claim(process.account.id, 5.0)
    waiting = asyncio.ensure_future(process.credentials.destination_of(process.provider, process.account))
    await process.clock.settle()
    process.use(EDITED)

    assert (await finished(process.clock, waiting)).kind is OutcomeKind.NO_TOKEN
    assert await process.token() == "t2"
    assert process.secrets == ["new"]


async def test_a_check_of_what_the_registry_does_not_know_yet_leaves_its_tokens_alone():
    process = Process(sold("t1"), sold("t2"))
    assert await process.token() == "t1"

    checked = process.credentials.destination_of(process.provider, EDITED, is_check=True, is_ahead=True)
    assert shown(await finished(process.clock, checked)) == "t2"
    await process.tick()
    assert await process.token() == "t1"
    process.use(EDITED)
    await process.tick()

    assert await process.token() == "t2"
    assert process.secrets == ["hidden", "new"]


async def test_another_weight_keeps_the_token():
    process = Process(sold("t1"))
    assert await process.token() == "t1"

    process.use(granted(weight=2.0))
    await process.tick()

    assert await process.token() == "t1"
    assert process.asked == 1


async def test_an_account_that_is_gone_is_not_refreshed():
    process = Process(sold("t1"))
    await process.tick()
    process.use(account("b"))

    await process.clock.advance(4000)
    await process.tick()

    assert process.asked == 1


async def test_a_fetch_under_way_ends_with_the_process():
    process = Process(sold("t1", wait_s=5.0))
    waiting = asyncio.ensure_future(process.credentials.destination_of(process.provider, process.account))
    await process.clock.settle()

    await process.credentials.aclose()

    assert (await waiting).kind is OutcomeKind.NO_TOKEN


async def test_a_call_waits_no_longer_than_it_may():
    process = Process(sold("t1", wait_s=5.0))

    ready = await process.credentials.destination_of(process.provider, process.account, within_s=0.001)

    assert isinstance(ready, Outcome)
    assert ready.message == "no access token could be fetched in time"
    await process.credentials.aclose()


@pytest.mark.parametrize("is_found", [True, False])
async def test_nothing_logged_holds_a_secret(is_found, capfd):
    process = Process(sold("t0k3n") if is_found else refused(error="bad hidden"))
    if is_found:
        await process.store.save(process.account, AccessToken(Secret("t0k3n"), 100.0))

    ready = await process.token()

    assert "hidden" not in repr(ready) + str(capfd.readouterr())
    assert isinstance(ready, str) is is_found
    assert isinstance(process.credentials._entries[process.account.id].destination, Destination) is is_found
