"""What others took of a window, by what headers tell of it."""

import pytest

from gateway.core.foreign import Foreign
from gateway.core.freeing import FIXED, SLIDING
from gateway.core.headroom import Headroom
from gateway.core.hearsay import Hearsay
from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant

LIMIT, PERIOD_S = 40, 10.0
EARLIER_S = 3 * PERIOD_S
"""In which each account finds out that its limit is a window's."""


class Upstream:
    """One window for all accounts, or one each. A fixed one begins with each tenth second."""

    def __init__(self, *, is_shared, slides):
        self.is_shared, self.slides = is_shared, slides
        self.taken = {}
        self.hearsay = Hearsay()
        """Of all its accounts."""

    def admit(self, account, at):
        """Whether there is room, and what the answer tells."""
        taken = self.taken.setdefault("all" if self.is_shared else account, [])
        began = at - PERIOD_S if self.slides else at // PERIOD_S * PERIOD_S
        held = [one for one in taken if one > began] if self.slides else [one for one in taken if one >= began]
        is_admitted = len(held) < LIMIT
        if is_admitted:
            taken.append(at)
            held.append(at)
        reset_s = PERIOD_S if self.slides else began + PERIOD_S - at
        return is_admitted, RateLimits(requests=Quota(LIMIT, LIMIT - len(held), reset_s + 1e-4))


class Account:
    """What this process knows of one."""

    def __init__(self, name, upstream):
        self.name, self.upstream = name, upstream
        self.headroom, self.foreign = Headroom(hearsay=upstream.hearsay), Foreign()

    def call(self, at):
        """It is sent then, and answered in no time."""
        self.answer(self.headroom.take(1, Instant(at)), at)

    def answer(self, sent, at):
        is_admitted, limits = self.upstream.admit(self.name, sent.at)
        if self.headroom.learn(limits, sent, Instant(at), is_success=is_admitted):
            level = self.headroom.level_of("requests")
            self.foreign.note(self.headroom, level, limits.requests, sent, is_success=is_admitted)

    def burst(self, at, calls):
        """All are sent before the first is answered."""
        for sent in [self.headroom.take(1, Instant(at)) for _ in range(calls)]:
            self.answer(sent, at + 0.01)


def accounts(names="ab", *, is_shared, slides=False, calls=4):
    """Each has sent so many calls in each of some windows, and nothing for a while since."""
    upstream = Upstream(is_shared=is_shared, slides=slides)
    some = [Account(name, upstream) for name in names]
    at = 0.0
    while at < EARLIER_S:
        for index, one in enumerate(some):
            one.call(at + 0.3 * index)
        at += PERIOD_S / calls
    for index, one in enumerate(some):
        one.foreign = Foreign()
        one.call(EARLIER_S + 0.3 * index)
    return some


@pytest.mark.parametrize("slides", [False, True])
@pytest.mark.parametrize("is_shared", [False, True])
def test_what_is_missing_beyond_own_calls_tells_whose_a_window_is(is_shared, slides):
    a, b = accounts(is_shared=is_shared, slides=slides)
    verdicts = set()
    for number in range(60):
        for index, one in enumerate((a, b)):
            one.call(EARLIER_S + PERIOD_S * 1.1 + number * 0.9 + 0.3 * index)
            if not one.foreign.is_told:
                verdicts.add(one.foreign.verdict([b.foreign if one is a else a.foreign]))

    assert a.foreign.kind is (SLIDING if slides else FIXED)
    assert verdicts == {None, is_shared}


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_burst_into_a_window_tells_it_too(is_shared):
    some = accounts("abcd", is_shared=is_shared)
    for one in some:
        one.burst(EARLIER_S + PERIOD_S + 0.02, LIMIT)
    verdicts = [one.foreign.verdict([other.foreign for other in some if other is not one]) for one in some]

    assert verdicts[-1] is is_shared
    assert (not is_shared) not in verdicts


@pytest.mark.parametrize("slides", [False, True])
def test_what_was_used_before_the_first_answer_tells_nothing(slides):
    upstream = Upstream(is_shared=False, slides=slides)
    a, b = (Account(name, upstream) for name in "ab")
    for one in (a, b):  # another process did, before this one began
        upstream.taken[one.name] = [EARLIER_S + 0.1] * 20
    for number in range(8):
        for one in (a, b):
            one.call(EARLIER_S + 1.0 + number)

    assert a.headroom.level_of("requests").kind is (SLIDING if slides else FIXED)
    assert (a.foreign.verdict([b.foreign]), b.foreign.verdict([a.foreign])) == (False, False)
