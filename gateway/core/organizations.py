"""Which accounts share their limits though nobody grouped them: organisations that answers name.

Rules of this file: a name is an offer to the operator. Limits are counted together only when answers bear it out as
well: what one account sent is missing from the other's limit. Where they later speak against it the accounts part, and
stay apart: some proxies give all accounts one name. An operator's `quota_group` goes before anything that is learned.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from gateway.core.ids import AccountId, ProviderId
from gateway.core.snapshot import Account, Snapshot

SHARED_AT = 2
PARTED_AT = -3
SURE = 8
"""No more is remembered for one opinion."""
MAX_ACCOUNTS = 50_000
LONGEST_NAME = 200

Organization = tuple[ProviderId, str]


class Membership(msgspec.Struct, frozen=True):
    """What processes tell each other of one account."""

    account_id: AccountId
    organization: str
    is_shared: bool | None = None
    """Whether its limits are counted together with the organisation's other accounts; None: not known."""


class Organizations:
    """Mutable; one per board."""

    @classmethod
    def of(cls, memberships: Iterable[Membership], snapshot: Snapshot) -> "Organizations":
        """What is known of a snapshot's accounts by what was kept."""
        known = cls()
        for one in memberships:
            account = snapshot.accounts.get(one.account_id)
            if account is not None:
                known.name(account, one.organization)
                if one.is_shared:
                    known.share((account.provider_id, one.organization))
        return known

    def __init__(self) -> None:
        self.names: dict[AccountId, str] = {}
        self._scores: dict[Organization, int] = {}
        self._shared: set[Organization] = set()
        self._parted: set[Organization] = set()

    def name(self, account: Account, organization: str) -> bool:
        """An answer named the account's organisation. True: that is news."""
        if self.names.get(account.id) == organization or not 0 < len(organization) <= LONGEST_NAME:
            return False
        if len(self.names) >= MAX_ACCOUNTS and account.id not in self.names:
            return False
        self.names[account.id] = organization
        return True

    def forget(self, account_ids: Iterable[AccountId]) -> None:
        """They have other credentials now."""
        for account_id in account_ids:
            self.names.pop(account_id, None)

    def is_open(self, organization: Organization) -> bool:
        """Whether answers may still change what is believed."""
        return organization not in self._parted

    def is_shared(self, organization: Organization) -> bool:
        return organization in self._shared

    def verdict(self, organization: Organization) -> bool | None:
        """Whether it shares its limits; None: not known."""
        return True if organization in self._shared else False if organization in self._parted else None

    def weigh(self, organization: Organization, *, speaks_for: bool) -> bool:
        """An answer spoke for or against shared limits. True: who shares them has changed."""
        score = self._scores.get(organization, 0) + (1 if speaks_for else -1)
        self._scores[organization] = score = max(PARTED_AT, min(score, SURE))
        if score >= SHARED_AT and organization not in self._shared | self._parted:
            self._shared.add(organization)
            return True
        if score <= PARTED_AT and organization in self._shared:
            self.part(organization)
            return True
        return False

    def share(self, organization: Organization) -> bool:
        """Another process found that its accounts share their limits. True: that is news."""
        if organization in self._shared | self._parted:
            return False
        self._shared.add(organization)
        self._scores[organization] = SHARED_AT
        return True

    def part(self, organization: Organization) -> bool:
        """Its accounts do not share their limits after all. True: that is news."""
        is_news = organization not in self._parted
        self._shared.discard(organization)
        self._parted.add(organization)
        return is_news

    def siblings(self, accounts: Iterable[Account]) -> dict[Organization, list[Account]]:
        """Accounts without a quota group of which two and more have one organisation: what an operator might group."""
        found: defaultdict[Organization, list[Account]] = defaultdict(list)
        for account in accounts:
            name = None if account.quota_group else self.names.get(account.id)
            if name is not None:
                found[account.provider_id, name].append(account)
        return {organization: some for organization, some in found.items() if len(some) > 1}

    def applied_to(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot in which accounts that share their limits have one holder."""
        changed = {
            account.id: msgspec.structs.replace(account, organization=organization[1])
            for organization, some in self.siblings(snapshot.accounts.values()).items()
            if organization in self._shared
            for account in some
        }
        return _with_accounts(snapshot, changed) if changed else snapshot

    def memberships(self, accounts: Iterable[Account]) -> list[Membership]:
        """What is known of these, to be told to others and kept."""
        return [
            Membership(account.id, name, self.verdict((account.provider_id, name)))
            for account in accounts
            if (name := self.names.get(account.id)) is not None
        ]


def _with_accounts(snapshot: Snapshot, changed: Mapping[AccountId, Account]) -> Snapshot:
    return msgspec.structs.replace(
        snapshot,
        accounts={id_: changed.get(id_, account) for id_, account in snapshot.accounts.items()},
        accounts_of={
            provider_id: tuple(changed.get(account.id, account) for account in some)
            for provider_id, some in snapshot.accounts_of.items()
        },
    )
