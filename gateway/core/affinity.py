"""Which accounts may serve a call that names stateful objects, and whose objects these are (SPEC §6).

An object lives in one account's project. Its **kind** is the collection it is read from, as it stands in the path:
`files`, `batches`, `fine_tuning/jobs`; so `/{kind}/{id}` is its own path. A **realm** is what sees the same objects:
the accounts of one organisation *and* known project, or else one account alone.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.ids import AccountId, ModelName, ProviderId
from gateway.core.routing import targets_for
from gateway.core.snapshot import Account, Snapshot

LONGEST_ID: Final = 512
"""Characters. OpenAI's have some 70, a fine-tuned model's name twice that; what is longer is no id of ours."""

RESPONSES: Final = "responses"
FILES: Final = "files"
MODELS: Final = "models"
CHATS: Final = "chat/completions"
ITEMS: Final = "items"
"""Of a response: `msg_…`, `rs_…`. They have no path of their own."""
ENCRYPTED: Final = "encrypted_content"
"""Not an id but a text that only the organisation which made it can read: known by its hash."""
AUDIO: Final = "audio"
"""An audio reply of a chat, which a later turn names."""

PROMPTS: Final = "prompts"
WORKFLOWS: Final = "workflows"
MADE_BY_HAND: Final = frozenset({PROMPTS, WORKFLOWS})
"""In a provider's dashboard: everybody's, and found by asking with the call itself (`relay/asking_around`)."""

UNREADABLE_KINDS: Final = MADE_BY_HAND | {ITEMS, ENCRYPTED, AUDIO, MODELS, "uploads", "realtime/calls"}
"""Objects that no `GET` reads: one that is unknown here cannot be looked for."""
UNLISTED_KINDS: Final = UNREADABLE_KINDS | {RESPONSES, "conversations", "threads"}
"""Objects that no list shows."""
PASSING_KINDS: Final = UNLISTED_KINDS - {MODELS, "conversations", "threads"} | {CHATS}
"""Made by the million, and gone upstream within a month, or found again by asking: their rows go, too."""


class Reference(msgspec.Struct, frozen=True):
    """An object that a call names."""

    id: str
    kind: str
    param: str | None = None
    """The field that names it, for messages (`input[0].file_id`); None: the path."""
    is_soft: bool = False
    """When nobody here knows it, the call goes where it likes: it may be no stateful object at all."""


class Binding(msgspec.Struct, frozen=True, gc=False):
    """What is known of one object: a row of the table `stateful_ids`."""

    id: str
    kind: str
    provider_id: ProviderId
    account_id: AccountId
    owner: str | None
    """Of the client key that made it; None: everybody's (made outside of the gateway, or where calls are open)."""
    realm: str | None
    """Of its account, when that was known: its siblings serve it when the account itself is gone."""
    created_at: datetime | None
    """As the upstream says; None: it has not said so yet. Lists need it, and nothing else."""


class Pin(msgspec.Struct, frozen=True):
    """Who may serve a call."""

    provider_id: ProviderId
    accounts: frozenset[AccountId]


class Bound(msgspec.Struct, frozen=True):
    """What a call names, once it is known where that is."""

    ids: frozenset[str] = frozenset()
    """All that it names: its answer makes none of these."""
    unknown: tuple[Reference, ...] = ()
    """Named, and new here. When the call succeeds they are there, and everybody's."""
    path: Reference | None = None
    """The object whose path it is, or below whose path."""
    made_owner: str | None = None
    """Whose the objects are that the call makes in passing: the parent's owner's, else the caller's."""
    keeps_chats: bool = False
    """The chat is to be stored."""
    is_placed: bool = False
    """What it names decides where it goes; else a creation goes to its owner's home."""


def encrypted_id(content: str) -> str:
    """The id under which an encrypted text is remembered."""
    return f"encrypted:{sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()}"


def realm_of(account: Account) -> str | None:
    """What it shares its objects with; None: with nobody that we know of.

    Project ids are unique: the organisation only has to be no other one.
    """
    credential = account.credential
    if not credential.project:
        return None
    return f"{account.provider_id}:{credential.organization or ''}:{credential.project}"


def siblings_of(snapshot: Snapshot, account: Account) -> tuple[AccountId, ...]:
    """The account and all that see the same objects, in the order of the snapshot."""
    realm = realm_of(account)
    if realm is None:
        return (account.id,)
    return _of_realm(snapshot, account.provider_id, realm)


def holders_of(snapshot: Snapshot, binding: Binding) -> tuple[AccountId, ...]:
    """The active accounts that have the object; empty when its account is inactive or gone, and leaves no sibling."""
    account = snapshot.accounts.get(binding.account_id)
    if account is not None:
        return siblings_of(snapshot, account)
    return () if binding.realm is None else _of_realm(snapshot, binding.provider_id, binding.realm)


def one_of_each_realm(snapshot: Snapshot, accounts: Iterable[Account]) -> list[tuple[AccountId, ...]]:
    """The accounts by what they see, so that nothing is asked for twice; each group with all of its siblings."""
    groups: dict[tuple[AccountId, ...], None] = {}
    for account in accounts:
        groups.setdefault(siblings_of(snapshot, account))
    return list(groups)


def may_use(binding: Binding, owner: str | None) -> bool:
    """Whether a caller of that owner may name the object."""
    return binding.owner is None or binding.owner == owner


def pin_of(snapshot: Snapshot, named: Sequence[tuple[Reference, Binding]]) -> Pin | None:
    """The accounts that have all of the objects; None when there are none to be had for the first of them.

    Raises InvalidCall when they are of two projects.
    """
    first, binding = named[0]
    accounts = holders_of(snapshot, binding)
    if not accounts:
        return None
    for other, its in named[1:]:
        if its.account_id not in accounts and not set(accounts) & set(holders_of(snapshot, its)):
            raise _mixed(first, binding, other, its)
    return Pin(snapshot.accounts[accounts[0]].provider_id, frozenset(accounts))


def serving_all(
    snapshot: Snapshot, call: Call, models: Sequence[ModelName], *, param: str = "file"
) -> frozenset[AccountId]:
    """The accounts that serve each of the models, as calls of them would find them. `param`: what names them.

    Raises CallRefused when one has none, InvalidCall when no account serves all.
    """
    each = [targets_for(snapshot, msgspec.structs.replace(call, model=model)).accounts for model in models]
    serving = frozenset.intersection(*(frozenset(account.id for account in accounts) for accounts in each))
    if serving or not all(each):
        return serving
    raise InvalidCall(
        f"No account serves all of these models: {', '.join(f'`{model[:100]}`' for model in models[:5])}. "
        "Write one file, or make one call, for each model.",
        param=param,
        code="mixed_account_references",
    )


def upstream_names(snapshot: Snapshot, call: Call, models: Sequence[ModelName]) -> dict[ModelName, ModelName]:
    """What each of the models is called upstream, where that is another name; `call` leads to the provider.

    Raises CallRefused when the provider serves one of them to nobody.
    """
    names: dict[ModelName, ModelName] = {}
    for model in models:
        targets = targets_for(snapshot, msgspec.structs.replace(call, model=model))
        if not targets.is_model_kept and targets.upstream_model != model:
            names[model] = targets.upstream_model
    return names


def _of_realm(snapshot: Snapshot, provider_id: ProviderId, realm: str) -> tuple[AccountId, ...]:
    accounts = snapshot.accounts_of.get(provider_id, ())
    return tuple(account.id for account in accounts if realm_of(account) == realm)


def _mixed(first: Reference, binding: Binding, other: Reference, its: Binding) -> InvalidCall:
    return InvalidCall(
        f"{_shown(first)} and {_shown(other)} belong to two projects (accounts {binding.account_id} and "
        f"{its.account_id}), and no account has both. Make them anew in one call chain, or upload the file again.",
        param=other.param or first.param,
        code="mixed_account_references",
    )


def _shown(reference: Reference) -> str:
    id_ = "encrypted_content" if reference.kind == ENCRYPTED else reference.id
    return f"`{id_[:100]}`" if reference.param is None else f"`{id_[:100]}` (`{reference.param[:100]}`)"
