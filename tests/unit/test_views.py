from types import SimpleNamespace

import pytest

from gateway.core.ids import AccountId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.relay.checks import Checks
from gateway.relay.gate import Gate
from gateway.views import STALE_SNAPSHOT_S, Views
from tests.fakes.relay_kit import OK, REJECTED, RelayKit

GONE = AccountId("gone")


@pytest.fixture
def kit():
    return RelayKit("a", "b")


def views_of(kit, *, age_s=0.5, version=1, is_connected=True):
    return Views(
        board=kit.board,
        watcher=SimpleNamespace(age_s=age_s, snapshot=SimpleNamespace(version=version)),
        listener=SimpleNamespace(state=SimpleNamespace(is_connected=is_connected)),
        checks=Checks(asking=kit.asking, clock=kit.clock),
        metrics=SimpleNamespace(breakers=SimpleNamespace(read=list)),
        gate=Gate(),
        clock=kit.clock,
    )


async def test_a_worker_is_ready_from_its_first_snapshot_until_it_drains(kit):
    assert views_of(kit, version=0).readiness() == "the registry is not loaded yet"
    views = views_of(kit)
    assert views.readiness() is None

    await views.gate.drain(0.0)

    assert views.readiness() == "draining"


def test_accounts_are_counted_by_phase(kit):
    kit.observe("a", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))

    counts = views_of(kit).accounts()

    assert (counts["ready"], counts["cooling"], sum(counts.values())) == (1, 1, 2)


@pytest.mark.parametrize(
    ("age_s", "is_connected", "shown"),
    [
        (0.5, True, (True, "connected")),
        (STALE_SNAPSHOT_S, True, (False, "connected")),
        (0.5, False, (True, "lost")),
    ],
)
def test_the_database_is_away_when_the_registry_was_not_confirmed_for_long(kit, age_s, is_connected, shown):
    health = views_of(kit, age_s=age_s, is_connected=is_connected).database()

    assert (health.is_connected, health.listener) == shown
    assert health.snapshot_age_s == age_s


async def test_nothing_is_known_of_an_account_that_is_gone(kit):
    views = views_of(kit)

    assert (await views.headroom(GONE), views.breakers(GONE)) == ([], [])


@pytest.mark.parametrize(
    ("reply", "shown"),
    [(OK, (True, OutcomeKind.OK, 200)), (REJECTED, (False, OutcomeKind.CREDENTIAL_REJECTED, 401))],
    ids=["works", "rejected"],
)
async def test_an_account_is_verified_by_asking_it(kit, reply, shown):
    kit.upstream.on("sk-a", reply)
    account = kit.board.snapshot.accounts[AccountId("a")]

    result = await kit.finished(views_of(kit).verify(kit.board.snapshot.providers[account.provider_id], account))

    assert (result.is_ok, result.outcome, result.status) == shown
