import msgspec
import pytest

from gateway.telemetry import headroom_book
from gateway.telemetry.headroom_book import HeadroomBook, SeenLimit, SeenScope
from gateway.telemetry.metrics import forget_worker


def scope(holder="a", what="gpt-4", *, left=3.0, told_at=10.0, limits=None):
    limit = SeenLimit(dimension="requests", limit=10.0, left=left, refill_per_s=2.5, told_at=told_at, seen_at=12.0)
    return SeenScope(holder=holder, what=what, limits=(limit,) if limits is None else limits)


@pytest.fixture
def worker(tmp_path):
    return lambda name="0": HeadroomBook(tmp_path, name)


def test_every_worker_shows_what_the_one_saw_that_was_told_last(worker):
    first, second = worker("0"), worker("1")
    first.note([scope(left=9.0, told_at=10.0), scope(what="o3", left=1.0, told_at=10.0)])
    second.note([scope(left=2.0, told_at=11.0)])

    shown = {seen.what: seen.limits[0].left for seen in first.read()}

    assert shown == {"gpt-4": 2.0, "o3": 1.0}
    assert first.read() == second.read()


def test_scope_of_which_nothing_is_known_any_more_is_gone(worker):
    book = worker()
    book.note([scope(), scope("b")])

    book.note([scope(limits=())])

    assert [seen.holder for seen in book.read()] == ["b"]


def test_without_news_nothing_is_written(worker, tmp_path):
    book = worker()
    book.note([])
    book.note([scope(limits=())])

    assert list(tmp_path.iterdir()) == []


def test_scopes_that_were_used_last_are_kept(worker, monkeypatch):
    monkeypatch.setattr(headroom_book, "MOST_SHOWN", 2)
    book = worker()
    book.note([scope("a"), scope("b")])

    book.note([scope("a"), scope("c")])

    assert {seen.holder for seen in book.read()} == {"a", "c"}


def test_a_worker_that_died_or_writes_nonsense_is_not_seen(worker, tmp_path):
    worker("0").note([scope("a")])
    worker("1").note([scope("b")])
    (tmp_path / "headrooms_2.json").write_text("[{")

    forget_worker(tmp_path, "0")

    assert [seen.holder for seen in worker("1").read()] == ["b"]


def test_a_full_disk_ends_nothing(tmp_path):
    HeadroomBook(tmp_path / "gone", "0").note([scope()])


def test_what_has_refilled_since_is_added_up_to_the_limit():
    (limit,) = scope(left=-1.0).limits

    assert limit.left_at(12.0) == -1.0
    assert limit.left_at(14.0) == 4.0
    assert limit.left_at(11.0) == -1.0
    assert limit.left_at(100.0) == 10.0
    assert msgspec.structs.replace(limit, refill_per_s=0.0).left_at(100.0) == -1.0
