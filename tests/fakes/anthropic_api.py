"""A fake Anthropic on real sockets: answers by the key that comes, as scripts say; else as a model that echoes.

async with anthropic_api() as api:
    api.script("sk-ant-a", refused(429, "rate_limit_error", **{"retry-after": "20"}))
    … calls …
    assert [seen.key for seen in api.seen] == ["sk-ant-a", "sk-ant-b"]
"""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tests.fakes.raw_server import Peer, SeenRequest, raw_server
from tests.unit.wire.openai_anthropic.samples import arguments, begin, delta, end, start, stop_block, text

MODELS = ["claude-opus-5-5", "claude-haiku-4-5"]
UNLISTED = "claude-new"
"""A model that there is, and no list has."""
USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 9}
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

Script = bytes | tuple[bytes, ...]
"""A whole HTTP answer; pieces of a stream's body, after which the connection is cut where the last one is no end."""


class Seen(msgspec.Struct):
    """A request, as the API saw it."""

    method: str
    target: str
    key: str
    headers: dict[str, str]
    body: Any


class AnthropicApi:
    def __init__(self) -> None:
        self.url = ""
        self._batches: dict[str, list[dict[str, Any]]] = {}
        """By key, in the order in which they were made."""
        self.seen: list[Seen] = []
        """Calls; lists of models, which the gateway reads by itself, are not among them."""
        self._scripts: dict[str, deque[Script]] = {}

    def script(self, key: str, *answers: Script) -> None:
        """What the next calls with that key get, one after another; the last one stays."""
        self._scripts[key] = deque(answers)

    @property
    def keys(self) -> list[str]:
        return [seen.key for seen in self.seen]

    async def serve(self, peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            seen = _seen(request)
            if seen.target.startswith("/v1/models"):
                await peer.send(_models(seen.target.partition("?")[0].removeprefix("/v1/models").lstrip("/")))
                continue
            self.seen.append(seen)
            scripts = self._scripts.get(seen.key)
            if "/batches" in seen.target and not scripts:
                await peer.send(self._batch(seen))
                continue
            answer = echoed(seen) if not scripts else scripts.popleft() if len(scripts) > 1 else scripts[0]
            if isinstance(answer, bytes):
                await peer.send(answer)
            else:
                await _stream(peer, answer)
                if answer[-1] != STOP:
                    peer.close()
                    return

    def add_batch(self, key: str) -> dict[str, Any]:
        """One more of that key's workspace, a second younger than the last."""
        count = sum(map(len, self._batches.values())) + 1
        id_ = f"msgbatch_{count}"
        batch = {"id": id_, "type": "message_batch", "created_at": f"2026-11-20T00:00:{count:02}Z"}
        batch |= {"processing_status": "ended", "results_url": f"{self.url}/v1/messages/batches/{id_}/results"}
        self._batches.setdefault(key, []).append(batch)
        return batch

    def _batch(self, seen: Seen) -> bytes:
        """What the batches of that key's workspace say."""
        if seen.method == "POST":
            return written(200, self.add_batch(seen.key))
        mine = self._batches.get(seen.key, [])
        path, _, query = seen.target.partition("?")
        id_, _, is_results = path.partition("/batches/")[2].partition("/")
        if not id_:
            return _page_of([*reversed(mine)], dict(parse_qsl(query)))
        found = next((batch for batch in mine if batch["id"] == id_), None)
        if found is None:
            return refused(404, "not_found_error", f"No batch {id_}")
        return written(200, {"custom_id": "a", "result": {"type": "canceled"}} if is_results else found)


def _models(name: str) -> bytes:
    """All that are listed, or one that there is."""
    if name and name not in {*MODELS, UNLISTED}:
        return refused(404, "not_found_error", f"model: {name}")
    found = [
        {"type": "model", "id": id_, "created_at": "2026-09-22T00:00:00Z"} for id_ in ((name,) if name else MODELS)
    ]
    return written(200, found[0] if name else {"data": found, "has_more": False})


def _page_of(batches: list[dict[str, Any]], query: dict[str, str]) -> bytes:
    """Newest first: what stands behind `after_id`, or right before `before_id`."""
    ids = [batch["id"] for batch in batches]
    limit, cursor = int(query.get("limit", "20")), query.get("before_id") or query.get("after_id")
    if cursor is not None and cursor not in ids:
        return refused(404, "not_found_error", f"No batch {cursor}")
    if "before_id" in query:
        last = ids.index(query["before_id"])
        first = max(0, last - limit)
        return written(200, {"data": batches[first:last], "has_more": first > 0})
    first = 0 if cursor is None else ids.index(cursor) + 1
    return written(200, {"data": batches[first : first + limit], "has_more": first + limit < len(batches)})


async def _stream(peer: Peer, pieces: tuple[bytes, ...]) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_011\r\n"
        b"anthropic-organization-id: 8d9f2b1c-0a1b-4c2d-8e3f-1234567890ab\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    await peer.send(head, *chunks, *([b"0\r\n\r\n"] if pieces[-1] == STOP else []))


def _seen(request: SeenRequest) -> Seen:
    headers = {name.decode().lower(): value.decode() for name, value in request.headers}
    body = json.loads(request.body) if request.body else None
    return Seen(request.method.decode(), request.target.decode(), headers.get("x-api-key", ""), headers, body)


def written(status: int, body: object, **headers: str) -> bytes:
    """A whole HTTP answer."""
    sent = json.dumps(body, ensure_ascii=False).encode()
    lines = [f"HTTP/1.1 {status} Said", "content-type: application/json", f"content-length: {len(sent)}"]
    lines += ["request-id: req_011", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent


def refused(status: int, type_: str, message: str = "No", **headers: str) -> bytes:
    body = {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_011"}
    return written(status, body, **headers)


def echoed(seen: Seen) -> Script:
    """What a model says that repeats the last text, or asks for the first tool's help when there are tools."""
    if seen.target.partition("?")[0] == "/v1/messages/count_tokens":
        return written(200, {"input_tokens": 14})
    if seen.target.partition("?")[0] != "/v1/messages":
        return refused(404, "not_found_error", "Not found")
    if not seen.body.get("messages"):
        return refused(400, "invalid_request_error", "messages: at least one message is required")
    content = seen.body["messages"][-1]["content"]
    last = content if isinstance(content, str) else content[-1]
    words = "echo: " + (last if isinstance(last, str) else last.get("text", last["type"]))
    tools = seen.body.get("tools") if words != "echo: tool_result" else None
    if seen.body.get("stream"):
        return _streamed(words, tools)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": words}]
    if tools:
        blocks.append({"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": {"city": "Rome"}})
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": seen.body["model"], "content": blocks}
    reason = "tool_use" if tools else "end_turn"
    return written(200, {**message, "stop_reason": reason, "stop_sequence": None, "usage": USAGE})


def _streamed(words: str, tools: list[dict[str, Any]] | None) -> tuple[bytes, ...]:
    pieces = [start(), begin(0, type="text", text=""), *(text(f"{word} ") for word in words.split()), stop_block()]
    if tools:
        pieces += [begin(1, type="tool_use", id="toolu_1", name=tools[0]["name"], input={}), arguments('{"city": ', 1)]
        pieces += [delta(1, type="input_json_delta", partial_json='"Rome"}'), stop_block(1)]
    return (*pieces, end("tool_use" if tools else "end_turn"), STOP)


@asynccontextmanager
async def anthropic_api() -> AsyncIterator[AnthropicApi]:
    """On a free port of the loopback."""
    api = AnthropicApi()
    async with raw_server(api.serve) as server:
        api.url = f"http://127.0.0.1:{server.origin.port}"
        yield api
