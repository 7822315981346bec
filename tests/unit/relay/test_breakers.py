"""What calls meet while a provider fails for everybody: one probe at a time; the others wait, or are told how long."""

import pytest

from gateway.core.breaker import BreakerNews, Span
from gateway.core.errors import AllOverloaded
from gateway.core.outcome import Fault, FaultKind, Outcome, OutcomeKind
from gateway.relay.answer import Answer
from tests.fakes.relay_kit import BROKEN, OK, PROVIDER, RelayKit, rate_limited
from tests.fakes.scripted_upstream import Reply

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


# -- whole calls -----------------------------------------------------------------------------------------------------


async def test_calls_wait_for_the_probe_and_are_served_when_it_succeeds():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", OK)
    began = kit.clock.now()
    calls = [kit.start() for _ in range(3)]

    answers = [await kit.finished(call) for call in calls]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert kit.upstream.attempts[0].at == began + 1.0
    kit.assert_idle()


async def test_one_probe_goes_while_the_others_still_wait():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", Reply(200, OK.headers, OK.pieces, wait_s=0.5))
    calls = [kit.start() for _ in range(5)]

    await kit.clock.advance(1.2)

    assert kit.upstream.running == 1
    answers = [await kit.finished(call) for call in calls]
    assert {answer.status for answer in answers} == {200}
    kit.assert_idle()


async def test_call_without_patience_is_told_when_to_come_back():
    kit = broken()

    with pytest.raises(AllOverloaded) as told:
        await kit.answer(max_wait_s=0.0)

    assert (told.value.status, told.value.code, told.value.retry_after_s) == (503, "upstream_unavailable", 1.0)
    assert kit.upstream.attempts == []


async def test_call_that_meets_the_breaker_between_its_attempts_waits_for_the_probe():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN)
    await kit.answer()
    kit.upstream.on("sk-a", BROKEN, OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.attempts[-1].at - kit.upstream.attempts[-2].at >= 1.0


async def test_call_that_met_the_fault_itself_is_answered_as_it_came_when_the_rest_is_too_long():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN)
    await kit.answer()

    answer = await kit.answer(max_wait_s=0.5)

    assert answer.status == 500
    kit.assert_idle()


async def test_an_upstream_that_is_down_meets_few_attempts_however_many_call():
    kit = RelayKit("a", "b")
    for name in "ab":
        kit.upstream.on(f"sk-{name}", UNREACHABLE)
    calls = []
    for _ in range(300):
        calls.append(kit.start(max_wait_s=5.0))
        await kit.clock.advance(0.1)

    for call in calls:
        with pytest.raises(Exception, match="upstream"):
            await kit.finished(call)

    assert len(kit.upstream.attempts) <= 10 + 3 + 10
    kit.assert_idle()


async def test_a_limit_met_by_a_probe_shows_that_the_upstream_is_back():
    kit = broken()
    kit.upstream.on("sk-a", rate_limited(60))
    kit.upstream.on("sk-b", rate_limited(60), OK)
    kit.clock.move(1.0)

    with pytest.raises(Exception, match="rate limit"):
        await kit.answer(max_wait_s=0.0)

    assert not kit.board.breakers.is_open_at(PROVIDER)


@pytest.mark.parametrize("names", ["abc", "abcdefgh"])
@pytest.mark.parametrize("fault", [BROKEN, UNREACHABLE], ids=["500", "refused"])
async def test_an_outage_of_a_second_costs_nobody_an_answer_though_many_were_served_before(names, fault):
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", OK)
    for _ in range(100):
        await kit.answer()
    served = len(kit.upstream.attempts)
    for name in names:
        kit.upstream.on(f"sk-{name}", fault)

    calls = []
    for _ in range(50):
        calls.append(kit.start())
        await kit.clock.advance(0.02)
    met = len(kit.upstream.attempts) - served
    for name in names:
        kit.upstream.on(f"sk-{name}", OK)
    answers = [await kit.finished(call) for call in calls]

    assert {answer.status for answer in answers} == {200}
    assert met <= 2 * 10
    kit.assert_idle()


async def test_a_long_outage_ends_no_call_that_finds_out_for_others_whether_it_is_over():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", *[BROKEN] * 4, OK)
    calls = [kit.start(max_wait_s=300.0) for _ in range(2)]

    answers = [await kit.finished(call) for call in calls]

    assert [answer.status for answer in answers] == [200, 200]
    assert len(kit.upstream.attempts) > 4 + 1
    kit.assert_idle()


async def test_a_lone_call_makes_no_more_attempts_than_any():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", BROKEN)

    answer = await kit.answer(max_wait_s=300.0)

    assert answer.status == 500
    assert len(kit.upstream.attempts) == 4


# -- the retry budget ------------------------------------------------------------------------------------------------


async def test_a_fifth_of_the_calls_that_fail_together_may_try_again_at_once():
    kit = RelayKit(*[f"a{number}" for number in range(40)])
    for number in range(40):
        kit.upstream.on(f"sk-a{number}", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0), OK_SLOWLY)
    calls = [kit.start() for _ in range(40)]

    await kit.clock.advance(1.0)
    again = len(kit.upstream.attempts) - 40

    answers: list[Answer] = [await kit.finished(call) for call in calls]
    assert again <= 8
    assert len(answers) == 40
    kit.assert_idle()


OK_SLOWLY = Reply(200, OK.headers, OK.pieces, wait_s=1.0)
