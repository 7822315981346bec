"""A board through any interleaving of attempts, outcomes, news and snapshots."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.ids import AccountId
from gateway.core.outcome import Outcome, OutcomeKind, Scope, ScopeKind
from gateway.relay.healths import PROBE_PASSES_S
from gateway.relay.lease import Lease
from gateway.relay.pool import candidates_of
from gateway.relay.view import soonest_of
from tests.fakes.relay_kit import RelayKit, account

NAMES = ("a", "b", "c")
MODELS = ("gpt-4", "gpt-5")
KINDS = st.sampled_from([kind for kind in OutcomeKind if kind is not OutcomeKind.CANCELLED])


class AnyBoard(RuleBasedStateMachine):
    """Attempts are made only on candidates, as the loop does."""

    def __init__(self):
        super().__init__()
        self.rows = {
            "a": account("a", quota_group="org"),
            "b": account("b", quota_group="org", max_concurrency=2),
            "c": account("c"),
        }
        self.keys = 0
        self.kit = RelayKit(*self.rows.values())
        self.leases: list[Lease] = []

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.1, 5.0, 61.0, 3601.0]))
    def time_passes(self, seconds):
        self.kit.clock.move(seconds)

    @rule(model=st.sampled_from(MODELS), data=st.data())
    def attempt_begins(self, model, data):
        kit = self.kit
        pool = kit.pool(model)
        found = candidates_of(kit.board.view(pool, kit.clock.now()), ())
        if not found:
            return
        member = data.draw(st.sampled_from(found))
        assert member.has_room()
        self.leases.append(kit.board.take(pool, member, kit.clock.now()))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), kind=KINDS, named=st.none() | st.floats(0, 100), limit=st.sampled_from([None, "x", "y"]))
    def attempt_ends(self, data, kind, named, limit):
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        outcome = Outcome(kind, retry_after_s=named, limit_name=limit if kind is OutcomeKind.RATE_LIMITED else None)
        before = self.kit.board.healths.by_scope.copy()
        self.kit.board.observe(lease, outcome, self.kit.clock.now())
        for scope, health in before.items():
            after = self.kit.board.healths.by_scope[scope]
            assert after.until >= health.until or kind is OutcomeKind.OK
        lease.release()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def attempt_is_cancelled(self, data):
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        lease.release()
        lease.release()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def stream_is_committed(self, data):
        lease = data.draw(st.sampled_from(self.leases))
        self.kit.board.observe(lease, Outcome(OutcomeKind.OK, 200), self.kit.clock.now())

    @rule(name=st.sampled_from(NAMES))
    def credential_changes(self, name):
        self.keys += 1
        before = self.rows[name]
        self.rows[name] = account(
            name, key=f"sk-{self.keys}", quota_group=before.quota_group, max_concurrency=before.max_concurrency
        )
        self.kit.set_accounts(*self.rows.values())

    @rule(name=st.sampled_from(NAMES))
    def operator_clears(self, name):
        self.kit.board.clear(AccountId(name))
        assert self.kit.board.status_of(AccountId(name)) == []

    @rule(name=st.sampled_from(NAMES), model=st.sampled_from(MODELS))
    def recovery_is_heard(self, name, model):
        self.kit.board.hear_recoveries([Scope(ScopeKind.HOLDER_MODEL, name, model)])

    @rule()
    def board_is_tidied(self):
        self.kit.board.tidy()

    @invariant()
    def loads_are_those_of_the_leases(self):
        board = self.kit.board
        assert board.in_flight_calls == len(self.leases)
        for name in NAMES:
            held = sum(lease.member.account_id == name for lease in self.leases)
            assert board.in_flight(AccountId(name)) == held

    @invariant()
    def no_scope_has_two_young_probes(self):
        now = self.kit.clock.now()
        probed = [
            scope
            for lease in self.leases
            for scope in lease.probes
            if now - lease.started < PROBE_PASSES_S
            and (health := self.kit.board.healths.by_scope.get(scope)) is not None
            and health.may_probe(now)
            and lease.started > health.since
        ]
        assert len(probed) == len(set(probed))

    @invariant()
    def only_rested_scopes_are_tried(self):
        now = self.kit.clock.now()
        for model in MODELS:
            view = self.kit.board.view(self.kit.pool(model), now)
            for member in (member for tier in view.tiers for member in tier):
                for scope in member.scopes:
                    health = self.kit.board.healths.by_scope.get(scope)
                    assert health is None or health.phase == "ready" or health.may_probe(now)

    @invariant()
    def views_that_were_told_are_those_that_are_made_anew(self):
        board, now = self.kit.board, self.kit.clock.now()
        for model in MODELS:
            pool = self.kit.pool(model)
            told, anew = board.view(pool, now), board.views.made(pool, now)
            assert told.tiers == anew.tiers
            assert told.resting == anew.resting
            assert told.full == anew.full
            assert set(told.soonest()) == set(soonest_of(anew.resting.values()))
            assert told.dimmed == anew.dimmed


AnyBoard.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyBoard = AnyBoard.TestCase
