"""uvicorn's WebSocket protocol on `websockets`, with the manners that a relay needs.

Imported by the first upgrade of a worker (`http_protocol.websocket_protocol`). What differs from uvicorn's:

- a handshake that is none is answered in OpenAI's shape, and never left without an answer;
- a peer that answers no ping is dead only when it owes us nothing else: who reads slowly lives (the idle limit of
  sessions ends those that read nothing at all);
- a text that is no UTF-8 ends its session with 1007 and no more words: it is the peer's fault, not ours;
- a stop leaves sessions to the app, which ends them when the drain's time is up;
- who does not answer our close, or does not read it, is cut.
"""

import asyncio
import logging
from typing import Any

from uvicorn._types import WebSocketReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Response
from websockets.server import ServerProtocol

from gateway.core.errors import InvalidCall
from gateway.wire.errors import write_error
from gateway.wire.sockets import LOST

CLOSE_S = 5.0
"""For the answer to our close frame, and for what is still unsent."""
INVALID_TEXT = 1007
"""RFC 6455 §7.4.1."""
_WRITE_BYTES = 65_536
"""Unsent bytes beyond which a sender waits."""


class Handshake(ServerProtocol):
    """Refuses in OpenAI's shape."""

    def reject(self, status: Any, text: str) -> Response:  # noqa: ANN401  # the library's own, an int or an enum
        response = super().reject(status, text)
        words = text.strip() or "This upgrade is refused."
        body = write_error(InvalidCall(words, code="invalid_handshake", status=response.status_code))
        del response.headers["Content-Length"], response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = str(len(body))
        response.body = body
        return response


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`."""

    conn: Handshake

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Handshake(max_size=config.ws_max_size, logger=logging.getLogger("uvicorn.error"))
        self.close_timeout = CLOSE_S
        self._is_choked = False
        """Reading rests because of pongs that nobody takes."""
        self._heard = False
        """Something came since the last ping."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(_WRITE_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.handshake_complete = False  # uvicorn would call an end without a word 1005, as if it had been closed
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse_head()

    def _refuse_head(self) -> None:
        """What came was no handshake at all; of a head that is too long the library has said so already."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        output = b"".join(self.conn.data_to_send())
        if not output:
            response = self.conn.reject(400, "This is no handshake of a WebSocket.")
            output = response.serialize()
        self.transport.write(output)
        self.transport.close()

    def handle_parser_exception(self) -> None:
        """Who sends what is no frame before it was answered gets no close frame: there is no WebSocket yet."""
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
            return
        self.handshake_complete = True  # else uvicorn answers for an app that has nobody to answer
        self.queue.put_nowait({"type": "websocket.disconnect", "code": LOST})
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """As uvicorn's but for texts that are no UTF-8, which that one logs as if we had failed."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        try:
            message = _received(data, is_text=self.curr_msg_data_type == "text")
        except UnicodeDecodeError:
            self.conn.fail(INVALID_TEXT, "A text is no UTF-8.")
            self.handle_parser_exception()
            return
        self.queue.put_nowait(message)
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def shutdown(self) -> None:
        """The app ends its sessions itself, when the drain's time is up."""

    # -- a peer that asks and does not listen ----------------------------------------------------------------------

    def handle_ping(self) -> None:
        """Pongs wait for no app: who sends pings without reading them is read no further until it does."""
        super().handle_ping()
        if not self.writable.is_set() and not self.read_paused:
            self._is_choked = True
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_choked:
            self._is_choked = False
            if not self.read_paused:
                self.transport.resume_reading()

    # -- keeping alive -------------------------------------------------------------------------------------------

    def send_keepalive_ping(self) -> None:
        self._heard = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """No pong. It may stand behind what we do not read yet, or our ping behind what the peer does not read yet."""
        if self._heard or self.read_paused or self.transport.get_write_buffer_size():
            self._heard = False
            self.pong_timer = self.loop.call_later(self.ping_timeout or CLOSE_S, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    # -- the end -------------------------------------------------------------------------------------------------

    async def send(self, message: Any) -> None:  # noqa: ANN401  # an ASGI message
        if self.transport.is_closing():  # the peer has closed, though the app was not told yet
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # else uvicorn takes it for an app that forgot to answer
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)


def _received(data: bytes, *, is_text: bool) -> WebSocketReceiveEvent:
    if is_text:
        return {"type": "websocket.receive", "text": data.decode()}
    return {"type": "websocket.receive", "bytes": data}
