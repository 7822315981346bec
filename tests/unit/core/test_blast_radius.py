import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blast_radius import (
    COUNTED,
    MAX_KEPT,
    WINDOW_S,
    Refusal,
    Refusals,
    agree,
    is_provider_at_fault,
    kept,
    refusal_of,
)
from gateway.core.cooldown import ScopeNames
from gateway.core.ids import NEVER, CallId, Instant
from gateway.core.outcome import Outcome, OutcomeKind

NOW = Instant(1000.0)
ALL = ["a", "b", "c", "d"]
DEAD_KEY = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401, "invalid_api_key")
NO_PERMISSION = Outcome(OutcomeKind.MISSING_PERMISSION, 403, "missing_scope")
NO_MODEL = Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404, "model_not_found")
WALL = Outcome(OutcomeKind.FORBIDDEN, 403)


def refusal(holder: str, outcome: Outcome = WALL, *, call: str = "1", at: float = NOW) -> Refusal:
    made = refusal_of(outcome, ScopeNames(holder, holder, "gpt-4", "chat"), CallId(call), Instant(at))
    assert made is not None
    return made


def refused(holders: str, outcome: Outcome = WALL, *, calls: str = "") -> Refusals:
    """One refusal a letter; `calls` names the call of each."""
    calls = calls or "1" * len(holders)
    return tuple(refusal(holder, outcome, call=call) for holder, call in zip(holders, calls, strict=True))


def do_agree(refusals: Refusals, holders: list[str]) -> bool:
    return bool(agree(refusals, refusals[-1], holders))


@pytest.mark.parametrize("kind", sorted(set(OutcomeKind) - COUNTED))
def test_what_is_the_accounts_own_or_the_upstreams_never_counts(kind):
    assert refusal_of(Outcome(kind, 403), ScopeNames("a", "a", "m", "e"), CallId("1"), NOW) is None


@pytest.mark.parametrize("kind", sorted(COUNTED))
def test_a_429_never_counts_whatever_it_says(kind):
    assert refusal_of(Outcome(kind, 429), ScopeNames("a", "a", "m", "e"), CallId("1"), NOW) is None


@pytest.mark.parametrize("outcome", [WALL, NO_MODEL], ids=["403", "no model"])
def test_three_scopes_agree_or_all_where_there_are_fewer(outcome):
    assert do_agree(refused("abc", outcome), ALL)
    assert not do_agree(refused("ab", outcome), ALL)
    assert do_agree(refused("ab", outcome), ["a", "b"])


@pytest.mark.parametrize("outcome", [DEAD_KEY, NO_PERMISSION], ids=["401", "permission"])
def test_faults_of_accounts_must_be_on_all(outcome):
    assert not do_agree(refused("abc", outcome), ALL)
    assert do_agree(refused("abcd", outcome), ALL)


@pytest.mark.parametrize("outcome", [DEAD_KEY, NO_PERMISSION, NO_MODEL, WALL])
def test_one_alone_agrees_with_nobody(outcome):
    assert not do_agree(refused("a", outcome), ["a"])
    assert not do_agree(refused("aaa", outcome), ["a"])


def test_accounts_of_one_quota_group_are_one_scope():
    assert not do_agree(refused("aab"), ALL)


def test_other_words_are_another_refusal():
    other = Outcome(OutcomeKind.FORBIDDEN, 403, "unsupported_country_region_territory")

    assert not do_agree((*refused("ab"), refusal("c", other)), ALL)


def test_refusals_that_agree_are_those_alike_and_no_others():
    alike = refused("abc")

    assert agree((refusal("d", DEAD_KEY), *alike), alike[-1], ALL) == alike


def test_two_calls_with_nobody_served_blame_the_provider():
    assert is_provider_at_fault(refused("abc", calls="121"), served_at=NEVER)
    assert is_provider_at_fault(refused("abc", calls="121"), served_at=Instant(NOW - WINDOW_S))


def test_one_call_alone_does_not_blame_the_provider():
    assert not is_provider_at_fault(refused("abc"), served_at=NEVER)


def test_a_provider_that_served_a_moment_ago_is_not_to_blame():
    assert not is_provider_at_fault(refused("abc", calls="121"), served_at=Instant(NOW - 4.9))


def test_a_model_that_nobody_has_does_not_blame_the_provider():
    assert not is_provider_at_fault(refused("abc", NO_MODEL, calls="121"), served_at=NEVER)


def test_refusals_that_do_not_agree_blame_nobody():
    assert not is_provider_at_fault((), served_at=NEVER)


@given(gaps_s=st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_refusals_are_kept_for_the_window_and_no_longer(gaps_s):
    refusals: Refusals = ()
    now = NOW
    for gap_s in gaps_s:
        now = Instant(now + gap_s)
        refusals = kept(refusals, refusal("a", at=now))

    assert all(now - WINDOW_S < each.at <= now for each in refusals)
    assert refusals[-1].at == now


def test_refusals_are_bounded():
    refusals: Refusals = ()
    for _ in range(MAX_KEPT + 10):
        refusals = kept(refusals, refusal("a"))

    assert len(refusals) == MAX_KEPT


@given(letters=st.text("abcd", min_size=1, max_size=8), outcome=st.sampled_from([WALL, NO_MODEL, DEAD_KEY]))
def test_more_refusals_never_make_agreement_disagree(letters, outcome):
    some = refused(letters, outcome)
    more = (*some, *refused("abcd", outcome))

    assert do_agree(more, ALL)
    assert not do_agree(some, ALL) or do_agree((*some, refusal("a", outcome)), ALL)
