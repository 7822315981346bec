"""`GET /v1/models`: what the active accounts can serve, one list over all providers.

Names in `supported_models` are listed as they are; where that is empty or holds globs, each account's own list counts,
read in the background.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from gateway.core.call import Schema
from gateway.core.errors import InvalidCall, ModelNotFound
from gateway.core.globs import ModelSet, matches, model_set
from gateway.core.ids import AccountId
from gateway.core.snapshot import Account, ClientKey, Provider, Snapshot
from gateway.relay.checks import Checks, ModelEntry
from gateway.wire.pages import ANTHROPICS, read_list_query

LAST_SECOND = 253_402_300_799
"""Of the year 9999: what an upstream calls the time may be none."""
AT_ONCE = 8
"""Lists read at the same time."""


class ModelCatalog:
    """One per worker. `answer` never waits: it shows what is known."""

    def __init__(self, *, checks: Checks) -> None:
        self._checks = checks
        self._lists: dict[AccountId, tuple[ModelEntry, ...]] = {}
        self._credentials: dict[AccountId, tuple[Provider, Account]] = {}
        """With what each list was read: another credential may have other models."""

    async def refresh(self, snapshot: Snapshot, *, only_changed: bool) -> None:
        """Reads the lists of accounts whose models are not written out. A list that cannot be read now stays."""
        wanted = {
            account.id: (snapshot.providers[account.provider_id], account)
            for account in snapshot.accounts.values()
            if _needs_list(snapshot.providers[account.provider_id], account)
        }
        self._lists = {id_: entries for id_, entries in self._lists.items() if id_ in wanted}
        stale = [
            pair for id_, pair in wanted.items() if not only_changed or id_ not in self._lists
            or self._credentials.get(id_) != pair
        ]  # fmt: skip
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for provider, account in stale:
                group.create_task(self._read(provider, account, slots))

    async def _read(self, provider: Provider, account: Account, slots: asyncio.Semaphore) -> None:
        async with slots:
            check = await self._checks.check(provider, account)
        if check.is_ok:
            self._lists[account.id] = check.models
            self._credentials[account.id] = (provider, account)

    def answer(
        self,
        name: str,
        snapshot: Snapshot,
        key: ClientKey | None,
        schema: Schema = Schema.OPENAI,
        query: bytes = b"",
    ) -> bytes:
        """The body for all models (`name` empty), or for one.

        Raises ModelNotFound for one that is not listed, InvalidCall for a page that cannot be.
        """
        entries = self.entries(snapshot, key)
        if not name:
            return _list_of(entries) if schema is Schema.OPENAI else _page_of(entries, query)
        for entry in entries:
            if entry.id.lower() == name.lower():
                return msgspec.json.encode(entry if schema is Schema.OPENAI else _anthropic_model(entry))
        raise ModelNotFound(
            f"The model `{name[:100]}` is not listed by any active account of this gateway.", param="model"
        )

    def entries(self, snapshot: Snapshot, key: ClientKey | None) -> list[ModelEntry]:
        """All models, by name, each once; those that `key` may not use are left out."""
        found: dict[str, ModelEntry] = {}
        for account in snapshot.accounts.values():
            for entry in self._entries_of(snapshot.providers[account.provider_id], account):
                found.setdefault(entry.id.lower(), entry)
        for entry in self._aliases(snapshot):
            found.setdefault(entry.id.lower(), entry)
        allowed = key.models if key is not None else ()
        return [found[name] for name in sorted(found) if not allowed or matches(name, allowed)]

    def _aliases(self, snapshot: Snapshot) -> Iterable[ModelEntry]:
        """Exact routes to another name: models of the operator's own naming, where an account may serve them."""
        for name, routes in snapshot.exact_routes.items():
            for route in routes:
                provider = snapshot.providers.get(route.provider_id)
                if provider is None or route.upstream_model is None:
                    continue
                names = (name, route.upstream_model.lower())
                if any(_allows(provider, account, names) for account in snapshot.accounts_of[provider.id]):
                    yield ModelEntry(name, owned_by=provider.id)
                    break

    def _entries_of(self, provider: Provider, account: Account) -> Iterable[ModelEntry]:
        patterns = _patterns(provider, account)
        yield from (ModelEntry(name, owned_by=provider.id) for name in patterns if not _is_glob(name))
        allowed: ModelSet | None = model_set(patterns) if patterns else None
        for model in provider.settings.deployments:
            if allowed is None or allowed.has(model):
                yield ModelEntry(model, owned_by=provider.id)
        for entry in self._lists.get(account.id, ()):
            if allowed is None or allowed.has(entry.id.lower()):
                yield entry


def _list_of(entries: list[ModelEntry]) -> bytes:
    """All on one page."""
    return msgspec.json.encode({"object": "list", "data": entries})


def _page_of(entries: list[ModelEntry], query: bytes) -> bytes:
    """As Anthropic's callers page. All on one page unless they say how many they want."""
    asked = read_list_query(query if b"limit=" in query else query + b"&limit=1000", "models", ANTHROPICS)
    if asked is None:
        raise InvalidCall("Invalid 'limit': expected a number from 1 to 1,000.", param="limit", code="invalid_value")
    ids = [entry.id for entry in entries]
    cursor = asked.after or asked.before
    if cursor is not None and cursor not in ids:
        param = ANTHROPICS.after if asked.after else ANTHROPICS.before
        raise InvalidCall(f"Invalid '{param}': no such model is listed.", param=param, code="invalid_value")
    if asked.after is None and asked.before is not None:
        last = ids.index(asked.before)
        first = max(0, last - asked.limit)
        has_more = first > 0
    else:
        first = 0 if asked.after is None else ids.index(asked.after) + 1
        last = first + asked.limit
        has_more = last < len(ids)
    shown = [_anthropic_model(entry) for entry in entries[first:last]]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"data": shown, "has_more": has_more} | ends)


def _anthropic_model(entry: ModelEntry) -> dict[str, str]:
    """As Anthropic's API shows it."""
    created_at = datetime.fromtimestamp(min(max(entry.created, 0), LAST_SECOND), UTC)
    return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": f"{created_at:%Y-%m-%dT%H:%M:%SZ}"}


def _allows(provider: Provider, account: Account, names: tuple[str, str]) -> bool:
    patterns = _patterns(provider, account)
    return not patterns or any(matches(name, patterns) for name in names)


def _patterns(provider: Provider, account: Account) -> tuple[str, ...]:
    return provider.supported_models if account.supported_models is None else account.supported_models


def _needs_list(provider: Provider, account: Account) -> bool:
    patterns = _patterns(provider, account)
    return not patterns or any(_is_glob(name) for name in patterns)


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name
