"""The caller's side of a WebSocket, in ASGI's messages: refused with an HTTP answer, or accepted and spoken with."""

import asyncio
from typing import Any

from gateway.ingress.asgi import Receive, Send
from gateway.providers.base import Headers
from gateway.wire.sockets import NO_CODE, Closed, Message

FINISH_S = 2.0
"""A caller that reads nothing learns nothing: its connection is cut by the server below."""


class CallerSocket:
    """Fits `relay.ports.Socket`, once it is accepted."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._early: asyncio.Future[Any] | None = None
        self.is_accepted = False
        self.is_closed = False

    # -- before it is accepted -----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Reads what every WebSocket begins with, then listens: who waits for an account may hang up."""
        await self._receive()
        self._early = asyncio.ensure_future(self._receive())

    @property
    def hang_up(self) -> "asyncio.Future[Any]":
        """Ends when the caller goes away, or speaks already. Set by `begin`."""
        assert self._early is not None  # noqa: S101  # `begin` comes first
        return self._early

    def has_hung_up(self) -> bool:
        early = self._early
        return early is not None and early.done() and early.result()["type"] == "websocket.disconnect"

    async def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answers the upgrade with HTTP."""
        try:
            await self._send({"type": "websocket.http.response.start", "status": status, "headers": list(headers)})
            await self._send({"type": "websocket.http.response.body", "body": body, "more_body": False})
        except OSError:
            pass  # it has gone: nobody to tell
        self.drop()

    async def accept(self, subprotocol: str | None, headers: Headers) -> bool:
        """False: the caller has gone."""
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers)})
        except OSError:
            return False
        self.is_accepted = True
        return True

    def drop(self) -> None:
        """Listens no more."""
        if self._early is not None:
            self._early.cancel()

    # -- as a socket ---------------------------------------------------------------------------------------------

    async def receive(self) -> Message | Closed:
        if self._early is not None:
            message = await asyncio.shield(self._early)
            self._early = None
        else:
            message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.is_closed = True
            return Closed(message.get("code") or NO_CODE, message.get("reason") or "")
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def send(self, message: Message) -> bool:
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: message})
        except OSError:  # the specification's word for a caller that has gone
            return False
        return True

    async def finish(self, code: int, reason: str) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.drop()
        try:
            async with asyncio.timeout(FINISH_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:  # gone, or (TimeoutError) not reading
            return
