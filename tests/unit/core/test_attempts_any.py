"""Any call, whatever its attempts come to: it ends."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.attempts import ACCOUNT_FAULTS, Plan, Resting, Retry, Stop, Wait, next_step
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import Outcome, OutcomeKind

KINDS = [kind for kind in OutcomeKind if kind not in {OutcomeKind.OK, OutcomeKind.CANCELLED}]


@given(
    accounts=st.integers(1, 8),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=60),
    rest_s=st.floats(0.01, 30.0),
    is_creating=st.booleans(),
    retry=st.sampled_from([Retry.AT_ONCE, Retry.AFTER_BACKOFF]),
    seed=st.integers(0, 999),
)
def test_every_call_ends_and_never_tries_an_excluded_account(accounts, kinds, rest_s, is_creating, retry, seed):
    rng = Random(seed)
    names = [AccountId(f"a{number}") for number in range(accounts)]
    parked_until = dict.fromkeys(names, 0.0)
    plan, now, attempts, since_wait = Plan(), 0.0, 0, set()

    for _ in range(20_000):
        free = [name for name in names if parked_until[name] <= now and name not in plan.excluded]
        resting = [
            Resting(OutcomeKind.RATE_LIMITED, Instant(until), Instant(until))
            for until in parked_until.values()
            if until > now
        ] + [Resting(None, Instant(now), Instant(now)) for name in plan.parked if parked_until[name] <= now]
        done = next_step(
            plan,
            has_candidate=bool(free),
            resting=resting,
            now=Instant(now),
            wait_until=Instant(10.0),
            retry=retry,
        )
        if isinstance(done, Stop):
            break
        if isinstance(done, Wait):
            assert done.until >= now
            now = done.until
            plan = plan.rested() if done.is_backoff else plan.recovered()
            since_wait = set()
            continue
        chosen = rng.choice(free)
        assert chosen not in since_wait
        since_wait.add(chosen)
        kind = kinds[attempts % len(kinds)]
        attempts += 1
        if kind in ACCOUNT_FAULTS:
            parked_until[chosen] = now + rest_s
        plan = plan.after(chosen, Outcome(kind, is_definite_refusal=kind in ACCOUNT_FAULTS), is_creating=is_creating)
    else:
        pytest.fail("the call never ended")

    assert now <= 10.0 + 2.0
