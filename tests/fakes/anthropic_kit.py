"""A relay on fakes with a provider of Anthropic's, and what Anthropic says there."""

import json

import msgspec

from gateway.core.call import Call
from gateway.core.ids import CallId, ProviderId
from gateway.core.snapshot import AuthStrategy, Provider, Route
from gateway.relay.job import Job, charged, fitted
from gateway.relay.metering import Progress
from gateway.wire.endpoints import find
from gateway.wire.envelope import read_envelope
from tests.fakes.relay_kit import RelayKit, account
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Reply

ANTHROPIC = Provider(
    id=ProviderId("anthropic"),
    name="Anthropic",
    kind="anthropic",
    base_url="https://api.anthropic.com/v1",
    auth_strategy=AuthStrategy.API_KEY,
)
ROUTE = Route(pattern="claude-*", provider_id=ANTHROPIC.id)
MODEL = "claude-opus-5-5"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
NATIVE = {**CHAT, "max_tokens": 5}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5-20260922",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 7},
}
OK = Reply(pieces=(json.dumps(MESSAGE).encode(),))


def refusal(status, type_, message="No", *headers):
    body = {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_011"}
    return Reply(status, JSON_HEADERS + headers, (json.dumps(body).encode(),))


def stream(*pieces):
    return Reply(200, EVENT_HEADERS, pieces)


class Kit(RelayKit):
    """With a provider `anthropic` and its accounts `a` and `b`; its upstream hears keys in `x-api-key`."""

    def __init__(self, *replies, provider=ANTHROPIC, route=ROUTE):
        names = [account(name, provider_id=ANTHROPIC.id, tier=tier) for tier, name in enumerate("ab")]
        super().__init__(*names, "o", others=[provider], routes=[route])
        heard = self.upstream.attempt

        async def attempt(request):
            keys = {value for name, value in request.headers if name == b"x-api-key"}
            shown = request
            if keys:
                shown = msgspec.structs.replace(request, headers=((b"authorization", b"Bearer " + keys.pop()),))
            answer = await heard(shown)
            self.upstream.attempts[-1].request = request
            return answer

        self.upstream.attempt = attempt
        for name, reply in zip("ab", replies, strict=False):
            self.upstream.on(f"sk-{name}", reply)

    def made(self, path="/chat/completions", **fields) -> Job:
        """A job, read and fitted as the ingress does it."""
        written = json.dumps({**(CHAT if path == "/chat/completions" else NATIVE), **fields}).encode()
        endpoint = find("POST", path)
        assert endpoint is not None
        envelope = read_envelope(written, endpoint)
        call = Call(
            id=CallId("req_1"), endpoint=endpoint, model=envelope.model, is_stream=envelope.is_stream,
            asks_usage=envelope.asks_usage, estimated_tokens=envelope.estimated_tokens,
        )  # fmt: skip
        pool = self.board.pools.pool_for(call)
        body = fitted(call, pool, envelope, written)
        if not pool.charges_answers:
            call = charged(call, pool, written)
        return Job(call, pool, (), body, Progress(call, self.meter, self.clock, self.clock.now()), written)

    async def said(self, path="/chat/completions", **fields):
        """The answer, and the job it belongs to."""
        job = self.made(path, **fields)
        return await self.finished(self.relay.relay_call(job)), job

    async def text(self, path="/chat/completions", **fields):
        answer, _ = await self.said(path, stream=True, **fields)
        return await self.streamed(answer)


def data_of(stream_text: bytes) -> list:
    lines = [line[6:] for line in stream_text.split(b"\n") if line.startswith(b"data: ")]
    return [line if line == b"[DONE]" else json.loads(line) for line in lines]
