"""A whole relay on fakes: accounts, a board, a loop and a scripted upstream, for tests of what they do together."""

import asyncio
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec

from gateway.core.call import Call
from gateway.core.ids import AccountId, CallId, ModelName, ProviderId, Secret
from gateway.core.outcome import Outcome, OutcomeKind, Scope
from gateway.core.parks import Park
from gateway.core.snapshot import (
    Account,
    AuthStrategy,
    Credential,
    Provider,
    ProviderSettings,
    Route,
    Snapshot,
    build_snapshot,
)
from gateway.providers.base import Headers
from gateway.providers.catalog import KINDS
from gateway.relay.answer import Answer
from gateway.relay.asking import Asking
from gateway.relay.attempt import Attempts
from gateway.relay.board import Board
from gateway.relay.credentials import Credentials
from gateway.relay.fallbacks import FallbackRelay
from gateway.relay.job import Job
from gateway.relay.lease import Lease
from gateway.relay.loop import Relay
from gateway.relay.member import Member
from gateway.relay.metering import Progress
from gateway.relay.pool import Pool
from gateway.relay.restart import RestartingRelay
from gateway.relay.waiting import Waiting
from gateway.telemetry.events import CallRecord
from gateway.wire.endpoints import find
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Piece, Reply, ScriptedUpstream
from tests.fakes.token_store import MemoryTokens

T = TypeVar("T")

PROVIDER = ProviderId("openai")
MODEL = "gpt-4"
CHAT_BODY = b'{"model":"gpt-4","messages":[{"role":"user","content":"hi"}]}'
ANSWER = b'{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"hey"},"finish_reason":"stop"}]}'
OK = Reply(pieces=(ANSWER,))


# -- what upstreams say ------------------------------------------------------------------------------------------


def error_json(message: str, *, type_: str = "error", code: str | None = None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": None, "code": code}})


def refusal(
    status: int, message: str = "no", *, type_: str = "error", code: str | None = None, headers: Headers = ()
) -> Reply:
    return Reply(status, JSON_HEADERS + headers, (error_json(message, type_=type_, code=code),))


def rate_limited(retry_after_s: float | None = None, message: str = "Rate limit reached") -> Reply:
    named = () if retry_after_s is None else ((b"retry-after-ms", b"%d" % (retry_after_s * 1000)),)
    return refusal(429, message, type_="requests", code="rate_limit_exceeded", headers=named)


OUT_OF_QUOTA = refusal(429, "You exceeded your current quota", type_="insufficient_quota", code="insufficient_quota")
REJECTED = refusal(401, "Incorrect API key provided: sk-a.", type_="invalid_request_error", code="invalid_api_key")
WALL = refusal(403, "Not here")
NO_MODEL = refusal(404, "The model `gpt-4` does not exist", type_="invalid_request_error", code="model_not_found")
BROKEN = refusal(500, "The server had an error", type_="server_error")
OVERLOADED = refusal(503, "The engine is overloaded", type_="server_error", code="server_is_overloaded")


def event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def delta(text: str | None = None, *, role: str | None = None, finish: str | None = None) -> bytes:
    """A chunk of a chat stream."""
    held = {name: value for name, value in (("role", role), ("content", text)) if value is not None}
    return event({"id": "c1", "model": MODEL, "choices": [{"index": 0, "delta": held, "finish_reason": finish}]})


ROLE = delta("", role="assistant")
DONE = b"data: [DONE]\n\n"
STREAM = (ROLE, delta("he"), delta("y"), delta(finish="stop"), DONE)


def stream(*pieces: Piece) -> Reply:
    return Reply(200, EVENT_HEADERS, pieces)


# -- who plays along ---------------------------------------------------------------------------------------------


class HeardAnnouncer:
    """Keeps what was announced."""

    def __init__(self) -> None:
        self.parks: list[Park] = []
        self.recoveries: list[Scope] = []

    def announce(self, park: Park) -> None:
        self.parks.append(park)

    def announce_recovery(self, scope: Scope) -> None:
        self.recoveries.append(scope)


class KeptMeter:
    """Keeps the records of calls."""

    worker = "0"
    is_debug = True

    def __init__(self) -> None:
        self.failed: list[tuple[str, str, OutcomeKind]] = []
        """Call, account, outcome."""
        self.calls: list[CallRecord] = []
        self.kinds: list[OutcomeKind] = []

    def call_started(self) -> None:
        pass

    def attempt_finished(
        self, provider_id: ProviderId, model: str, kind: OutcomeKind, duration_s: float, *, is_served: bool
    ) -> None:
        self.kinds.append(kind)

    def attempt_failed(
        self, call_id: CallId, provider_id: ProviderId, account_id: AccountId, outcome: Outcome, duration_s: float
    ) -> None:
        self.failed.append((call_id, account_id, outcome.kind))

    def call_finished(self, record: CallRecord) -> None:
        self.calls.append(record)


def account(name: str, **fields: Any) -> Account:
    """The account `name`, whose key is `sk-<name>`."""
    credential = Credential(AuthStrategy.API_KEY, Secret(fields.pop("key", f"sk-{name}")))
    given = {"provider_id": PROVIDER, **fields}
    return Account(id=AccountId(name), label=name, credential=credential, **given)


def snapshot_of(
    *accounts: Account, version: int = 1, routes: Sequence[Route] = (), others: Sequence[Provider] = (), **settings: Any
) -> Snapshot:
    """`settings` are the provider's; `others` stand beside it."""
    provider = Provider(
        id=PROVIDER,
        name="OpenAI",
        kind="openai",
        base_url="https://api.openai.com/v1",
        auth_strategy=AuthStrategy.API_KEY,
        settings=ProviderSettings(**settings),
    )
    return build_snapshot(
        version=version, providers=[provider, *others], accounts=accounts, routes=routes, default_provider=PROVIDER
    )


class RelayKit:
    """Accounts by name: `RelayKit("a", "b")`, or as `Account`s; keys are `sk-a`, `sk-b`.

    `settings` are the provider's, but for `routes` and `others`, which are rows beside it.
    """

    def __init__(self, *accounts: str | Account, seed: int = 7, max_calls: int = 100, **settings: Any) -> None:
        self.clock = FakeClock()
        self.upstream = ScriptedUpstream(self.clock)
        self.announcer = HeardAnnouncer()
        self.meter = KeptMeter()
        rng = Random(seed)
        self.board = Board(clock=self.clock, rng=rng, kinds=KINDS, announcer=self.announcer)
        self.waiting = Waiting(clock=self.clock, max_calls=max_calls, max_bytes=1_000_000)
        self.board.on_change = self.waiting.ring_heads
        self.tokens = MemoryTokens(self.clock)
        self.credentials = Credentials(
            upstream=self.upstream,
            store=self.tokens,
            kinds=KINDS,
            clock=self.clock,
            registry=lambda: self.board.snapshot,
        )
        self.asking = Asking(upstream=self.upstream, kinds=KINDS, credentials=self.credentials, rng=Random(1))
        attempts = Attempts(board=self.board, upstream=self.upstream, credentials=self.credentials, clock=self.clock)
        self.loop = Relay(board=self.board, attempts=attempts, waiting=self.waiting, clock=self.clock, rng=rng)
        fallbacks = FallbackRelay(relay=self.loop, board=self.board, clock=self.clock)
        self.relay = RestartingRelay(relay=fallbacks, clock=self.clock)
        self.settings = settings
        self.set_accounts(*accounts)
        self._calls = 0

    def set_accounts(self, *accounts: str | Account) -> None:
        """A new snapshot, with these."""
        rows = [account(row) if isinstance(row, str) else row for row in accounts]
        version = self.board.snapshot.version + 1
        self.board.replace_snapshot(snapshot_of(*rows, version=version, **self.settings))

    # -- single steps --------------------------------------------------------------------------------------------

    def call(self, *, model: str = MODEL, path: str = "/chat/completions", method: str = "POST", **fields: Any) -> Call:
        endpoint = find(method, path)
        assert endpoint is not None
        return Call(id=CallId(f"req_{model}"), endpoint=endpoint, model=ModelName(model), **fields)

    def pool(self, model: str = MODEL) -> Pool:
        return self.board.pools.pool_for(self.call(model=model))

    def member(self, name: str, model: str = MODEL) -> Member:
        return next(member for member in self.pool(model).members if member.account_id == name)

    def take(self, name: str, model: str = MODEL) -> Lease:
        return self.board.take(self.pool(model), self.member(name, model), self.clock.now())

    def observe(self, name: str, outcome: Outcome, model: str = MODEL) -> None:
        """One whole attempt at this moment."""
        lease = self.take(name, model)
        self.board.observe(lease, outcome, self.clock.now())
        lease.release()

    def serving(self, model: str = MODEL) -> set[str]:
        """Who may be tried now."""
        view = self.board.view(self.pool(model), self.clock.now())
        return {member.account_id for tier in view.tiers for member in tier}

    # -- whole calls ---------------------------------------------------------------------------------------------

    def job(self, body: bytes = CHAT_BODY, allowed_models: tuple[str, ...] = (), **fields: Any) -> Job:
        call = self.call(**fields)
        progress = Progress(call, self.meter, self.clock, self.clock.now())
        return Job(call, self.board.pools.pool_for(call), (), body, progress, body, allowed_models)

    def start(self, **fields: Any) -> "asyncio.Task[Answer]":
        """A call under way."""
        return asyncio.ensure_future(self.relay.relay_call(self.job(**fields)))

    async def answer(self, **fields: Any) -> Answer:
        """A call from its start to its answer, however much time that takes on the fake clock."""
        return await self.finished(self.relay.relay_call(self.job(**fields)))

    async def finished(self, work: Awaitable[T]) -> T:
        """Moves time on from sleeper to sleeper until `work` is done."""
        return await finished(self.clock, work)

    async def streamed(self, answer: Answer) -> bytes:
        """A coming body to its end, and closed."""
        assert answer.coming is not None
        parts = []
        while piece := await self.finished(answer.coming.next_piece()):
            parts.append(piece)
        await self.finished(answer.coming.close())
        return b"".join(parts)

    def assert_idle(self) -> None:
        """Nothing is held any more."""
        assert self.board.in_flight_calls == 0
        assert all(load.in_flight == 0 for load in self.board.pools._loads.values())
        assert self.waiting.calls == 0
        assert self.waiting.bytes == 0
        assert all(answer.closings == 1 for answer in self.upstream.answers)


def one(reply: Reply) -> RelayKit:
    """A relay with the account `a` alone."""
    kit = RelayKit("a")
    kit.upstream.on("sk-a", reply)
    return kit


def two_tiers(first: Reply, second: Reply = OK, **settings: Any) -> RelayKit:
    """Account `a` answers first, `b` only when it fails."""
    kit = RelayKit(account("a"), account("b", tier=1), **settings)
    kit.upstream.on("sk-a", first)
    kit.upstream.on("sk-b", second)
    return kit


async def finished(clock: FakeClock, work: Awaitable[T]) -> T:
    """The result of `work`; time goes on from sleeper to sleeper until it is there."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            await clock.settle()
            if task.done():
                return await task
            waits = [deadline for deadline, _, waiter in clock._sleepers if not waiter.done()]
            assert waits, "waits for nothing that time could bring"
            await clock.advance(max(min(waits) - clock.now(), 0.0))
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
