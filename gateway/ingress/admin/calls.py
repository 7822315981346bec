"""`/api/v1/calls`: the newest calls of this service, with every attempt they made, for whoever asks why."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from gateway.ingress.admin.deps import AdminDeps
from gateway.ingress.admin.operations import Limit, Offset, errors
from gateway.ingress.admin.problems import Refusal
from gateway.telemetry.calls import Calls, KeptCall

CallIdPath = Annotated[str, PathParameter(description="The caller's `x-request-id`.")]
ProviderFilter = Annotated[str | None, QueryParameter(description="Only calls that made an attempt at this provider.")]
AccountFilter = Annotated[str | None, QueryParameter(description="Only calls that made an attempt on this account.")]
StatusFilter = Annotated[int | None, QueryParameter(ge=100, le=599, description="Only calls answered with it.")]
ModelFilter = Annotated[str | None, QueryParameter(description="Only calls for it, or served by it as a fallback.")]
OutcomeFilter = Annotated[str | None, QueryParameter(description="`ok`, `rate_limited`, `refused`, `broken`, …")]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Filters; None lets all through."""

    provider_id: str | None
    account_id: str | None
    status: int | None
    model: str | None
    outcome: str | None

    @property
    def texts(self) -> tuple[str, ...]:
        """What the line of a wanted call must hold: cheaper to look for than to read every line."""
        return tuple(text for text in (self.provider_id, self.account_id, self.model, self.outcome) if text)

    def has(self, call: KeptCall) -> bool:
        return (
            (self.provider_id is None or any(attempt.provider == self.provider_id for attempt in call.trail))
            and (self.account_id is None or any(attempt.account_id == self.account_id for attempt in call.trail))
            and (self.status is None or call.status == self.status)
            and (self.model is None or self.model in {call.model, call.served_model})
            and (self.outcome is None or call.outcome == self.outcome)
        )


class CallStream(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream went. Null: it never began, or had too little to tell."""

    ttft_ms: float | None
    """From the call's arrival to its first content."""
    duration_ms: float
    chunks_sent: int
    avg_chunk_interval_ms: float | None
    tokens_per_second: float | None
    is_complete: bool
    """It reached its end."""


class CallView(KeptCall, frozen=True, kw_only=True):
    """A call that has ended."""

    stream: CallStream | None = None
    """Null when it was no stream."""


class CallList(msgspec.Struct, frozen=True):
    """The newest first. Calls that end meanwhile move a page's beginning."""

    data: list[CallView]
    limit: int
    offset: int
    has_more: bool
    """Older ones fit the filters, too."""


class CallsController(Controller):
    path = "/calls"
    tags = ("calls",)

    @get(summary="List the newest calls", responses=errors(400))
    async def list_calls(  # noqa: PLR0913, PLR0917  # one parameter a filter, by name
        self,
        deps: NamedDependency[AdminDeps],
        limit: Limit = 100,
        offset: Offset = 0,
        provider_id: ProviderFilter = None,
        account_id: AccountFilter = None,
        status: StatusFilter = None,
        model: ModelFilter = None,
        outcome: OutcomeFilter = None,
    ) -> CallList:
        """Of all workers of this service, the newest 5,000 of each at most, since it started. Needs no database."""
        wanted = Wanted(provider_id=provider_id, account_id=account_id, status=status, model=model, outcome=outcome)
        found = await asyncio.to_thread(_page, deps.calls, wanted, limit, offset)
        return CallList([_view(call) for call in found[:limit]], limit, offset, len(found) > limit)

    @get("/{call_id:str}", summary="Show a call", responses=errors(404))
    async def show_call(self, deps: NamedDependency[AdminDeps], call_id: CallIdPath) -> CallView:
        """Every attempt in order (`trail`): account, outcome, status, how long it took; and how its stream went."""
        call = await asyncio.to_thread(deps.calls.find, call_id)
        if call is None:
            raise Refusal(404, "not_found", "No call of this id is among the newest; older ones are in the log.")
        return _view(call)


def _page(calls: Calls, wanted: Wanted, limit: int, offset: int) -> list[KeptCall]:
    """One more than asked for, where there is one."""
    fitting: Iterator[KeptCall] = (call for call in calls.newest(*wanted.texts) if wanted.has(call))
    return list(islice(fitting, offset, offset + limit + 1))


def _view(call: KeptCall) -> CallView:
    stream = _stream_of(call) if call.is_stream else None
    return CallView(**{name: getattr(call, name) for name in KeptCall.__struct_fields__}, stream=stream)


def _stream_of(call: KeptCall) -> CallStream:
    first = call.first_byte_s
    streamed_s = 0.0 if first is None else call.total_s - first
    return CallStream(
        ttft_ms=None if first is None else round(first * 1_000, 3),
        duration_ms=round(call.total_s * 1_000, 3),
        chunks_sent=call.chunks,
        avg_chunk_interval_ms=round(streamed_s * 1_000 / (call.chunks - 1), 3) if first and call.chunks > 1 else None,
        tokens_per_second=round(call.output_tokens / streamed_s, 2) if streamed_s > 0 and call.output_tokens else None,
        is_complete=call.is_complete,
    )
