"""When a provider that fails for everybody is left in peace, who finds out whether it is back, and who is told."""

import pytest

from gateway.core.breaker import BreakerNews, Span
from gateway.core.outcome import Fault, FaultKind, Outcome, OutcomeKind
from tests.fakes.relay_kit import PROVIDER, RelayKit

SERVED = Outcome(OutcomeKind.OK, 200)
ERROR = Outcome(OutcomeKind.UPSTREAM_ERROR, 500)
SILENCE = Outcome(OutcomeKind.TIMED_OUT, fault=FaultKind.HEADERS_TIMEOUT)
REFUSED = Outcome(OutcomeKind.UNREACHABLE, fault=FaultKind.CONNECT)
UNREACHABLE = Fault(FaultKind.CONNECT, "refused")


def broken(outcome: Outcome = ERROR, *accounts: str) -> RelayKit:
    """A kit whose provider has just failed ten times."""
    kit = RelayKit(*(accounts or ("a", "b")))
    for _ in range(5):
        for name in accounts or ("a", "b"):
            kit.observe(name, outcome)
    return kit


def heard(kit: RelayKit) -> list[BreakerNews]:
    news: list[BreakerNews] = []
    kit.board.breakers.on_news = news.append
    return news


# -- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [ERROR, SILENCE, REFUSED], ids=["500", "silence", "refused"])
def test_provider_that_fails_whoever_asks_rests(outcome):
    assert broken(outcome).serving() == set()


@pytest.mark.parametrize(
    "kind", [OutcomeKind.RATE_LIMITED, OutcomeKind.CALLER_FAULT, OutcomeKind.FORBIDDEN, OutcomeKind.CANCELLED]
)
def test_other_outcomes_open_no_breaker(kind):
    kit = broken(Outcome(kind, 400))

    assert not kit.board.breakers.is_open_at(PROVIDER)


def test_one_account_that_fails_is_not_its_provider():
    kit = RelayKit("a", "b")
    for _ in range(20):
        kit.observe("a", ERROR)

    assert kit.serving() == {"a", "b"}


def test_only_account_rests_after_five_failures_in_a_row():
    kit = RelayKit("a")
    kit.pool()
    for _ in range(4):
        kit.serving()
        kit.observe("a", ERROR)
    assert kit.serving() == {"a"}

    kit.observe("a", ERROR)

    assert kit.serving() == set()


def test_the_only_account_that_does_not_rest_counts_as_the_only_one():
    kit = RelayKit("a", "b")
    kit.observe("b", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))
    for _ in range(5):
        assert kit.serving() == {"a"}
        kit.observe("a", ERROR)

    assert kit.serving() == set()


def test_models_of_a_provider_break_one_by_one_but_share_their_connections():
    assert broken(ERROR).serving("gpt-4o") == {"a", "b"}
    assert broken(REFUSED).serving("gpt-4o") == set()


@pytest.mark.parametrize(("failures", "serving"), [(9, {"a", "b"}), (10, set())])
def test_ten_failures_in_a_row_open_the_breaker_whatever_was_answered_before(failures, serving):
    kit = RelayKit("a", "b")
    assert kit.serving() == {"a", "b"}
    for _ in range(50):
        kit.observe("a", SERVED)

    for number in range(failures):
        kit.observe("ab"[number % 2], ERROR)

    assert kit.serving() == serving


def test_two_broken_accounts_among_others_are_not_their_provider():
    kit = RelayKit("a", "b", "c", "d")
    assert kit.serving() == {"a", "b", "c", "d"}
    for _ in range(50):
        kit.observe("c", SERVED)

    for name in "ab" * 6:
        kit.observe(name, ERROR)

    assert kit.serving() == {"a", "b", "c", "d"}


@pytest.mark.parametrize(("rest_s", "serving"), [(2.0, {"a"}), (60.0, set())])
def test_an_account_whose_limit_is_full_for_a_moment_leaves_the_other_not_the_only_one(rest_s, serving):
    kit = RelayKit("a", "b")
    kit.observe("b", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=rest_s))
    assert kit.serving() == {"a"}

    for _ in range(5):
        kit.observe("a", ERROR)

    assert kit.serving() == serving


# -- probing ---------------------------------------------------------------------------------------------------------


def test_after_the_rest_one_call_probes_and_the_others_wait_for_it():
    kit = broken()
    kit.clock.move(1.0)
    assert kit.serving() == {"a", "b"}

    probe = kit.take("a")

    assert kit.serving() == set()
    kit.board.observe(probe, SERVED, kit.clock.now())
    assert kit.serving() == {"a", "b"}


def test_a_probe_that_fails_doubles_the_rest():
    kit = broken()
    kit.clock.move(1.0)
    kit.observe("a", ERROR)

    kit.clock.move(1.9)
    assert kit.serving() == set()
    kit.clock.move(0.1)
    assert kit.serving() == {"a", "b"}


def test_a_probe_that_its_caller_gave_up_makes_room_for_the_next():
    kit = broken()
    kit.clock.move(1.0)

    kit.take("a").release()

    assert kit.serving() == {"a", "b"}


def test_others_follow_a_probe_that_did_not_fail_within_a_second():
    kit = broken()
    kit.clock.move(1.0)
    kit.take("a")

    kit.clock.move(1.0)

    assert kit.serving() == {"a", "b"}
    kit.take("b")
    assert kit.serving() == {"a", "b"}


def test_a_probe_into_silence_is_followed_by_one_more_and_no_others():
    kit = broken(SILENCE)
    kit.clock.move(1.0)
    kit.take("a")
    kit.clock.move(1.0)
    assert kit.serving() == {"a", "b"}

    kit.take("b")

    assert kit.serving() == set()


def test_what_was_in_flight_when_the_breaker_opened_says_nothing():
    kit = RelayKit("a", "b")
    early = [kit.take("a"), kit.take("b")]
    kit.clock.move(0.1)
    for name in "ab" * 5:
        kit.observe(name, ERROR)

    kit.board.observe(early[0], SERVED, kit.clock.now())
    kit.board.observe(early[1], ERROR, kit.clock.now())

    assert kit.serving() == set()
    kit.clock.move(1.0)
    assert kit.serving() == {"a", "b"}


def test_an_edited_account_ends_the_rest_of_its_provider():
    kit = broken()

    kit.set_accounts("a", "b", "c")

    assert kit.serving() == {"a", "b", "c"}
    assert not kit.board.breakers.is_open_at(PROVIDER)


def test_a_snapshot_without_news_of_the_provider_leaves_it_resting():
    kit = broken()

    kit.set_accounts("a", "b")

    assert kit.serving() == set()


def test_an_account_that_rests_longer_than_the_breaker_keeps_its_reason():
    kit = broken()
    lease = kit.take("a")
    kit.board.observe(lease, Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=60.0), kit.clock.now())

    view = kit.board.view(kit.pool(), kit.clock.now())

    reasons = {account_id: (rest.reason, rest.is_broken) for account_id, rest in view.resting.items()}
    assert reasons == {"a": (OutcomeKind.RATE_LIMITED, False), "b": (OutcomeKind.UPSTREAM_ERROR, True)}


def test_models_that_callers_make_up_are_forgotten_but_for_those_that_rest(monkeypatch):
    monkeypatch.setattr("gateway.relay.breakers.MAX_MODELS", 3)
    kit = broken()

    for number in range(5):
        kit.observe("a", SERVED, f"gpt-4-{number}")

    assert len(kit.board.breakers._models) <= 3
    assert kit.serving() == set()


# -- news ------------------------------------------------------------------------------------------------------------


def test_opening_and_closing_are_told_once_each():
    kit = RelayKit("a", "b")
    news = heard(kit)
    for name in "ab" * 5:
        kit.observe(name, ERROR)
    kit.clock.move(1.0)
    kit.observe("a", SERVED)

    assert [(each.span, each.what, each.breaker.is_open) for each in news] == [
        (Span.MODEL, "gpt-4", True),
        (Span.MODEL, "gpt-4", False),
    ]
    assert (news[0].attempts, news[0].failures) == (10, 10)


def test_refused_connections_are_told_with_their_origin():
    kit = RelayKit("a", "b")
    news = heard(kit)
    for name in "ab" * 5:
        kit.observe(name, REFUSED)

    assert [(each.span, each.what) for each in news] == [(Span.ORIGIN, "https://api.openai.com:443")]
