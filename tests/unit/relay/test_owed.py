"""What is owed for is counted once, also while the table is slow or away."""

import asyncio

import pytest

from gateway.core.owed_usage import OwedUsage
from gateway.relay import owed as owed_module
from gateway.relay.owed import Owed
from tests.fakes.clock import FakeClock
from tests.fakes.owed_store import MemoryOwed


async def test_what_could_not_be_written_is_counted_by_its_own_process() -> None:
    store = MemoryOwed()
    mine, other = Owed(store), Owed(store)
    store.is_away = True
    await mine.note(OwedUsage("a"))
    await mine.note(OwedUsage("b"))

    assert await mine.has("a")
    assert await mine.claim("a") == OwedUsage("a")
    assert await mine.claim("a") is None
    store.is_away = False
    assert await other.claim("b") is None
    assert await mine.claim("b") == OwedUsage("b")


async def test_what_nobody_can_say_now_is_counted_later() -> None:
    store = MemoryOwed()
    owed = Owed(store)
    await owed.note(OwedUsage("a"))
    store.is_away = True
    assert await owed.claim("a") is None
    store.is_away = False

    assert await owed.claim("a") == OwedUsage("a")


async def test_many_who_claim_at_once_are_one() -> None:
    store = MemoryOwed()
    store.rows["a"] = OwedUsage("a")

    claimed = await asyncio.gather(*(Owed(store).claim("a") for _ in range(8)))

    assert [one for one in claimed if one is not None] == [OwedUsage("a")]


async def test_memory_is_bounded_and_the_table_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed_module, "MAX_REMEMBERED", 2)
    store = MemoryOwed()
    owed = Owed(store)
    for _ in range(3):
        assert await owed.claim("a") is None
        assert not await owed.has("a")
    assert store.asked == 1
    store.is_away = True
    for name in ("b", "c", "d"):
        await owed.note(OwedUsage(name))

    assert [await owed.claim(name) is not None for name in ("b", "c", "d")] == [False, True, True]


async def test_what_is_owed_anew_is_asked_for_again() -> None:
    store = MemoryOwed()
    owed = Owed(store)
    assert await owed.claim("a") is None

    await owed.note(OwedUsage("a"))

    assert await owed.claim("a") == OwedUsage("a")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> MemoryOwed:
    """A table that writes nothing until its `slow` is set, and callers of little patience."""
    monkeypatch.setattr(owed_module, "NOTE_S", 0.001)
    store = MemoryOwed()
    store.slow = asyncio.Event()
    return store


async def test_a_note_that_takes_long_is_written_all_the_same_and_counted_once(slow: MemoryOwed) -> None:
    mine, other = Owed(slow), Owed(slow)
    await mine.note(OwedUsage("a"))
    assert await other.claim("a") is None
    await mine.note(OwedUsage("b"))

    claiming = asyncio.create_task(mine.claim("b"))
    slow.slow.set()
    assert await claiming == OwedUsage("b")

    assert await Owed(slow).claim("a") == OwedUsage("a")
    assert await mine.claim("a") is None


async def test_while_nobody_knows_where_a_note_is_it_is_not_counted(
    slow: MemoryOwed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "CLAIM_S", 0.001)
    owed = Owed(slow)
    await owed.note(OwedUsage("a"))
    assert await owed.claim("a") is None

    slow.is_away = True
    slow.slow.set()
    await FakeClock().settle()

    assert await owed.claim("a") == OwedUsage("a")
    assert await owed.claim("a") is None


async def test_who_is_cancelled_breaks_no_note_off(slow: MemoryOwed) -> None:
    owed = Owed(slow)
    noting = asyncio.create_task(owed.note(OwedUsage("a")))
    await FakeClock().settle()
    noting.cancel()
    await asyncio.wait({noting})
    slow.slow.set()

    assert await owed.claim("a") == OwedUsage("a")


async def test_notes_do_not_pile_up_before_a_slow_table(slow: MemoryOwed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed_module, "MAX_WRITING", 1)
    owed = Owed(slow)
    await owed.note(OwedUsage("a"))
    await owed.note(OwedUsage("b"))
    slow.slow.set()

    assert [await owed.claim(name) for name in ("b", "a")] == [OwedUsage("b"), OwedUsage("a")]
    assert slow.rows == {}
