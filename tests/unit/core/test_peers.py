"""What processes tell each other of calls that no header tells of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.headroom import Headroom
from gateway.core.hearsay import Hearsay
from gateway.core.ids import Instant
from gateway.core.peers import AT_ONCE, KNOWN, LEFT, MOST_TOLD, ON_WAY_S, CallLog, Peer, Peers, Turn, Verdicts
from gateway.core.shares import HEARD_S, HEARD_SOON_S
from gateway.core.slices import OPEN_S
from gateway.core.uses import Audience, Belief, Calls, Totals, Use

NEIGHBOURS, REPLICAS = Audience


def call(headroom, now, *, is_refused=False, fits_in_s=None):
    sent = headroom.take(1, Instant(now))
    if is_refused:
        headroom.refuse(Instant(now), sent, fits_in_s)
    else:
        headroom.admit(Instant(now), sent)


def test_log_tells_each_call_once_and_the_newest_of_many():
    log = CallLog()
    for number in range(MOST_TOLD + 1):
        log.sent.append(10.0 + number / 1000)
    log.admitted.append(10.5)
    log.refused.append((10.75, 1.5))

    told, again = log.tell(Instant(11.0)), log.tell(Instant(11.1))

    assert (told.told_ms, told.sent[0], len(told.sent)) == (11_000, 999, MOST_TOLD)
    assert (told.admitted, told.refused) == ((500,), ((250, 1.5),))
    assert again == Calls(11_100)


def test_moments_are_moved_to_our_clock_by_the_shortest_way_of_a_message():
    peer = Peer()
    peer.hear(Calls(5_000), Instant(100.0), REPLICAS)

    late = peer.hear(Calls(6_000, sent=(100,)), Instant(101.5), REPLICAS)

    assert late.sent == [pytest.approx(100.9 - ON_WAY_S, abs=0.001)]
    assert peer.took_at == late.sent[0]


def test_verdicts_find_their_calls_though_two_were_sent_in_one_millisecond():
    peer = Peer()
    sent = peer.hear(Calls(5_000, sent=(40, 40)), Instant(100.0), REPLICAS).sent

    told = peer.hear(Calls(5_300, admitted=(340,), refused=((340, 2.0),)), Instant(100.3), REPLICAS)

    assert len(set(sent)) == 2
    assert {*told.admitted, told.refused[0][0]} == set(sent)


def test_verdicts_of_calls_that_nobody_told_of_are_left_out():
    told = Peer().hear(Calls(5_000, admitted=(40,), refused=((30, None),)), Instant(100.0), REPLICAS)

    assert told == Verdicts([], [], [])


def test_calls_that_never_get_a_verdict_are_forgotten():
    peer = Peer()
    peer.hear(Calls(5_000, sent=tuple(range(KNOWN))), Instant(100.0), REPLICAS)
    peer.hear(Calls(9_000, sent=(1,)), Instant(104.0), REPLICAS)

    told = peer.hear(Calls(9_000, admitted=(4000 + KNOWN - 1, 4000)), Instant(104.0), REPLICAS)

    assert len(told.admitted) == 1  # the oldest of them is


def test_who_took_the_longest_ago_goes_first_if_its_callers_wait():
    peers = Peers()
    peers.took_at = 5.0
    for name, took_at, is_hungry in (("a", 4.0, True), ("b", 4.0, False), ("c", 6.0, True)):
        peers.of(name).took_at, peers.of(name).is_hungry = took_at, is_hungry

    assert peers.ahead == 1
    peers.leave("a")
    assert peers.ahead == 0


def test_who_took_at_the_same_time_goes_by_name():
    """Neither knew of the other, and each thinks that the other was the later one."""
    first, second = Peers(), Peers()
    for peers, name, other in ((first, "a", "b"), (second, "b", "a")):
        peers.own_name, peers.heard_s = name, 0.02
        peers.of(other).took_at, peers.of(other).is_hungry = 5.003, True
        peers.take(Instant(5.0))

    assert (first.ahead, second.ahead) == (0, 1)


def test_who_just_took_leaves_as_much_to_each_other_whose_callers_wait():
    peers = peers_of("b", "a", "c", are_hungry=True)
    for _ in range(2):
        peers.take(Instant(5.0))

    assert peers.turn(Instant(5.1), own=2, limit=20).calls == 1 + 2 + 2 * 2
    assert peers.turn(Instant(5.2), own=2, limit=20).calls == 1 + 2


def test_who_had_its_part_leaves_the_last_call_for_a_moment_while_nobody_waits():
    peers = peers_of("b", "a", are_hungry=False)

    assert peers.turn(Instant(5.0), own=4, limit=10) is AT_ONCE
    turn = peers.turn(Instant(5.0), own=5, limit=10)
    assert turn.calls == 2
    assert turn.comes_at(5.0, 9.0) == pytest.approx(5.0 + LEFT * HEARD_S)
    assert turn.comes_at(5.0, 5.1) == 5.1


def peers_of(own_name, *others, are_hungry, heard_s=HEARD_S):
    peers = Peers()
    peers.own_name, peers.heard_s = own_name, heard_s
    for name in others:
        peers.of(name).is_hungry = are_hungry
    return peers


@pytest.mark.parametrize("offset", [0, 1, 2])
@given(now=st.floats(0.0, 1e6), later_s=st.floats(0.0, 1.0))
def test_of_neighbours_no_two_take_the_last_call_within_the_time_in_which_they_hear_of_it(offset, now, later_s):
    names, taken = ("a", "b", "c"), []
    for name in names:
        peers = peers_of(name, *[other for other in names if other != name], are_hungry=True, heard_s=HEARD_SOON_S)
        peers.offset = offset
        turn = peers.turn(Instant(now), own=0, limit=10)
        taken.append(turn.comes_at(now + later_s, now + 100.0))

    first, *others = sorted(taken)
    assert now + later_s <= first <= now + later_s + len(names) * HEARD_SOON_S
    assert min(others) - first >= HEARD_SOON_S - OPEN_S - 1e-6


def test_neighbours_take_at_once_while_there_is_room_for_one_of_each():
    peers = peers_of("b", "a", "c", are_hungry=False, heard_s=HEARD_SOON_S)
    turn = peers.turn(Instant(5.05), own=0, limit=10)

    assert turn.calls == 3
    assert turn.comes_at(4.0, 4.5) == 4.5
    assert turn.comes_at(4.0, 9.0) == pytest.approx(5.06)


def test_no_neighbour_takes_the_last_calls_while_others_may_have_taken_theirs_just_now():
    peers = peers_of("b", "a", "c", are_hungry=True, heard_s=HEARD_SOON_S)
    peers.take(Instant(5.0), is_roomy=True)
    turn = peers.turn(Instant(5.0), own=1, limit=10)
    own_time = peers.turn(Instant(5.06), own=1, limit=10)

    assert turn.comes_at(5.0, 9.0) >= 5.0 + HEARD_SOON_S
    assert own_time.comes_at(4.0, 9.0) == pytest.approx(5.06)


def test_who_just_took_leaves_as_much_to_each_neighbour_whose_callers_wait():
    peers = peers_of("b", "a", "c", are_hungry=True, heard_s=HEARD_SOON_S)
    for _ in range(2):
        peers.take(Instant(5.0))

    assert peers.turn(Instant(5.01), own=2, limit=20).calls == 3 + 2 * 2
    assert peers.turn(Instant(5.1), own=2, limit=20).calls == 3


def test_who_is_not_first_takes_what_the_first_ones_left_in_time():
    turn = Turn(calls=3, after_s=0.02, knows_at=5.02)

    assert turn.comes_at(one_at=5.0, all_at=5.0) == 5.0
    assert turn.comes_at(one_at=5.1, all_at=7.0) == pytest.approx(5.12)
    assert turn.comes_at(one_at=5.0, all_at=7.0) == pytest.approx(5.04)


def test_moments_of_neighbours_are_of_the_same_clock():
    peer = Peer()

    assert peer.hear(Calls(5_000, sent=(40,)), Instant(5.003), NEIGHBOURS).sent == [pytest.approx(4.96)]


def test_first_name_of_those_that_believe_something_leads():
    peers = Peers()
    peers.own_name = "m"
    peers.of("a")
    peers.of("b").belief = Belief(2.0)
    peers.of("z").belief = Belief(1.0)

    assert peers.leader is peers.of("b")
    peers.leave("b")
    assert peers.leader is None


def test_a_window_that_is_believed_in_anew_is_news():
    mine, theirs = Headroom(), Headroom()
    call(mine, 1.0)
    mine.heard("b", Use(mine.scope, Totals(1), 0.0), Instant(1.0), own="a")
    mine.use(Instant(1.1), REPLICAS)
    assert mine.use(Instant(1.2), REPLICAS, is_news=True) is None

    mine._pace.windows.adopt(Belief(2.5, 10, 4.0))

    told = mine.use(Instant(1.3), REPLICAS, is_news=True)
    theirs.heard("a", told, Instant(1.31), own="b")
    assert theirs._pace.windows.size == 10
    assert theirs.use(Instant(1.4), REPLICAS) is not None
    assert theirs.use(Instant(1.5), REPLICAS, is_news=True) is None  # it is the other's belief


def test_window_is_learned_from_what_all_processes_sent():
    mine, theirs = Headroom(), Headroom()
    for number in range(10):
        call((mine, theirs)[number % 2], 100.0 + number / 10)
    call(theirs, 100.95, is_refused=True, fits_in_s=3.053)

    mine.heard("a", theirs.use(Instant(100.95), REPLICAS), Instant(100.957), own="b")
    theirs.heard("b", mine.use(Instant(100.96), REPLICAS), Instant(100.967), own="a")
    for began, refused_at in ((104.02, 105.0), (108.04, 109.1), (112.06, 113.14)):
        for number in range(10):
            call(theirs, began + number / 10)
        call(theirs, refused_at, is_refused=True, fits_in_s=began + 4.003 - refused_at)
    theirs.wait_s(1, Instant(114.0))
    mine.heard("a", theirs.use(Instant(114.0), REPLICAS), Instant(114.007), own="b")

    assert theirs.refill(1) == pytest.approx(2.5, rel=0.01)
    assert mine.refill(1) == theirs.refill(1)  # who has the first name leads


def test_a_new_process_goes_on_from_what_the_others_believe_though_it_has_the_first_name():
    newest = Headroom()
    call(newest, 100.0)

    newest.heard("b", Use(newest.scope, calls=Calls(1), belief=Belief(2.5, 10, 4.0)), Instant(100.1), own="a")

    assert newest.refill(1) == pytest.approx(2.5)


@pytest.mark.parametrize("belief", [Belief(2.5, 10, 4.0), Belief(2.5, is_bucket=True), Belief(2.5)])
def test_what_the_first_believed_holds_on_when_it_has_left(belief):
    headroom = Headroom()
    call(headroom, 100.0)
    headroom.heard("a", Use(headroom.scope, calls=Calls(1), belief=belief), Instant(100.1), own="b")

    assert headroom.sharers(Instant(200.0)) == 1

    assert headroom.refill(1) == pytest.approx(2.5, rel=0.01)


def test_who_hears_of_another_with_its_first_refusal_reckons_with_the_calls_of_both():
    mine, theirs = Headroom(), Headroom()
    for number in range(20):
        call((mine, theirs)[number % 2], 100.0 + number / 5)
    call(theirs, 104.0, is_refused=True, fits_in_s=1.0)
    assert theirs._pace.rate == pytest.approx(2.0, rel=0.1)  # four fifths of what it sent itself

    mine.heard("b", theirs.use(Instant(104.0), REPLICAS), Instant(104.007), own="a")
    theirs.heard("a", mine.use(Instant(104.01), REPLICAS), Instant(104.017), own="b")

    assert mine._pace.rate == pytest.approx(4.0, rel=0.1)
    assert theirs._pace.rate == mine._pace.rate


def test_pauses_between_calls_that_are_heard_of_late_are_none_of_all_calls():
    mine, theirs = Headroom(), Headroom()
    for number in range(16):  # each pauses for 1.6 s while the other sends
        call((mine, theirs)[number % 2], 100.0 + number * 0.8)
    call(theirs, 112.8, is_refused=True)

    mine.heard("b", theirs.use(Instant(112.8), REPLICAS), Instant(112.807), own="a")

    assert 0.8 * 16 / 12.8 <= mine._pace.rate <= 1.6


def test_who_guesses_tells_no_caller_that_he_would_wait_in_vain():
    mine, theirs = Headroom(), Headroom()
    call(theirs, 100.0)
    call(theirs, 101.0, is_refused=True, fits_in_s=2.0)
    call(mine, 101.0)

    mine.heard("a", theirs.use(Instant(101.1), REPLICAS), Instant(101.107), own="b")

    assert theirs._pace.rate == mine._pace.rate > 0
    assert theirs.refill(1) == mine.refill(1) == 0.0


def test_a_process_that_comes_back_tells_nothing_that_was_not_known():
    mine, theirs = Headroom(), Headroom()
    call(theirs, 100.0)
    mine.heard("b", theirs.use(Instant(100.0), REPLICAS), Instant(100.007), own="a")
    for number in range(10):
        call(mine, 100.1 + number / 10)
    call(mine, 101.2, is_refused=True, fits_in_s=9.0)
    guess = mine._pace.rate

    assert mine.sharers(Instant(200.0)) == 1
    call(theirs, 200.0)
    mine.heard("b", theirs.use(Instant(200.0), REPLICAS), Instant(200.007), own="a")

    assert mine.sharers(Instant(200.1)) == 2
    assert mine._pace.windows.was_refused
    assert mine._pace.rate == pytest.approx(guess)


def test_who_was_never_refused_keeps_its_pace_when_it_hears_of_others():
    hearsay = Hearsay()
    hearsay.expect(Belief(0.5, is_bucket=True), 1)
    used, unused = Headroom(hearsay=hearsay), Headroom(hearsay=hearsay)
    used._newcomer = None  # it began before anybody believed in anything
    call(used, 100.0)

    for headroom in (used, unused):
        headroom.heard("b", Use(headroom.scope, Totals(1), calls=Calls(1)), Instant(100.1), own="a")

    assert used._pace.rate == 0.0
    assert unused._pace.rate == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("belief", "remembered_s"),
    [
        pytest.param(Belief(2.5, 10, 4.0), 6.0, id="window"),
        pytest.param(Belief(0.05, is_bucket=True), 100.0, id="bucket"),
        pytest.param(Belief(2.5), 60.0, id="nothing"),
    ],
)
def test_others_are_reckoned_with_as_long_as_their_calls_count(belief, remembered_s):
    headroom = Headroom()
    call(headroom, 100.0)
    headroom.heard("a", Use(headroom.scope, calls=Calls(1), belief=belief), Instant(100.0), own="b")

    assert headroom.sharers(Instant(100.0 + remembered_s * 0.98)) == 2
    assert headroom.is_near(Instant(100.0 + remembered_s * 0.98))
    assert headroom.sharers(Instant(100.0 + remembered_s * 1.02)) == 1


def test_hungry_processes_take_turns():
    headroom = Headroom()
    call(headroom, 100.0)
    belief = Belief(2.0)
    use = Use(headroom.scope, is_hungry=True, calls=Calls(1, sent=(500,)), belief=belief)
    headroom.heard("a", use, Instant(100.0), own="b")

    behind_s = headroom.wait_s(1, Instant(100.5))
    headroom.heard("a", Use(headroom.scope, is_hungry=True, calls=Calls(501, sent=(0,)), belief=belief), Instant(100.5))
    next_s = headroom.wait_s(1, Instant(100.5))

    assert behind_s > 0
    assert 0 < next_s < 1.0


def test_releases_that_tell_totals_alone_count_as_well():
    headroom = Headroom()
    call(headroom, 100.0)
    call(headroom, 100.0, is_refused=True, fits_in_s=1.0)
    now = Instant(101.0)
    headroom.heard("old", Use(headroom.scope, Totals(100)), now)
    before_s = headroom.wait_s(1, now)

    headroom.heard("old", Use(headroom.scope, Totals(103)), now)

    assert headroom.wait_s(1, now) > before_s


def test_where_headers_tell_of_the_limit_no_calls_are_told():
    headroom = Headroom()
    headroom.heard("a", Use(headroom.scope, Totals(1)), Instant(1.0))

    assert headroom.use(Instant(1.0), REPLICAS).calls is None
    assert not headroom.is_known
