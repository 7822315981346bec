"""A large body of tiny objects takes long to be looked into: other calls of the worker go on meanwhile."""

import asyncio
import threading

import pytest

from gateway.relay.aside import LARGE_BYTES
from gateway.wire.duplicates import Keys
from tests.e2e.conftest import Shared
from tests.fakes.gateway_fixture import until

TINY = b'{"model":"gpt-4","file_id":null,"input":[' + b"{}," * LARGE_BYTES + b"{}]}"
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/responses","body":' + TINY + b"}\n"
FORM = (
    b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + LINE + b"\r\n--X--\r\n"
)


class Held:
    """Takes the place of the check for members that stand twice: one of a large body lasts until it is let go."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.was_let_go: bool | None = None

    def check(self, body: bytes) -> None:
        if len(body) > LARGE_BYTES:
            self.has_begun.set()
            self.was_let_go = self.may_end.wait(5.0)


@pytest.mark.parametrize(
    ("path", "type_", "body"),
    [
        pytest.param("/v1/responses", "application/json", TINY, id="json"),
        pytest.param("/v1/videos", "application/octet-stream", TINY, id="json-that-does-not-say-so"),
        pytest.param("/v1/files", "multipart/form-data; boundary=X", FORM, id="batch"),
    ],
)
async def test_small_calls_are_answered_while_a_large_body_is_looked_into(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, path: str, type_: str, body: bytes
) -> None:
    held = Held()
    monkeypatch.setattr(Keys, "check", lambda _, body: held.check(body))
    gateway = shared.gateway

    large = asyncio.create_task(gateway.client.post(path, content=body, headers={"content-type": type_}))
    await until(held.has_begun.is_set, "the look into the large body")
    small = await gateway.chat()
    held.may_end.set()
    await large

    assert small.status_code == 200
    assert held.was_let_go


async def test_a_small_body_asks_no_thread(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    monkeypatch.setattr(Keys, "check", lambda *_: threads.append(threading.current_thread().name))

    for path in ("/v1/responses", "/v1/videos"):
        await shared.gateway.client.post(path, json={"model": "gpt-4", "input": "hi"})

    assert threads == [threading.current_thread().name] * 2
