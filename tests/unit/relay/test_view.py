"""Where members of a pool are, and how they come and go."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.attempts import Resting
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import OutcomeKind
from gateway.relay.view import Agenda, View, soonest_of
from tests.fakes.relay_kit import RelayKit, account

NOW = Instant(1000.0)
REST = Resting(OutcomeKind.OUT_OF_QUOTA, Instant(1300.0), Instant(1300.0))


def members(*rows):
    return RelayKit(*rows).pool().members


def names(some):
    return [member.account_id for member in some]


def use_up(member, *, period_s=4.0):
    """Its limit of ten has no room for a call: one comes back each 0.4 s."""
    headroom = member.headrooms[0]
    headroom.learn(RateLimits(requests=Quota(10, 0, period_s)), headroom.take(1, NOW), NOW, is_success=True)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["put", "drop", "due"]), st.floats(0, 10)), max_size=40))
def test_agenda_knows_whose_moment_comes_first(steps):
    some, agenda, model = members(*"abcdef"), Agenda(), {}
    for index, what, at in steps:
        member = some[index]
        if what == "due":
            due = {member for member, moment in model.items() if moment <= at}
            assert set(agenda.due(Instant(at))) == due
            model = {member: moment for member, moment in model.items() if member not in due}
        elif what == "drop" or member in model:
            assert agenda.drop(member) is (model.pop(member, None) is not None)
        else:
            agenda.put(member, Instant(at))
            model[member] = at
        assert agenda.first_at == min(model.values(), default=FOREVER)
        assert {member: moment for moment, member in agenda} == model


def test_member_is_in_one_place_at_a_time():
    (member,) = members("a")
    view = View((member,), 0, FOREVER)

    view.place(member, None, NOW, is_dimmed=True)
    assert (names(view.tiers[0]), view.resting, view.dimmed) == (["a"], {}, {"a"})
    view.place(member, REST, NOW, changes_at=REST.wake_at)
    assert (view.tiers[0], view.resting, view.dimmed) == ([], {"a": REST}, set())
    use_up(member)
    view.place(member, None, NOW)
    assert (view.tiers[0], view.resting, [one for _, one in view.spent]) == ([], {}, [member])
    assert view.turns.first_at == FOREVER


def test_who_was_set_aside_comes_back_to_its_place_when_its_time_has_come():
    some = members("a", "b", account("z", tier=1))
    view = View(some, 0, FOREVER)
    for member in some:
        view.place(member, None, NOW)

    view.set_aside(some[0], Instant(NOW + 0.4))
    assert [names(tier) for tier in view.tiers] == [["b"], ["z"]]
    view.restore(Instant(NOW + 0.3))
    assert [names(tier) for tier in view.tiers] == [["b"], ["z"]]
    view.restore(Instant(NOW + 0.4))

    assert [names(tier) for tier in view.tiers] == [["a", "b"], ["z"]]


def test_who_is_avoided_stands_behind_all_tiers_until_it_is_not():
    some = members("a", "b", account("z", tier=1))
    view = View(some, 0, FOREVER)
    for member in some:
        view.place(member, None, NOW)

    view.place(some[0], None, NOW, is_avoided=True)
    assert [names(tier) for tier in view.tiers] == [["b"], ["z"], ["a"]]
    view.set_aside(some[0], Instant(NOW + 0.4))
    assert [names(tier) for tier in view.tiers] == [["b"], ["z"]]
    view.restore(Instant(NOW + 0.4))
    assert [names(tier) for tier in view.tiers] == [["b"], ["z"], ["a"]]
    view.place(some[0], None, NOW)

    assert [names(tier) for tier in view.tiers] == [["a", "b"], ["z"]]


def test_who_is_full_stands_apart_until_one_of_its_calls_ends():
    some = members("a", account("b", max_concurrency=1), "c")
    view, load = View(some, 0, FOREVER), some[1].load
    for member in some:
        view.place(member, None, NOW)

    load.in_flight = 1
    view.note_load(some[1])
    assert (names(view.tiers[0]), list(view.full), load.is_awaited) == (["a", "c"], ["b"], True)
    view.place(some[1], REST, NOW)
    view.note_load(some[1])
    assert (view.full, view.resting) == ({}, {"b": REST})
    view.place(some[1], None, NOW)
    assert list(view.full) == ["b"]
    load.in_flight = 0
    view.note_load(some[1])

    assert (names(view.tiers[0]), view.full) == (["a", "b", "c"], {})


def test_of_those_that_rest_for_one_reason_the_soonest_counts():
    later = Resting(OutcomeKind.OUT_OF_QUOTA, Instant(1400.0), Instant(1200.0))
    broken = Resting(OutcomeKind.OUT_OF_QUOTA, FOREVER, FOREVER, is_broken=True)
    (member,) = members("a")
    view = View((member,), 0, FOREVER)

    assert soonest_of([later, REST, broken]) == [
        Resting(OutcomeKind.OUT_OF_QUOTA, Instant(1300.0), Instant(1200.0)),
        broken,
    ]
    assert view.soonest() == []
    view.place(member, REST, NOW)
    assert view.soonest() == [REST]
    view.place(member, None, NOW)
    assert view.soonest() == []
