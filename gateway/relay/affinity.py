"""Which accounts a call may go to for what it names: ids looked up, their owners checked, unknown ones looked for.

named ids ─▶ memory, else one SELECT ─▶ whose? ─▶ unknown ones: a search by reading ─▶ the accounts that have them all

Rules of this file: a call never goes to an account that lacks what it names; an object of another owner is answered as
one that is not there; a call that names nothing never comes here.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.affinity import (
    ENCRYPTED,
    MADE_BY_HAND,
    MODELS,
    RESPONSES,
    UNREADABLE_KINDS,
    Binding,
    Bound,
    Pin,
    Reference,
    holders_of,
    one_of_each_realm,
    pin_of,
    serving_all,
)
from gateway.core.call import Call
from gateway.core.errors import CallRefused, InvalidCall, ModelNotFound, NoAccountAvailable, ObjectNotFound
from gateway.core.ids import ModelName
from gateway.core.routing import provider_for
from gateway.core.snapshot import Account, Provider
from gateway.providers.catalog import KINDS
from gateway.relay.board import Board
from gateway.relay.id_search import IdSearch
from gateway.relay.known_ids import KnownIds
from gateway.relay.ports import IdStore
from gateway.wire.endpoints import find

NOUNS: Final = {
    RESPONSES: "Response",
    "files": "File",
    "vector_stores": "Vector store",
    "conversations": "Conversation",
    "batches": "Batch",
    "assistants": "Assistant",
    "threads": "Thread",
    "containers": "Container",
}


class Affinity:
    """One per worker."""

    def __init__(
        self, *, board: Board, known: KnownIds, store: IdStore, search: IdSearch, is_shared: bool = True
    ) -> None:
        self._board = board
        self._store = store
        self._search = search
        self._is_shared = is_shared
        """Ids made outside of the gateway are looked for, and everybody's; else refused."""
        self.known = known

    async def bind(  # what a call names, by name
        self,
        call: Call,
        path: Reference | None,
        named: Sequence[Reference],
        *,
        keeps_chats: bool = False,
        models: Sequence[ModelName] = (),
    ) -> tuple[Call, Bound]:
        """The call, pinned to the accounts that have all it names; as it came when nothing of that is known here.

        `models`: those that the lines of a batch's file ask for. Raises GatewayError when an object is not the
        caller's, or cannot be had.
        """
        if call.endpoint.is_list:
            call = await self._listed(call)
        references = [*named] if path is None else [path, *named]
        found = await self._located(call, references)
        if models:
            call = msgspec.structs.replace(call, pinned=serving_all(self._board.snapshot, call, models))
        having = [(reference, found[reference.id]) for reference in references if reference.id in found]
        if having:
            pin = pin_of(self._board.snapshot, having) or await self._gone(*having[0])
            call = self._pinned(call, pin, having[0][0], is_bounded=bool(models))
        parent = None if path is None else found.get(path.id)
        bound = Bound(
            ids=frozenset(reference.id for reference in references),
            unknown=tuple(reference for reference in references if reference.id not in found),
            path=path,
            made_owner=call.owner if path is None else None if parent is None else parent.owner,
            keeps_chats=keeps_chats,
            is_placed=bool(having),
        )
        return call, bound

    async def narrowed(self, call: Call, references: Sequence[Reference]) -> list[Reference]:
        """A part of many references, looked up and checked as by `bind`; what of it the next part is checked with.

        That is the first whose account is known, for all others must be there too; at the end `bind` takes it for all.
        """
        found = await self._located(call, references)
        having = [(reference, found[reference.id]) for reference in references if reference.id in found]
        if having:
            pin_of(self._board.snapshot, having)
        return [reference for reference, _ in having[:1]]

    async def _located(self, call: Call, references: Sequence[Reference]) -> dict[str, Binding]:
        """Where those of the references are that are anywhere, by id."""
        found = await self._found(call, references)
        for reference in references:
            if reference.id not in found and not reference.is_soft:
                binding = await self._looked_for(call, reference)
                if binding is not None:
                    found[reference.id] = binding
        return found

    async def _listed(self, call: Call) -> Call:
        """A list that leads to no provider by itself leads to those that hold something of the caller's."""
        snapshot = self._board.snapshot
        try:
            provider_for(snapshot, call)
        except CallRefused:
            kind = call.endpoint.path.removeprefix("/")
            for binding in await self._store.one_of_each_account(call.owner, kind) or ():
                if holders := holders_of(snapshot, binding):
                    return msgspec.structs.replace(call, pinned=frozenset(holders))
        return call

    async def _found(self, call: Call, references: Sequence[Reference]) -> dict[str, Binding]:
        """Those of the references that are known, all of them the caller's or everybody's."""
        if not references:
            return {}
        found, is_certain = await self.known.find([reference.id for reference in references])
        for reference in references:
            binding = found.get(reference.id)
            if binding is not None and binding.owner is not None and binding.owner != call.owner:
                raise not_found(reference)
            if binding is None and not is_certain and call.owner is not None and not reference.is_soft:
                raise NoAccountAvailable(
                    f"Where `{reference.id[:100]}` is cannot be looked up now. Retry shortly.",
                    param=reference.param,
                    code="ids_unavailable",
                    retry_after_s=2.0,
                )
        # What only a dashboard makes cannot be made anew: without its account it is looked for again.
        snapshot = self._board.snapshot
        return {id_: one for id_, one in found.items() if one.kind not in MADE_BY_HAND or holders_of(snapshot, one)}

    async def _looked_for(self, call: Call, reference: Reference) -> Binding | None:
        """Where an unknown id is, when it is anywhere but in the only place where it can be."""
        if not self._is_shared:
            raise not_found(reference)
        snapshot = self._board.snapshot
        if reference.kind in UNREADABLE_KINDS:
            return None
        groups = one_of_each_realm(snapshot, self._possible(call, reference))
        if len(groups) < 2:
            return None
        binding = await self._search.find(reference, snapshot, groups, call.owner or "")
        saved = None if binding is None else self.known.learn([binding])
        if saved is not None:
            await self.known.stored(saved)
        return binding

    def _possible(self, call: Call, reference: Reference) -> list[Account]:
        """Accounts that may have an id of which nothing is known: of the provider that the call leads to, else all.

        One whose credential was rejected for good neither says so nor serves it: it would leave us unsure for ever.
        """
        snapshot = self._board.snapshot
        providers = list(snapshot.providers.values())
        if call.named_provider is not None or call.model is not None:
            providers = [provider_for(snapshot, call)]
        return [
            account
            for provider in providers
            if _has_such(provider, reference.kind)
            for account in snapshot.accounts_of.get(provider.id, ())
            if not self._board.is_rejected(account.id)
        ]

    async def dated(self, binding: Binding, reference: Reference, call: Call) -> Binding:
        """The binding with the time at which its object was made: read once, where the upstream has not said it yet."""
        if binding.created_at is not None:
            return binding
        snapshot = self._board.snapshot
        read = await self._search.find(reference, snapshot, [holders_of(snapshot, binding)], call.owner or "")
        if read is None or read.created_at is None:
            return binding
        dated = msgspec.structs.replace(binding, created_at=read.created_at)
        self.known.learn([dated])
        return dated

    async def _gone(self, reference: Reference, binding: Binding) -> Pin:
        is_there = await self._store.has_account(binding.account_id)
        shown = "The encrypted content" if reference.kind == ENCRYPTED else f"`{reference.id[:100]}`"
        if is_there is False:
            raise ObjectNotFound(
                f"{shown} belongs to account {binding.account_id}, which this gateway no longer has. Make it anew.",
                param=reference.param,
                code="account_gone",
            )
        raise ObjectNotFound(
            f"{shown} belongs to account {binding.account_id}, which is not active. Make it anew, or ask the operator "
            "of this gateway to activate the account.",
            param=reference.param,
            code="account_inactive",
            status=409,
        )

    def _pinned(self, call: Call, pin: Pin, first: Reference, *, is_bounded: bool) -> Call:
        """`is_bounded`: only the accounts to which the call is pinned already may take it."""
        named = call.named_provider
        if named is not None and named.lower() != pin.provider_id.lower():
            raise InvalidCall(
                f"`{first.id[:100]}` belongs to provider `{pin.provider_id}`, but the header `x-provider` names "
                "another. Leave the header out.",
                param=first.param or "x-provider",
                code="mixed_account_references",
            )
        accounts = pin.accounts & call.pinned if is_bounded and call.pinned is not None else pin.accounts
        if not accounts:
            raise ModelNotFound(
                f"`{first.id[:100]}` lies in an account that does not serve the models of this file.", param="file"
            )
        return msgspec.structs.replace(call, pinned=accounts)


def not_found(reference: Reference) -> ObjectNotFound:
    """As OpenAI answers an id that is not there: 404 for a path, 400 for a field (a model: 404)."""
    noun = NOUNS.get(reference.kind, "Object")
    if reference.kind == MODELS:
        return ObjectNotFound(
            f"The model `{reference.id[:100]}` does not exist or you do not have access to it.",
            param=reference.param,
            code="model_not_found",
        )
    if reference.param == "previous_response_id":
        return ObjectNotFound(
            f"Previous response with id '{reference.id[:100]}' not found.",
            param=reference.param,
            code="previous_response_not_found",
            status=400,
        )
    if reference.kind == ENCRYPTED:
        return ObjectNotFound(
            "The encrypted content could not be verified.",
            param=reference.param,
            code="invalid_encrypted_content",
            status=400,
        )
    return ObjectNotFound(
        f"{noun} with id '{reference.id[:100]}' not found.",
        param=reference.param or "id",
        status=404 if reference.param is None else 400,
    )


def _has_such(provider: Provider, kind: str) -> bool:
    """Whether its API has objects of that kind: Claude's has no responses."""
    reads = find("GET", f"/{kind}/id")
    if reads is None:
        return True
    try:
        KINDS[provider.kind].translation_for(reads)
    except InvalidCall:
        return False
    return True
