import msgspec
import pytest

from gateway.core.errors import ModelNotFound
from gateway.core.ids import AccountId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.relay import pools as pools_module
from tests.fakes.relay_kit import RelayKit, account


def limited(seconds=10.0, **fields):
    return Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=seconds, **fields)


def test_snapshot_that_has_no_such_model_refuses_the_call():
    kit = RelayKit(account("a", supported_models=("gpt-4",)))

    with pytest.raises(ModelNotFound):
        kit.pool("gpt-5")


def test_pool_is_made_once_for_all_calls_of_a_model():
    kit = RelayKit("a")

    assert kit.pool("gpt-4") is kit.pool("GPT-4")
    assert kit.pool("gpt-4") is not kit.pool("gpt-5")


def test_job_is_given_the_new_pool_but_never_one_of_another_model():
    kit = RelayKit("a")
    job = kit.job()
    same = kit.board.pools.refreshed(job)

    kit.set_accounts("a", "b")
    fresh = kit.board.pools.refreshed(job)

    assert same is job
    assert {member.account_id for member in fresh.pool.members} == {"a", "b"}


def test_number_of_pools_is_bounded(monkeypatch):
    monkeypatch.setattr(pools_module, "MAX_POOLS", 10)
    kit = RelayKit("a")

    for number in range(100):
        kit.pool(f"model-{number}")

    assert len(kit.board.pools._pools) <= 10


def modelless(kit, path="/files", **fields):
    call = kit.call(path=path, **fields)
    return msgspec.structs.replace(call, model=None)


def test_limit_of_a_call_without_model_is_its_endpoint_s():
    kit = RelayKit("a", "b")
    files, batches = kit.board.pools.pool_for(modelless(kit)), kit.board.pools.pool_for(modelless(kit, "/batches"))
    lease = kit.board.take(files, files.members[0], kit.clock.now())

    kit.board.observe(lease, limited(10), kit.clock.now())
    lease.release()

    now = kit.clock.now()
    assert [m.account_id for tier in kit.board.view(files, now).tiers for m in tier] == ["b"]
    assert len(kit.board.view(batches, now).tiers[0]) == 2
    assert kit.serving() == {"a", "b"}


def test_pinned_calls_have_a_pool_of_their_own():
    kit = RelayKit("a", "b", "c")
    pinned = kit.call(pinned=frozenset({AccountId("c"), AccountId("a")}))

    pool = kit.board.pools.pool_for(pinned)

    assert [member.account_id for member in pool.members] == ["a", "c"]
    assert kit.board.pools.pool_for(pinned) is pool
    assert len(kit.pool().members) == 3
    assert kit.board.pools.pool_for(kit.call(pinned=frozenset())).members == ()
