"""Who may go before the head of a line."""

import pytest

from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.relay.overtaking import gap_beside, let_pass, tightest
from gateway.relay.waiting import Waiting
from tests.fakes.clock import FakeClock

KEY = ("", "gpt-4", "chat.completions")
NOW = Instant(1000.0)


class Account:
    """A member of which so many tokens are left; a call of any more fits after 3 s."""

    token_limit = 20_000

    def __init__(self, name, room, *, frees_at_once=False, piece=None, loses_room=True, spare=0.0):
        self._loses_room, self._spare = loses_room, spare
        self.account_id = AccountId(name)
        self._room, self._frees_at_once = room, frees_at_once
        self._piece = room if piece is None else piece

    def token_room(self, now):
        return self._room

    def piece(self, now):
        return self._piece

    def spare(self, tokens, at):
        return self._spare

    def loses_room(self):
        return self._loses_room

    def frees_at_once(self):
        return self._frees_at_once

    def wait_s(self, tokens, now):
        return 0.0 if tokens <= self._room else 3.0


def line_of(*sizes):
    room = Waiting(clock=FakeClock(), max_calls=100, max_bytes=10_000)
    return room, [room.join(KEY, 1, tokens=tokens) for tokens in sizes]


def line(*sizes):
    room, tickets = line_of(*sizes)
    return room.line_of(tickets[0])


def test_the_account_that_fits_the_head_first_is_kept_for_it():
    short = [(2.0, Account("a", 300)), (1.0, Account("b", 900)), (4.0, Account("c", 500))]

    gap = gap_beside(line(4000, 200), short, [], NOW)

    assert (gap.kept, gap.tokens, gap.grows_at) == ({"b"}, 500, FOREVER)


@pytest.mark.parametrize(("wait_s", "kept"), [(4.0, set()), (2.0, {"a"})])
def test_an_account_without_any_room_may_be_the_first_to_fit_the_head(wait_s, kept):
    spent = [(Instant(NOW + 1.0), Account("b", 0))]  # there the head fits after 3 s

    gap = gap_beside(line(4000, 200), [(wait_s, Account("a", 300)), (5.0, Account("c", 500))], spent, NOW)

    assert (gap.kept, gap.tokens) == (kept, 500)


def test_an_account_that_has_room_for_anybody_only_later_is_no_rival():
    spent = [(Instant(NOW + 2.0), Account("b", 5000))]

    gap = gap_beside(line(4000, 200), [(1.0, Account("a", 300)), (5.0, Account("c", 500))], spent, NOW)

    assert gap.kept == {"a"}


def test_an_account_whose_whole_limit_is_too_small_is_not_kept():
    small = Account("a", 300)
    small.token_limit = 3999

    gap = gap_beside(line(4000, 200), [(1.0, small), (2.0, Account("b", 900))], [], NOW)

    assert (gap.kept, gap.tokens) == ({"b"}, 300)


def test_nothing_is_kept_where_all_is_free_at_once():
    gap = gap_beside(line(4000, 200), [(1.0, Account("b", 900, frees_at_once=True))], [], NOW)

    assert (gap.kept, gap.tokens) == (frozenset(), 900)


@pytest.mark.parametrize(
    ("spare", "kept", "tokens"), [(199, {"a"}, 0.0), (200, set(), 200), (5000, set(), 900)]
)  # fmt: skip
def test_what_the_head_will_leave_over_in_the_only_account_is_free(spare, kept, tokens):
    gap = gap_beside(line(4000, 200), [(1.0, Account("a", 900, spare=spare))], [], NOW)

    assert (gap.kept, gap.tokens, gap.grows_at) == (kept, tokens, FOREVER)


def test_what_the_head_will_leave_over_is_not_looked_for_where_there_is_other_room():
    gap = gap_beside(line(4000, 200), [(1.0, Account("a", 900, spare=900)), (2.0, Account("b", 300))], [], NOW)

    assert (gap.kept, gap.tokens) == ({"a"}, 300)


def test_buckets_lose_nothing_while_the_head_waits():
    short = [(1.0, Account("a", 900, loses_room=False)), (2.0, Account("b", 900, loses_room=False))]

    gap = gap_beside(line(4000, 200), short, [], NOW)

    assert (gap.kept, gap.tokens, gap.grows_at) == ({"a", "b"}, 0.0, FOREVER)


def test_who_is_too_large_for_the_gap_looks_when_it_grows():
    gap = gap_beside(line(4000, 200), [(1.0, Account("a", 900)), (4.0, Account("b", 100))], [], NOW)

    assert (gap.tokens, gap.grows_at) == (100, NOW + 3.0)


def test_the_largest_that_fits_goes_before_the_head():
    waiting, (head, large, small, smaller, other) = line_of(4000, 3000, 200, 400, 400)

    let_pass(waiting, head, [(1.0, Account("a", 900)), (4.0, Account("b", 500))], [], NOW)

    assert [ticket.kept for ticket in (large, small, smaller, other)] == [None, None, {"a"}, None]


def test_a_head_that_finds_no_room_anywhere_leaves_none():
    waiting, (head, small) = line_of(4000, 200)
    waiting.line_of(head).gap = 500.0

    wake_at = let_pass(waiting, head, [], [], NOW)

    assert (wake_at, small.kept, waiting.line_of(head).gap) == (FOREVER, None, 0.0)


def test_nobody_goes_before_a_call_of_its_size():
    waiting, (head, same) = line_of(400, 400)

    wake_at = let_pass(waiting, head, [(1.0, Account("a", 300)), (2.0, Account("b", 200))], [], NOW)

    assert (same.kept, wake_at) == (None, FOREVER)
    assert waiting.line_of(head).gap == 300  # who comes next and is smaller makes the head look again


@pytest.mark.parametrize(("tokens", "is_rung"), [(500, True), (501, False)])
async def test_who_comes_and_would_fit_makes_the_head_look(tokens, is_rung):
    waiting, (head,) = line_of(4000)
    waiting.line_of(head).gap = 500.0

    waiting.join(KEY, 1, tokens=tokens)

    assert head.is_rung == is_rung


def test_the_average_is_of_all_that_wait_and_the_one_that_asks():
    waiting, (head, _) = line_of(1000, 3000)

    assert waiting.average_tokens(KEY, 200) == 1400
    waiting.leave(head)
    assert waiting.average_tokens(KEY, 1000) == 2000
    assert waiting.average_tokens(("other",), 7) == 7


def test_the_smallest_piece_that_is_enough_is_used_up_first():
    found = [Account("a", 900), Account("b", 300), Account("c", 500), Account("d", 9000, piece=float("inf"))]

    assert tightest(found, 400, NOW) == 2
    assert tightest(found, 901, NOW) is None
