"""A cheap call with an account's credential, outside of any caller's call: does it work, and which models has it?"""

from datetime import datetime
from typing import Any

import msgspec

from gateway.core.call import BodyKind, Endpoint
from gateway.core.classify import classify, classify_fault
from gateway.core.outcome import Fault, Outcome, OutcomeKind
from gateway.core.snapshot import Account, Provider
from gateway.providers.base import Destination, Limits
from gateway.relay.asking import Asking
from gateway.relay.ports import Clock

MODELS = Endpoint(name="models.list", method="GET", path="/models", body=BodyKind.NONE)
LIMITS = Limits(connect_s=5.0, headers_s=15.0, stall_s=15.0)
MAX_LIST_BYTES = 8 * 1024 * 1024
MAX_MODELS = 10_000
"""Of one account; OpenRouter lists some hundreds."""


class ModelEntry(msgspec.Struct, frozen=True):
    """A model as `GET /v1/models` shows it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = ""


class Check(msgspec.Struct, frozen=True):
    """What a check came to."""

    outcome: Outcome
    latency_s: float
    models: tuple[ModelEntry, ...] = ()
    """What the account's own list says; empty when the check failed."""

    @property
    def is_ok(self) -> bool:
        return self.outcome.kind is OutcomeKind.OK


class _Listed(msgspec.Struct):
    """A model as an upstream lists it."""

    id: str
    created: int = 0
    created_at: Any = None
    """Anthropic's, RFC 3339."""
    owned_by: str = ""


class _List(msgspec.Struct):
    data: list[_Listed] = []


class Checks:
    """Makes checks."""

    def __init__(self, *, asking: Asking, clock: Clock) -> None:
        self._asking = asking
        self._clock = clock

    async def check(self, provider: Provider, account: Account, *, is_ahead: bool = False) -> Check:
        """Asks for the list of models. Never raises for what the network or the upstream does.

        `is_ahead`: the account was read from its row just now, and the registry may not know it yet.
        """
        started = self._clock.now()
        destination = await self._asking.destination_of(provider, account, is_check=True, is_ahead=is_ahead)
        if isinstance(destination, Outcome):
            return Check(destination, self._clock.now() - started)
        check = await self._asked(provider, destination)
        if check.outcome.status != 401:
            return check
        another = await self._asking.renewed(provider, account, destination)
        return check if another is None else await self._asked(provider, another)

    async def _asked(self, provider: Provider, destination: Destination) -> Check:
        started = self._clock.now()
        answer = await self._asking.ask(provider, destination, MODELS, limits=LIMITS)
        if isinstance(answer, Fault):
            return Check(classify_fault(answer), self._clock.now() - started)
        try:
            body = await answer.read_all(MAX_LIST_BYTES)
        finally:
            answer.close()
        latency_s = self._clock.now() - started
        if isinstance(body, Fault):
            return Check(classify_fault(body), latency_s)
        headers = dict(answer.headers)
        error = self._asking.kind_of(provider).read_error(body, headers.get(b"content-type", b"").decode("latin-1"))
        names = destination.limit_names
        outcome = classify(answer.status, headers, error, wall_now=self._clock.wall_now(), names=names)
        is_listed = outcome.kind is OutcomeKind.OK and destination.lists_models
        return Check(outcome, latency_s, _models_in(body, provider) if is_listed else ())


def _models_in(body: bytes, provider: Provider) -> tuple[ModelEntry, ...]:
    try:
        listed = msgspec.json.decode(body, type=_List, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(
        [
            ModelEntry(entry.id, "model", _epoch_s(entry), entry.owned_by or provider.id)
            for entry in listed.data[:MAX_MODELS]
        ]
    )


def _epoch_s(entry: _Listed) -> int:
    if not isinstance(entry.created_at, str):
        return entry.created
    try:
        return max(int(datetime.fromisoformat(entry.created_at).timestamp()), 0)
    except (ValueError, OverflowError):
        return entry.created
