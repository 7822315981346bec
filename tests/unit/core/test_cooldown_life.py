"""Any sequence of outcomes on one scope, attempts started at any time: what must hold whatever happens."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.cooldown import BLANK, DAY, HOUR, RESTS, Health, Phase, after, probe_passed, told
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import LimitSpan, Outcome, OutcomeKind

OK = Outcome(OutcomeKind.OK)
T0 = 1000.0
PARKING = st.sampled_from(sorted(set(RESTS) | {OutcomeKind.TIMED_OUT, OutcomeKind.UPSTREAM_ERROR}))


class AnyLife(RuleBasedStateMachine):
    """One scope through whatever may happen: attempts begin at any time and come to anything."""

    def __init__(self):
        super().__init__()
        self.now = T0
        self.health = BLANK
        self.running: list[float] = []

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 30.0, 61.0, 700.0, HOUR, 7 * HOUR]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def attempt_begins(self):
        self.running.append(self.now)

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        kind=PARKING,
        named=st.none() | st.floats(0, 1e6),
        span=st.sampled_from(LimitSpan),
        jitter=st.floats(0, 1, exclude_max=True),
        is_known=st.booleans(),
    )
    def attempt_fails(self, data, kind, named, span, jitter, is_known):
        started = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.health
        self.health = after(
            before,
            Outcome(kind, retry_after_s=named, span=span),
            started=Instant(started),
            now=Instant(self.now),
            jitter=jitter,
            is_model_known=is_known,
        )
        assert self.health.until >= before.until
        assert self.health.strikes <= before.strikes + 1
        assert self.health.strikes >= before.strikes or before.reason is not kind
        if started <= before.since and before.phase is not Phase.READY:
            assert self.health.strikes == before.strikes
            assert self.health.since == before.since
            assert self.health.phase is before.phase
        if started < before.since and before.phase is Phase.READY:
            assert self.health.phase is Phase.READY
        if before.phase is Phase.REJECTED:
            assert self.health.phase is Phase.REJECTED
        if self.health.until > before.until and self.health.phase is Phase.COOLING:
            assert self.now <= self.health.until <= self.now + max(DAY + 1, 6 * HOUR * 1.5)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def attempt_succeeds(self, data):
        started = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.health
        self.health = after(before, OK, started=Instant(started), now=Instant(self.now), jitter=0.0)
        if started <= before.since:
            assert self.health is before
        else:
            assert self.health == Health(since=before.since, dimmed_until=before.dimmed_until)

    @precondition(lambda self: self.health.may_probe(Instant(self.now)))
    @rule()
    def probe_passes(self):
        before = self.health
        self.health = probe_passed(before)
        assert self.health.phase is Phase.READY
        assert (self.health.until, self.health.strikes) == (before.until, before.strikes)

    @rule(seconds=st.floats(-100, DAY), strikes=st.integers(1, 10))
    def another_process_tells(self, seconds, strikes):
        at = Instant(self.now + seconds)
        before = self.health
        news = Health(Phase.COOLING, strikes, 0, Instant(self.now), at, at, reason=OutcomeKind.RATE_LIMITED)
        self.health = told(before, news)
        assert self.health.until >= before.until
        assert self.health.strikes >= before.strikes

    @invariant()
    def rests_have_a_reason_and_a_way_back(self):
        health = self.health
        if health.phase is Phase.READY:
            return
        assert health.reason is not None
        assert health.strikes >= 1
        assert health.probe_at <= health.until
        assert health.since <= self.now
        assert (health.until == FOREVER) == (health.phase is Phase.REJECTED)


AnyLife.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnyLife = AnyLife.TestCase
