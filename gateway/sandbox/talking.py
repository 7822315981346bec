"""A connection after its upgrade: the frames of a session, by `websockets`."""

import asyncio
from collections.abc import Callable

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Head
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.sandbox.answer import Speaker
from gateway.sandbox.request import Request

MAX_EVENT_BYTES = 32 * 1024 * 1024


class Talking(asyncio.Protocol):
    """Takes a transport over. `on_lost` is told whether the session was closed in order."""

    def __init__(self, transport: asyncio.Transport, talk: Speaker, on_lost: Callable[[bool], None]) -> None:
        self._transport = transport
        self._talk = talk
        self._on_lost = on_lost
        self._protocol = ServerProtocol(
            subprotocols=[Subprotocol("realtime")],
            select_subprotocol=lambda _self, offered: Subprotocol("realtime") if "realtime" in offered else None,
            max_size=MAX_EVENT_BYTES,
        )
        self._parts: list[bytes] = []

    def begin(self, request: Request, headers: list[tuple[str, str]]) -> bool:
        """Answers the upgrade, with these headers beside its own, and greets. False: it was none, and is refused."""
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers)
        self._protocol.receive_data(f"GET {request.path}?{request.query} HTTP/1.1\r\n".encode() + lines + b"\r\n")
        asked = next((event for event in self._protocol.events_received() if isinstance(event, Head)), None)
        if asked is None:  # its lines are longer than the library reads
            self._transport.close()
            return False
        response = self._protocol.accept(asked)
        if response.status_code == 101:
            for name, value in headers:
                response.headers[name] = value
        self._protocol.send_response(response)
        if response.status_code == 101:
            self._say(self._talk.greeting())
        self._write()
        if response.status_code != 101:
            self._transport.close()
        return response.status_code == 101

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._parts.append(bytes(event.data))
                if event.fin:
                    said, self._parts = b"".join(self._parts), []
                    self._say(self._talk.hear(said))
        self._write()

    def eof_received(self) -> None:
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._on_lost(self._protocol.close_rcvd is not None)

    def _say(self, events: list[bytes]) -> None:
        for event in events:
            self._protocol.send_text(event)

    def _write(self) -> None:
        for piece in self._protocol.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._transport.close()
