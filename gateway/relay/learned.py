"""What a worker learns of models from answers: which were ever served, and how their limits are called."""

from gateway.core.ids import ProviderId
from gateway.relay.member import Member

MAX_LIMIT_NAMES = 4096
MAX_NAMES_OF_ONE = 4
"""Names under which an upstream was seen to count one model."""
MAX_SERVED_MODELS = 10_000


class Learned:
    """One per board. Bounded: callers choose names of models, and upstreams those of limits."""

    def __init__(self) -> None:
        self._limit_names: dict[tuple[ProviderId, str], tuple[str, ...]] = {}
        self._served: set[tuple[ProviderId, str]] = set()

    def is_served(self, member: Member) -> bool:
        """Whether the member's model was ever served by its provider."""
        return (member.account.provider_id, member.names.model) in self._served

    def note_served(self, member: Member) -> None:
        key = (member.account.provider_id, member.names.model)
        if key not in self._served and len(self._served) < MAX_SERVED_MODELS:
            self._served.add(key)

    def limit_names(self, provider_id: ProviderId, model: str) -> tuple[str, ...]:
        """Names other than its own under which a model's limits are counted; a family shares one."""
        return self._limit_names.get((provider_id, model), ())

    def note_limit_name(self, member: Member, limit: str) -> bool | None:
        """True: new, so that pools must be made anew. False: known. None: there is no room to remember it."""
        key = (member.account.provider_id, member.names.model)
        known = self._limit_names.get(key, ())
        if limit == member.names.model or limit in known:
            return False
        if len(known) >= MAX_NAMES_OF_ONE or (not known and len(self._limit_names) >= MAX_LIMIT_NAMES):
            return None
        self._limit_names[key] = (*known, limit)
        return True
