"""Lists over the objects of many accounts: one page that reads as if they all lay in one project (SPEC §6).

who holds anything of the owner's ─▶ a page of each, from the cursor's place on ─▶ sifted by owner ─▶ merged by time

Rules of this file: an account that cannot be asked fails the list, for a shorter one would be a lie; objects of others
are left out, and so are those of which nobody here knows whose they are, unless calls are open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import structs

from gateway.core.affinity import Binding, Reference, holders_of, may_use, one_of_each_realm, realm_of
from gateway.core.call import Call, Schema
from gateway.core.errors import CallRefused, GatewayError, InvalidCall, NoAccountAvailable, UpstreamFailed
from gateway.core.ids import AccountId, ProviderId
from gateway.core.paging import Entry, Merge, Place, Source, comes_after
from gateway.core.routing import provider_for
from gateway.core.snapshot import Snapshot
from gateway.relay.affinity import Affinity
from gateway.relay.answer import Answer
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.known_ids import KnownIds
from gateway.relay.ports import IdStore
from gateway.wire.pages import (
    Dialect,
    Item,
    ListQuery,
    Page,
    dialect_of,
    read_list_query,
    read_page,
    write_list_query,
    write_page,
)

AT_A_TIME: Final = 8
"""Accounts of one list that are asked at once."""
MOST_PAGES: Final = 100
"""Pages that one answer may take: objects of others lie between those that are shown."""
NO_CURSOR: Final = frozenset({400, 404})
"""What an upstream says of an `after` that it does not have any more."""
JSON: Final = ((b"content-type", b"application/json"),)

Group = tuple[AccountId, ...]
RelayCall = Callable[[Job], Awaitable[Answer]]


class Lists:
    """One per worker."""

    def __init__(self, *, board: Board, affinity: Affinity, known: KnownIds, store: IdStore, relay: RelayCall) -> None:
        self._board = board
        self._affinity = affinity
        self._known = known
        self._store = store
        self._relay = relay

    async def answer(self, job: Job) -> Answer:
        """The merged page, or an upstream's refusal of the list as it came. Raises GatewayError."""
        call = job.call
        kind = call.endpoint.path.removeprefix("/")
        dialect = dialect_of(kind, call.endpoint.schema)
        query = read_list_query(call.query, kind, dialect)
        groups = await self._groups(job, kind)
        if query is None:
            return await self._left_to_upstream(job, dialect)
        reading = _Reading(self, job, query, dialect, groups)
        return await reading.run()

    async def _left_to_upstream(self, job: Job, dialect: Dialect) -> Answer:
        """A query that an upstream should refuse; one that answers it all the same would show objects of others."""
        if self._board.snapshot.keys:
            allowed = (
                "`limit` is a number from 1 to 100 (of files 10,000), `order` is `asc` or `desc`"
                if dialect.has_order
                else f"`limit` is a number from 1 to {dialect.longest:,}, and there is no `order`"
            )
            raise InvalidCall(f"Invalid list query: {allowed}.", param="limit", code="invalid_value")
        return await self._relay(job)

    async def _groups(self, job: Job, kind: str) -> list[Group]:
        """Who may have something to show, each project once, in an order that stays."""
        call, snapshot = job.call, self._board.snapshot
        held = await self._held(call.owner, kind)
        groups = [group for binding in held if (group := holders_of(snapshot, binding))]
        if call.owner is None:
            groups += _of_provider(job, snapshot)
        if call.named_provider is not None:
            provider_id = provider_for(snapshot, call).id
            groups = [group for group in groups if _provider_of(snapshot, group) == provider_id]
        if call.endpoint.schema is not Schema.OPENAI:
            groups = [group for group in groups if self._speaks_as(call, group)]
        return sorted(set(groups), key=min)

    def _speaks_as(self, call: Call, group: Group) -> bool:
        """Whether these accounts understand the caller: an owner may have files at providers of both kinds."""
        try:
            self._board.pools.pool_for(structs.replace(call, pinned=frozenset(group)))
        except InvalidCall:
            return False
        return True

    async def _held(self, owner: str | None, kind: str) -> list[Binding]:
        """One object of each account that has any for this owner."""
        shared = await self._store.one_of_each_account(None, kind)
        if owner is None:
            return shared or []
        own = await self._store.one_of_each_account(owner, kind)
        if shared is None or own is None:
            raise _away()
        return own + shared

    # -- for one reading -----------------------------------------------------------------------------------------

    async def page_of(self, job: Job, group: Group, query: bytes) -> Answer:
        """One page of one account, by the loop of attempts: it waits, and takes turns among the group's accounts."""
        call = structs.replace(job.call, pinned=frozenset(group), query=query)
        return await self._relay(structs.replace(job, call=call, pool=self._board.pools.pool_for(call)))

    def learn(self, items: Sequence[Item], kind: str, group: Group) -> asyncio.Event | None:
        """Where objects are, and when they were made. Whom nobody here knows is everybody's, for calls are open."""
        account = self._board.snapshot.accounts.get(group[0])
        if account is None:
            return None
        bindings: list[Binding] = []
        for item in items:
            known = self._known.get(item.id)
            found = Binding(
                id=item.id,
                kind=kind,
                provider_id=account.provider_id,
                account_id=account.id,
                owner=None,
                realm=realm_of(account),
                created_at=item.made_at,
            )
            bindings.append(found if known is None else structs.replace(known, created_at=item.made_at))
        return self._known.learn(bindings)

    async def stored(self, saved: asyncio.Event) -> None:
        await self._known.stored(saved)

    async def known(self, page: Page, owner: str | None) -> dict[str, Binding]:
        found, is_certain = await self._known.find([item.id for item in page.items])
        if not is_certain and (owner is not None or self._board.snapshot.keys):
            raise _away()
        return found

    async def cursor_binding(self, job: Job, id_: str, param: str, kind: str) -> Binding | None:
        """Where the object is that a cursor names; None when nobody has it. Raises ObjectNotFound for another's."""
        reference = Reference(id_, kind, param)
        await self._affinity.bind(job.call, None, [reference])
        binding = self._known.get(id_)
        return binding if binding is None else await self._affinity.dated(binding, reference, job.call)

    async def cursor(self, kind: str, group: Group, place: Binding, *, is_newest_first: bool) -> str | None:
        if place.created_at is None:
            return None
        return await self._store.cursor(kind, group, place.created_at, is_newest_first=is_newest_first)


class _Reading:
    """One answer on its way."""

    def __init__(self, lists: Lists, job: Job, query: ListQuery, dialect: Dialect, groups: Sequence[Group]) -> None:
        self._lists = lists
        self._job = job
        self._kind = job.call.endpoint.path.removeprefix("/")
        self._query = query
        self._dialect = dialect
        self._groups = groups
        self._owner = job.call.owner
        self._place: Place | None = None
        self._cursors: dict[int, str] = {}
        """Rank → an `after` of ours, which the caller has not named: when it is gone, we begin at the beginning."""
        self._shown: dict[str, int] = {}
        """Id → rank of its account."""
        self._pages = 0
        self._room = asyncio.Semaphore(AT_A_TIME)
        is_backwards = query.after is None and query.before is not None
        self._is_backwards = is_backwards
        self._is_newest_first = query.is_newest_first is not is_backwards

    async def run(self) -> Answer:
        merge = Merge(await self._sources(), limit=self._query.limit, is_newest_first=self._is_newest_first)
        while wanting := merge.wanting:
            for refusal in await self._read(wanting):
                if refusal is not None:
                    return refusal
            merge.take()
        merge.take()
        await self._learn(merge.page)
        items = [entry.item for entry in merge.page]
        if self._is_backwards:
            items.reverse()
        body = write_page(items, self._dialect, has_more=merge.has_more)
        return Answer(200, JSON, body)

    async def _learn(self, page: Sequence[Entry[Item]]) -> None:
        """What the caller may name next, the cursor among it: all replicas know where it is."""
        saved: asyncio.Event | None = None
        for rank, group in enumerate(self._groups):
            items = [entry.item for entry in page if self._shown.get(entry.id) == rank]
            saved = self._lists.learn(items, self._kind, group) or saved
        if saved is not None:
            await self._lists.stored(saved)

    async def _sources(self) -> list[Source[Item]]:
        """The accounts' lists, each from the cursor's place on."""
        cursor = self._query.after or self._query.before
        if cursor is None:
            return [Source(rank, after=None) for rank in range(len(self._groups))]
        param = self._dialect.after if self._query.after else self._dialect.before
        place = await self._lists.cursor_binding(self._job, cursor, param, self._kind)
        if place is None:  # nobody's: an upstream says so in its own words
            return [Source(0, after=cursor)] if self._groups else []
        own = next((rank for rank, group in enumerate(self._groups) if place.account_id in group), -1)
        if not self._query.is_by_time:
            return self._in_turn(cursor, own)
        self._place = Place(0.0 if place.created_at is None else place.created_at.timestamp(), own)
        sources: list[Source[Item]] = []
        for rank, group in enumerate(self._groups):
            after: str | None = cursor
            if rank != own:
                after = await self._lists.cursor(self._kind, group, place, is_newest_first=self._is_newest_first)
                if after is not None:
                    self._cursors[rank] = after
            sources.append(Source(rank, after=after))
        return sources

    def _in_turn(self, cursor: str, own: int) -> list[Source[Item]]:
        """Lists that no time merges stand one behind the other: from the cursor's own on."""
        place = self._place = Place(0.0, own)
        return [
            Source(rank, after=cursor if rank == own else None)
            for rank in range(len(self._groups))
            if rank == own or comes_after(0.0, rank, place, is_newest_first=self._is_newest_first)
        ]

    async def _read(self, sources: Sequence[Source[Item]]) -> list[Answer | None]:
        ends = await asyncio.gather(*(self._read_one(source) for source in sources), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return [end for end in ends if not isinstance(end, BaseException)]

    async def _read_one(self, source: Source[Item]) -> Answer | None:
        """Adds the account's next page. An upstream's refusal is given back."""
        is_backwards = not self._is_newest_first and not self._dialect.has_order
        if is_backwards and (source.after is None or self._dialect.is_one_way):
            return await self._read_from_the_newest(source)
        page = await self._page(source, source.after, is_newest_first=self._is_newest_first)
        if isinstance(page, Answer) and page.status in NO_CURSOR and self._cursors.pop(source.rank, None) is not None:
            source.after = None
            return await self._read_one(source)
        self._cursors.pop(source.rank, None)
        if isinstance(page, Answer):
            return page
        if is_backwards:
            page = structs.replace(page, items=page.items[::-1])
        await self._sift(source, page)
        return None

    async def _read_from_the_newest(self, source: Source[Item]) -> Answer | None:
        """All that is newer than the cursor, of a list that cannot begin with its oldest: from the other end."""
        items: list[Item] = []
        cursor = self._query.after or self._query.before
        has_more = True
        while has_more:
            page = await self._page(source, items[-1].id if items else None, is_newest_first=True)
            if isinstance(page, Answer):
                return page
            found = next((place for place, item in enumerate(page.items) if item.id == cursor), None)
            items += page.items[:found]
            is_passed = found is not None or (page.items and self._is_passed(source.rank, page.items[-1]))
            has_more = page.has_more and bool(page.items) and not is_passed
        await self._sift(source, Page(tuple(reversed(items)), has_more=False))
        return None

    def _is_passed(self, rank: int, item: Item) -> bool:
        """The item stands on the other side of the cursor, and so does all that is older."""
        place = self._place
        if place is None or item.made_at is None:
            return False
        return not comes_after(item.made_at.timestamp(), rank, place, is_newest_first=False)

    async def _page(self, source: Source[Item], after: str | None, *, is_newest_first: bool) -> Page | Answer:
        """One page of one account; an answer that is none as it came."""
        self._pages += 1
        if self._pages > MOST_PAGES + len(self._groups):
            raise NoAccountAvailable(
                "Too many objects of others lie between yours to list them. Ask for fewer, or by their ids.",
                code="list_incomplete",
            )
        async with self._room:
            query = write_list_query(
                self._query,
                self._kind,
                self._dialect,
                after=after,
                is_newest_first=is_newest_first,
                is_sifted=self._owner is not None,
            )
            answer = await self._lists.page_of(self._job, self._groups[source.rank], query)
        if not 200 <= answer.status < 300:
            return answer
        page = None if answer.coming is not None else read_page(answer.body)
        if page is None and len(self._groups) == 1 and self._owner is None:
            return answer  # whatever it is, there is nothing to merge it with
        if page is None:
            if answer.coming is not None:
                await answer.coming.close()
            raise UpstreamFailed("An account's list came in a form that cannot be merged with the others'.")
        return page

    async def _sift(self, source: Source[Item], page: Page) -> None:
        """Adds what may be shown, and stands behind the cursor."""
        known = await self._lists.known(page, self._owner)
        entries: list[Entry[Item]] = []
        for item in page.items:
            binding = known.get(item.id)
            if binding is None if self._owner is not None else binding is not None and binding.owner is not None:
                continue
            if binding is not None and not may_use(binding, self._owner):
                continue
            self._shown[item.id] = source.rank
            made_at = item.made_at or (None if binding is None else binding.created_at)
            at = 0.0 if made_at is None or not self._query.is_by_time else made_at.timestamp()
            place = self._place
            if (
                place is None
                or source.rank == place.rank
                or comes_after(at, source.rank, place, is_newest_first=self._is_newest_first)
            ):
                entries.append(Entry(item.id, at, item))
        last_id = page.items[-1].id if page.items else None
        source.add(entries, last_id=last_id, has_more=page.has_more)


def _of_provider(job: Job, snapshot: Snapshot) -> list[Group]:
    """All accounts of the provider that the call leads to by itself; none when it leads nowhere."""
    try:
        provider = provider_for(snapshot, job.call)
    except CallRefused:
        return []
    return one_of_each_realm(snapshot, snapshot.accounts_of.get(provider.id, ()))


def _provider_of(snapshot: Snapshot, group: Group) -> ProviderId:
    return snapshot.accounts[group[0]].provider_id


def _away() -> GatewayError:
    return NoAccountAvailable(
        "Whose objects these are cannot be looked up now. Retry shortly.", code="ids_unavailable", retry_after_s=2.0
    )
