from datetime import timedelta

import msgspec
import pytest

from gateway.core.breaker import CLOSED, Breaker, BreakerNews, Span, opened
from gateway.core.ids import ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.breaker_book import MOST_SHOWN, BreakerBook, OpenBreaker, read_breakers
from gateway.telemetry.metrics import forget_worker
from tests.fakes.clock import FakeClock

OPENAI = ProviderId("openai")
ORIGIN = "https://api.openai.com:443"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def worker(tmp_path, clock):
    return lambda name="0": BreakerBook(tmp_path, name, clock=clock)


def rests(clock: FakeClock, before: Breaker = CLOSED) -> Breaker:
    return opened(before, OutcomeKind.UPSTREAM_ERROR, clock.now())


def news(breaker: Breaker, span: Span = Span.MODEL, what: str = "gpt-4") -> BreakerNews:
    return BreakerNews(OPENAI, span, what, breaker, is_any_open=breaker.is_open, attempts=10, failures=10)


def test_an_open_breaker_says_what_rests_why_and_until_when(worker, clock):
    book = worker()

    book.note(news(rests(clock)))

    (shown,) = book.read()
    assert (shown.provider, shown.span, shown.what) == (OPENAI, Span.MODEL, "gpt-4")
    assert (shown.reason, shown.strikes, shown.workers) == (OutcomeKind.UPSTREAM_ERROR, 1, ("0",))
    assert (shown.since_at, shown.until_at) == (clock.wall_now(), clock.wall_now() + timedelta(seconds=1))
    assert str(shown) == "provider openai rests for gpt-4: upstream_error"


def test_a_closed_one_is_shown_no_more(worker, clock):
    book = worker()
    book.note(news(rests(clock)))

    book.note(news(Breaker(since=clock.now())))

    assert book.read() == []


def test_every_worker_shows_those_of_all_as_the_longest_rest_has_it(worker, clock):
    first, second = worker("0"), worker("1")
    first.note(news(rests(clock, rests(clock, rests(clock)))))
    second.note(news(rests(clock)))
    second.note(news(rests(clock), Span.ORIGIN, ORIGIN))

    model, origin = first.read()

    assert second.read() == [model, origin]
    assert (model.what, model.strikes, model.workers) == ("gpt-4", 3, ("0", "1"))
    assert (origin.what, origin.workers) == (ORIGIN, ("1",))


def test_a_worker_that_died_takes_its_breakers_with_it(worker, clock, tmp_path):
    worker("0").note(news(rests(clock)))

    forget_worker(tmp_path, "0")

    assert worker("1").read() == []


def test_a_half_written_file_hides_nothing_else(worker, clock, tmp_path):
    worker("0").note(news(rests(clock)))
    (tmp_path / "breakers_1.json").write_bytes(b"[{")

    assert len(read_breakers(tmp_path)) == 1


def test_a_provider_that_is_gone_is_shown_before_its_many_models(worker, clock):
    book = worker()
    for number in range(MOST_SHOWN + 5):
        book.note(news(rests(clock), what=f"model-{number}"))

    book.note(news(rests(clock), Span.PROVIDER, ""))

    shown = book.read()
    assert len(shown) == MOST_SHOWN
    assert Span.PROVIDER in {each.span for each in shown}


def test_a_disk_that_is_full_fails_no_attempt(tmp_path, clock):
    book = BreakerBook(tmp_path / "gone", "0", clock=clock)

    book.note(news(rests(clock)))

    assert book.read() == []


BREAKER = OpenBreaker(
    provider="openai", span=Span.MODEL, what="gpt-4", reason=OutcomeKind.TIMED_OUT, strikes=1,
    since_at=FakeClock().wall_now(), until_at=FakeClock().wall_now(), workers=("0",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({}, {("openai", "gpt-4"), ("openai", None)}),
        ({"span": Span.PROVIDER, "what": ""}, {("openai", "gpt-4"), ("openai", "gpt-4o"), ("openai", None)}),
        (
            {"span": Span.ORIGIN, "what": ORIGIN, "provider": "first"},
            {("openai", "gpt-4"), ("openai", "gpt-4o"), ("openai", None), ("azure", None)},
        ),
    ],
    ids=["model", "provider", "origin"],
)
def test_whom_a_breaker_concerns(changes, concerned):
    breaker = msgspec.structs.replace(BREAKER, **changes)

    found = {
        (provider, model)
        for provider, model in [("openai", "gpt-4"), ("openai", "gpt-4o"), ("openai", None), ("azure", None)]
        if breaker.concerns(provider, origins=[ORIGIN], model=model)
    }

    assert found == concerned
