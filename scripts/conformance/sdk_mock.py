"""A mock of the API as the installed SDK knows it: every call is answered with the smallest value of its type.

`python scripts/conformance/sdk_mock.py PORT JOURNAL MODEL…`: what it was asked is written down, a line each, in a form
that does not depend on boundaries, order of members or spaces, so that two runs can be compared.
"""

import hashlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import uvicorn
from openai.types import Model
from sdk_catalog import Operation, operations
from sdk_samples import sample

Send = Callable[[Any], Awaitable[None]]
FILE = b"\x00\x01a file's bytes\xff"
LAST = frozenset({
    "response.completed", "transcript.text.done", "image_generation.completed", "image_edit.completed", "done",
    "thread.run.completed",
})  # fmt: skip
"""Types of the event that ends a stream, where it is not `[DONE]` alone."""
NOTED = (b"openai-beta", b"accept")
"""Headers that change what a call means."""


class Asked(msgspec.Struct, frozen=True):
    """A request, for the journal."""

    method: str
    path: str
    query: str
    headers: tuple[str, ...]
    body: str
    """Of JSON and forms their canonical text, else a digest."""


class Mock:
    """An ASGI application."""

    def __init__(self, note: Callable[[bytes], object], models: list[str]) -> None:
        """`note` is told of each request, `models` are those it lists."""
        self._routes = [(each.method, _pattern(each.path), each) for each in operations()]
        self._routes.sort(key=lambda route: route[2].path.count("{"))
        self._models = [{**sample(Model), "id": model} for model in models]
        self._note = note

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        headers = dict(scope["headers"])
        path = scope["raw_path"].decode().removeprefix("/v1")
        asked = Asked(
            scope["method"],
            path,
            scope["query_string"].decode(),
            tuple(headers.get(name, b"").decode() for name in NOTED),
            _canonical(body, headers.get(b"content-type", b"")),
        )
        self._note(msgspec.json.encode(asked) + b"\n")
        if (scope["method"], path) == ("GET", "/models"):
            listed = msgspec.json.encode({"object": "list", "data": self._models})
            await _send(send, 200, b"application/json", listed)
            return
        await _answer(
            send,
            self._find(scope["method"], path),
            wants_stream=asked.headers[1] == "text/event-stream" or _wants_stream(body),
        )

    def _find(self, method: str, path: str) -> Operation | None:
        found = (each for verb, pattern, each in self._routes if verb == method and pattern.fullmatch(path))
        return next(found, None)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _parts(path)))


def _parts(path: str) -> Iterator[str]:
    return (part for part in re.split(r"(\{\w+\})", path) if part)


async def _answer(send: Send, operation: Operation | None, *, wants_stream: bool) -> None:
    if operation is None:
        error = {"error": {"message": "unknown path", "type": "invalid_request_error", "param": None, "code": None}}
        await _send(send, 404, b"application/json", msgspec.json.encode(error))
    elif wants_stream and operation.event is not None:
        await _send(send, 200, b"text/event-stream", b"".join(_events(operation.event)))
    elif operation.is_binary:
        await _send(send, 200, b"application/octet-stream", FILE)
    elif operation.answer is None:
        await _send(send, 204, b"", b"")
    else:
        await _send(send, 200, b"application/json", msgspec.json.encode(sample(operation.answer)))


async def _send(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))] if status != 204 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _events(wanted: Any) -> Iterator[bytes]:  # noqa: ANN401  # a type
    """One event, the one that ends the stream where there is such a type, `[DONE]`."""
    if get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    members = get_args(wanted) if get_origin(wanted) is Union else (wanted,)
    samples = [_with_content(sample(member)) for member in members]
    yield _event(samples[0])
    yield from (_event(each) for each in samples[1:] if _name(each) in LAST)
    yield b"event: done\ndata: [DONE]\n\n" if "event" in samples[0] else b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    name = _name(value)
    data = value["data"] if "event" in value else value
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _name(value: dict[str, Any]) -> str | None:
    return value.get("event") or value.get("type")


def _with_content(value: dict[str, Any]) -> dict[str, Any]:
    """A chunk of chat says something and ends: without either it is no answer."""
    for choice in value.get("choices", ()):
        if "delta" in choice:
            choice["delta"] = {"content": "string"}
        choice["finish_reason"] = "stop"
    return value


def _wants_stream(body: bytes) -> bool:
    return re.search(rb'"stream": ?true|name="stream"\r\n\r\ntrue', body) is not None


def _canonical(body: bytes, content_type: bytes) -> str:
    if content_type.startswith(b"application/json") and body:
        return msgspec.json.encode(msgspec.json.decode(body), order="deterministic").decode()
    boundary = content_type.partition(b"boundary=")[2]
    if boundary:
        body = body.replace(boundary, b"boundary")
    return hashlib.sha256(body).hexdigest()[:16] if body else ""


def main() -> None:
    port, journal = int(sys.argv[1]), Path(sys.argv[2])
    with journal.open("ab", buffering=0) as file:
        mock = Mock(file.write, sys.argv[3:])
        uvicorn.run(mock, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
