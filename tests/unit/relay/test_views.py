"""Views are told what changed, and made anew only where all may have."""

import pytest

from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant
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


@pytest.mark.parametrize(("sooner_s", "rings"), [(2.0, 1), (0.0, 0)])
def test_who_waits_for_a_windows_end_hears_that_it_is_sooner(sooner_s, rings):
    kit = RelayKit("a", "b")
    pool, end = kit.pool(), kit.clock.now() + 5.0
    (headroom,) = pool.members[0].headrooms
    for later_s in (0.1, 3.0, 2.0):
        for left in range(9, -1, -1):
            now = kit.clock.now()
            limits = RateLimits(requests=Quota(10, left, end - now))
            headroom.learn(limits, headroom.take(1, now), now, is_success=True)
            kit.clock.move(0.4)
        kit.clock.move_to(Instant(end + later_s))
        end += 10.0
    leases = [kit.board.take(pool, pool.members[0], kit.clock.now()) for _ in range(10)]
    assert kit.serving() == {"b"}  # until 10 s are over, as they last no longer
    heard = []
    kit.board.on_change = lambda: heard.append("who waits looks again")

    kit.clock.move(0.1)
    limits = RateLimits(requests=Quota(10, 0, 10.0 - sooner_s))
    headroom.learn(limits, leases[-1].sent[0], kit.clock.now(), is_success=True)
    kit.board.observe(leases[-1], Outcome(OutcomeKind.OK, 200), kit.clock.now())

    assert len(heard) == rings
    kit.clock.move(9.0)
    assert ("a" in kit.serving()) is bool(rings)


def test_release_of_an_account_that_may_serve_few_at_once_costs_no_new_view():
    kit = RelayKit(account("a", max_concurrency=1), "b")
    lease = kit.take("a")
    view = kit.board.view(kit.pool(), kit.clock.now())
    rings = []
    kit.board.on_change = lambda: rings.append(True)

    lease.release()

    assert rings == [True]
    assert kit.board.view(kit.pool(), kit.clock.now()) is view
