from hypothesis import given
from hypothesis import strategies as st

from gateway.core.paging import Entry, Merge, Place, Source, comes_after

Lists = list[list[int]]
"""Of each account: when its objects were made, oldest first."""

LISTS = st.lists(st.lists(st.integers(0, 6), max_size=8).map(sorted), min_size=1, max_size=4)


def entries(lists: Lists, rank: int, *, is_newest_first: bool) -> list[Entry[str]]:
    """As the account's own list shows them: objects of one second in the order of their making, or turned round."""
    in_order = [Entry(f"{rank}.{place}", float(at), f"{rank}.{place}") for place, at in enumerate(lists[rank])]
    return in_order[::-1] if is_newest_first else in_order


def page(
    lists: Lists, limit: int, *, after: str | None, is_newest_first: bool, page_size: int
) -> tuple[list[str], bool, int]:
    """What a gateway would answer; and how many pages it read for it."""
    sources: list[Source[str]] = [Source(rank, after=None) for rank in range(len(lists))]
    place: Place | None = None
    if after is not None:
        own = int(after.partition(".")[0])
        sources[own] = Source(own, after=after)
        at = next(one.at for one in entries(lists, own, is_newest_first=is_newest_first) if one.id == after)
        place = Place(at, own)
    merge = Merge(sources, limit=limit, is_newest_first=is_newest_first)
    pages = 0
    while wanting := merge.wanting:
        for source in wanting:
            pages += 1
            whole = entries(lists, source.rank, is_newest_first=is_newest_first)
            start = 0 if source.after is None else [one.id for one in whole].index(source.after) + 1
            part = whole[start : start + page_size]
            shown = [
                one
                for one in part
                if place is None
                or source.rank == place.rank
                or comes_after(one.at, source.rank, place, is_newest_first=is_newest_first)
            ]
            source.add(shown, last_id=part[-1].id if part else None, has_more=start + page_size < len(whole))
        merge.take()
    merge.take()
    return [one.item for one in merge.page], merge.has_more, pages


def walk(lists: Lists, limit: int, *, is_newest_first: bool, page_size: int) -> list[str]:
    """All pages, as an SDK asks for them."""
    seen: list[str] = []
    after: str | None = None
    while True:
        shown, has_more, _ = page(lists, limit, after=after, is_newest_first=is_newest_first, page_size=page_size)
        seen += shown
        if not has_more:
            return seen
        assert shown, "more, and nothing to go on from"
        after = shown[-1]


@given(LISTS, st.integers(1, 5), st.booleans(), st.integers(1, 4))
def test_walking_shows_everything_once_and_in_order(
    lists: Lists, limit: int, is_newest_first: bool, page_size: int
) -> None:
    seen = walk(lists, limit, is_newest_first=is_newest_first, page_size=page_size)

    everything = [f"{rank}.{place}" for rank, one in enumerate(lists) for place in range(len(one))]
    assert sorted(seen) == sorted(everything)
    times = [lists[int(id_.partition(".")[0])][int(id_.partition(".")[2])] for id_ in seen]
    assert times == sorted(times, reverse=is_newest_first)


@given(LISTS, st.integers(1, 5))
def test_the_other_direction_is_the_exact_reverse(lists: Lists, limit: int) -> None:
    newest = walk(lists, limit, is_newest_first=True, page_size=3)
    oldest = walk(lists, limit, is_newest_first=False, page_size=3)

    assert newest == oldest[::-1]


@given(LISTS, st.integers(1, 5))
def test_a_page_has_its_length_and_says_whether_more_follow(lists: Lists, limit: int) -> None:
    shown, has_more, _ = page(lists, limit, after=None, is_newest_first=True, page_size=2)
    total = sum(map(len, lists))

    assert (len(shown), has_more) == (min(limit, total), total > limit)


def test_no_more_is_read_than_a_page_needs() -> None:
    lists = [list(range(0, 100, 2)), list(range(1, 100, 2))]

    _, _, pages = page(lists, 10, after=None, is_newest_first=True, page_size=11)

    assert pages == 2


def test_a_page_without_entries_of_the_callers_is_gone_past() -> None:
    source: Source[str] = Source(0, after=None)
    source.add([], last_id="x", has_more=True)
    assert source.needs_page

    source.add([Entry("x", 1.0, "x")], last_id="x", has_more=True)
    assert not source.needs_page, "an upstream that gives the same page for ever has no more"
    assert source.entries == []


def test_an_account_that_is_not_asked_has_no_rank() -> None:
    place = Place(5.0, -1)

    assert comes_after(5.0, 0, place, is_newest_first=True)
    assert comes_after(4.0, 0, place, is_newest_first=True)
    assert not comes_after(6.0, 0, place, is_newest_first=True)
    assert comes_after(6.0, 0, place, is_newest_first=False)
