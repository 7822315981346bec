"""Views are told what changed, and made anew only where all may have."""

import pytest

from gateway.core.hints import Quota, RateLimits
from gateway.core.outcome import Outcome, OutcomeKind
from tests.fakes.relay_kit import RelayKit, account


def test_a_park_moves_its_members_and_leaves_the_view():
    kit = RelayKit("a", "b", account("c", quota_group="org"), account("d", quota_group="org"))
    view = kit.board.view(kit.pool(), kit.clock.now())

    kit.observe("c", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))

    assert kit.serving() == {"a", "b"}
    assert kit.board.view(kit.pool(), kit.clock.now()) is view


def test_more_changes_than_are_remembered_make_the_view_anew(monkeypatch):
    kit = RelayKit("a", "b")
    view = kit.board.view(kit.pool(), kit.clock.now())
    for number in range(300):
        kit.observe("a", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=5.0), model=f"model-{number}")
    kit.observe("b", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))

    assert kit.serving() == {"a"}
    assert kit.board.view(kit.pool(), kit.clock.now()) is not view


@pytest.mark.parametrize("remaining", [9, 0], ids=["room", "none"])
def test_answer_that_tells_of_room_brings_back_who_was_set_aside(remaining):
    kit = RelayKit("a", "b")
    pool = kit.pool()
    (headroom,) = pool.members[0].headrooms
    nothing = RateLimits(requests=Quota(10, 0, 400.0))
    headroom.learn(nothing, headroom.take(1, kit.clock.now()), kit.clock.now(), is_success=True)
    assert kit.serving() == {"b"}
    lease = kit.board.take(pool, pool.members[0], kit.clock.now())
    rings = []
    kit.board.on_change = lambda: rings.append("who waits looks again")

    kit.clock.move(0.1)
    limits = RateLimits(requests=Quota(10, remaining, 4.0))
    headroom.learn(limits, lease.sent[0], kit.clock.now(), is_success=True)
    kit.board.observe(lease, Outcome(OutcomeKind.OK, 200), kit.clock.now())

    assert len(rings) == (1 if remaining else 0)
    assert kit.serving() == ({"a", "b"} if remaining else {"b"})


def test_release_of_an_account_that_may_serve_few_at_once_costs_no_new_view():
    kit = RelayKit(account("a", max_concurrency=1), "b")
    lease = kit.take("a")
    view = kit.board.view(kit.pool(), kit.clock.now())
    rings = []
    kit.board.on_change = lambda: rings.append(True)

    lease.release()

    assert rings == [True]
    assert kit.board.view(kit.pool(), kit.clock.now()) is view
