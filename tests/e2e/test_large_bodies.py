"""Uploads and downloads through a real worker process: what it holds of them does not grow with their size.

48 MB here; the figures for 512 MB are in docs/benchmarks.md.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.databases import temporary_state
from tests.e2e.raw import raw
from tests.e2e.service import Service, running
from tests.fakes.gateway_fixture import connected

BLOCK = bytes(range(256)) * 4096
BLOCKS = 48
SIZE = BLOCKS * len(BLOCK)
GROWTH_MB = 12.0
"""A body of which everything, or a copy of half of it, were held would be far beyond it."""
HEAD = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
TAIL = b'\r\n--XX\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--XX--\r\n'


class Upstream:
    """Counts what comes, in pieces; gives what is asked for, in pieces."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"/content" in head.split(b"\r\n", 1)[0]:
                    await self._give(writer)
                    continue
                length = re.search(rb"content-length: (\d+)", head)
                await self._take(reader, int(length[1]) if length else 0)
                answer = b'{"id":"file-1","object":"file"}'
                type_ = b"content-type: application/json\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (type_, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _take(self, reader: asyncio.StreamReader, left: int) -> None:
        digest = hashlib.sha256()
        while left and (piece := await reader.read(min(left, 2**18))):
            digest.update(piece)
            left -= len(piece)
        self.digests.append(digest.hexdigest())

    async def _give(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\ncontent-range: bytes 0-1/9\r\n"
        )
        writer.write(b"content-disposition: attachment\r\ncontent-length: %d\r\n\r\n" % SIZE)
        for _ in range(BLOCKS):
            writer.write(BLOCK)
            await writer.drain()


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    started = Upstream()
    started.server = await asyncio.start_server(started.serve, "127.0.0.1", 0)
    try:
        yield started
    finally:
        started.server.close()


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_state() as state:
        yield state


@asynccontextmanager
async def serving(home: Path, provider: Upstream, database_url: str) -> AsyncIterator[tuple[Service, int]]:
    """A service with one worker and one account, and its port."""
    variables = {"OPENAI_API_KEY": "sk-a", "OPENAI_BASE_URL": provider.url, "DATABASE_URL": database_url}
    with running(home, app="", GATEWAY_SERVER__WORKERS="1", **variables) as service:
        port = (await asyncio.to_thread(service.event, "service.started"))["port"]
        assert isinstance(port, int)
        yield service, port


class Growth:
    """How much more memory the worker held at its highest than at the beginning, in MB."""

    def __init__(self, service: Service) -> None:
        self._status = Path(f"/proc/{service.event('worker.started')['pid']}/status")
        Path(self._status.parent / "clear_refs").write_text("5")  # the highest is counted anew from here
        self._before = self._read("VmRSS")

    def now(self) -> float:
        return (self._read("VmHWM") - self._before) / 1024

    def _read(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", self._status.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])


def lines(model: str) -> bytes:
    """A megabyte of a batch's requests."""
    return b'{"custom_id":"1","body":{"model":"%b","input":"%b"}}\n' % (model.encode(), b"x" * 960) * 1024


async def test_memory_stays_flat_while_a_batchs_lines_get_other_names(home, database_url):
    expected = hashlib.sha256(HEAD + lines("gpt-4o-mini") * BLOCKS + TAIL).hexdigest()
    async with upstream() as provider, connected(database_url) as registry:
        await registry.add_route("fast", upstream_model="gpt-4o-mini")
        async with serving(home, provider, database_url) as (service, port):
            for _ in range(2):  # what only the first call makes is made then
                growth = Growth(service)
                async with raw(port) as client:
                    await upload(client, lines("fast"))
                    assert (await client.answer())[0] == 200

            assert growth.now() < GROWTH_MB
            assert expected == provider.digests[-1] == provider.digests[-2]


async def test_memory_stays_flat_whatever_passes(home, database_url):
    expected = hashlib.sha256(HEAD + BLOCK * BLOCKS + TAIL).hexdigest()
    async with upstream() as provider, serving(home, provider, database_url) as (service, port):
        for _ in range(2):  # what only the first call makes is made then
            growth = Growth(service)
            async with raw(port) as client:
                await upload(client)
                status, answer = await client.answer()
                assert (status, msgspec.json.decode(answer)["id"]) == (200, "file-1")
                await client.send(b"GET /v1/files/file-1/content HTTP/1.1\r\nhost: x\r\nrange: bytes=0-1\r\n\r\n")
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 206")
                assert {b"content-range: bytes 0-1/9", b"content-disposition: attachment"} <= set(head.split(b"\r\n"))
                await download(client)

        assert growth.now() < GROWTH_MB
        assert expected == provider.digests[-1] == provider.digests[-2]
        assert not any((home / "spool").iterdir())


async def upload(client, block: bytes = BLOCK) -> None:
    length = len(HEAD) + len(block) * BLOCKS + len(TAIL)
    await client.send(
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=XX\r\n"
        b"content-length: %d\r\n\r\n" % length + HEAD
    )
    for _ in range(BLOCKS):
        await client.send(block)
    await client.send(TAIL)


async def download(client) -> None:
    digest, left = hashlib.sha256(), SIZE
    while left:
        piece = await client.reader.read(min(left, 2**20))
        assert piece
        digest.update(piece)
        left -= len(piece)
    assert digest.hexdigest() == hashlib.sha256(BLOCK * BLOCKS).hexdigest()
