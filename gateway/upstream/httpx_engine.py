"""`HttpxEngine`: the second way out, over httpx2: proxies, HTTP/2, token fetches, account checks.

It drives httpx2's transport, not its client: so no cookies, redirects, decompression or headers of its own can happen.
httpx2 is imported when an engine is made: a worker without one does not pay its memory. Costs about ten times as much
CPU a call as `Http1Engine` (performance.md §3).
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any

from gateway.core.outcome import Fault
from gateway.providers.base import BodySource, Headers, Limits, UpstreamRequest, size_of
from gateway.upstream import faults
from gateway.upstream.request_head import check_request, host_of
from gateway.upstream.tls import client_context
from gateway.upstream.whole import read_whole

_PIECE_BYTES = 65_536
"""A longer body is handed on in pieces: httpx2 copies each whole into the socket's buffer."""
_FLUSH_S = 5.0
"""How long `aclose` lets hang-ups under way finish."""


class HttpxEngine:
    """Fits `relay.ports.Upstream`. Never resends: httpx2 checks an idle connection before it uses it.

    Weaker than `Http1Engine` in two points that are httpx2's: bytes behind the end of an answer that come together
    with it are taken for the next answer, so use it for upstreams that are trusted; and closing an unread HTTP/2
    answer sends no RST_STREAM.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        has_http2: bool = False,
        ca_file: str | None = None,
        keep_alive_s: float = 60.0,
        max_idle: int = 256,
    ) -> None:
        """`proxy`: `http://[user:password@]host:port`, or https, as `core.proxy_url` has checked it.

        `has_http2`: offered by ALPN on https. `ca_file`: see `client_context`. The pool is one for all origins, so
        idle times and counts are set here and those of `Limits` do not count.
        """
        import httpx2  # noqa: PLC0415  # 20 MB that a worker without proxies need not hold

        from gateway.upstream.early_answers import ListeningBackend  # noqa: PLC0415  # as above

        for chatty in ("httpcore2", "hpack"):
            logging.getLogger(chatty).setLevel(logging.INFO)  # at DEBUG they print headers, credentials too
        self._httpx: Any = httpx2
        self._tls: ssl.SSLContext = client_context(
            ca_file, protocols=("h2", "http/1.1") if has_http2 else ("http/1.1",)
        )
        self._transport: Any = httpx2.AsyncHTTPTransport(
            verify=self._tls,
            trust_env=False,
            http2=has_http2,
            proxy=None if proxy is None else self._proxy(proxy, ca_file),
            limits=httpx2.Limits(
                max_connections=None, max_keepalive_connections=max_idle, keepalive_expiry=keep_alive_s
            ),
        )
        pool = self._transport._pool  # noqa: SLF001  # httpcore2 takes a backend, which httpx2 does not hand on
        pool._network_backend = ListeningBackend(pool._network_backend)  # noqa: SLF001  # as above
        self.errors: tuple[type[Exception], ...] = (httpx2.TransportError, httpx2.StreamError, OSError)
        """What sending and reading may raise."""
        self._has_proxy = proxy is not None
        self._hang_ups: set[asyncio.Task[None]] = set()
        self.in_use = 0
        """Attempts under way and answers that nobody has closed yet."""

    async def attempt(self, request: UpstreamRequest) -> "HttpxAnswer | Fault":
        """Raises ValueError, before anything is sent, for a header or target that would break the request's framing."""
        check_request(request)
        self.in_use += 1
        answer: HttpxAnswer | Fault | None = None
        try:
            answer = await self._sent(request)
        finally:
            if not isinstance(answer, HttpxAnswer):
                self.in_use -= 1
        return answer

    async def _sent(self, request: UpstreamRequest) -> "HttpxAnswer | Fault":
        progress = _Progress(request.limits)
        try:
            async with asyncio.timeout(None) as progress.clock:
                response = await self._transport.handle_async_request(self._foreign(request, progress))
        except TimeoutError:
            return faults.headers_timeout(request.limits.headers_s)
        except (*self.errors, self._httpx.InvalidURL, UnicodeError) as error:
            return self._read_error(error, progress, request.limits)
        if response.status_code == 101:
            await response.stream.aclose()
            return faults.switched_protocols()
        if response.status_code == 407 and self._has_proxy:  # only a proxy says so: nobody else saw the call
            await response.stream.aclose()
            return faults.proxy_refused("407 Proxy Authentication Required")
        return HttpxAnswer(self, response, request)

    def hang_up(self, stream: Any) -> None:  # noqa: ANN401  # httpx2 is imported late, so its types have no name here
        """Closes a stream without being awaited: the port's `close` is not a coroutine, httpx2's is."""
        task = asyncio.get_running_loop().create_task(self._close_quietly(stream))
        self._hang_ups.add(task)
        task.add_done_callback(self._hang_ups.discard)

    async def aclose(self) -> None:
        if self._hang_ups:
            _ = await asyncio.wait(self._hang_ups, timeout=_FLUSH_S)
        await self._transport.aclose()

    def body_fault(self, error: BaseException, received: int, expected: int | None) -> Fault:
        if isinstance(error, self._httpx.RemoteProtocolError) and not _is_ending(error):
            return faults.garbage(str(error))
        return faults.reset_in_body(received, expected, _os_error(error))

    def _proxy(self, url: str, ca_file: str | None) -> Any:  # noqa: ANN401  # as above
        """Its own TLS context: httpx2 would trust certifi's authorities, and offer HTTP/2 where CONNECT is to go."""
        tls = client_context(ca_file) if url.lower().startswith("https:") else None
        return self._httpx.Proxy(url, ssl_context=tls)

    async def _close_quietly(self, stream: Any) -> None:  # noqa: ANN401  # as above
        try:
            await stream.aclose()
        except self.errors:
            return
        except RuntimeError:  # a task that was cut is still leaving the stream
            return

    def _foreign(self, request: UpstreamRequest, progress: "_Progress") -> Any:  # noqa: ANN401  # as above
        origin = request.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        headers = [(b"host", host_of(origin)), *request.headers]
        body, size = request.body, size_of(request.body)
        if size or request.method in {b"POST", b"PUT", b"PATCH"}:
            headers.append((b"content-length", b"%d" % size))
        limits = request.limits
        return self._httpx.Request(
            request.method.decode("ascii"),
            self._httpx.URL(scheme=origin.scheme, host=host, port=origin.port, raw_path=request.target),
            headers=headers,
            content=body if isinstance(body, bytes) and size <= _PIECE_BYTES else _pieces(body),
            extensions={
                "timeout": {"connect": limits.connect_s, "write": limits.stall_s, "read": None, "pool": None},
                "trace": progress.note,
            },
        )

    def _read_error(self, error: Exception, progress: "_Progress", limits: Limits) -> Fault:
        if isinstance(error, self._httpx.ConnectTimeout):
            return faults.connect_timeout(limits.connect_s)
        if isinstance(error, self._httpx.WriteTimeout):
            return faults.upload_stall(limits.stall_s)
        if not progress.is_sent:
            detail = faults.connect_fault(error, is_tls=progress.is_tls)
            is_proxy = isinstance(error, self._httpx.ProxyError)
            return faults.proxy_refused(str(error)) if is_proxy else detail
        if isinstance(error, self._httpx.RemoteProtocolError) and not _is_ending(error):
            return faults.garbage(str(error))
        return faults.reset_before_head(_os_error(error))


class HttpxAnswer:
    __slots__ = ("_chunks", "_engine", "_expected", "_fault", "_received", "_stall_s", "_stream", "headers", "status")

    def __init__(self, engine: HttpxEngine, response: Any, request: UpstreamRequest) -> None:  # noqa: ANN401  # as above
        self.status: int = response.status_code
        self.headers: Headers = tuple((name.lower(), value) for name, value in response.headers.raw)
        self._engine = engine
        self._stream: Any = response.stream
        """None once it was read to its end or closed."""
        self._chunks: AsyncIterator[bytes] = response.stream.__aiter__()
        self._stall_s = request.limits.stall_s
        self._received = 0
        self._expected = next((int(value) for name, value in self.headers if name == b"content-length"), None)
        self._fault: Fault | None = None

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        if self._fault is not None:
            return self._fault
        if self._stream is None:
            return b""
        limit_s = self._stall_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                chunk = await self._next_filled()
        except TimeoutError:
            return self._break(faults.stall(limit_s))
        except self._engine.errors as error:
            return self._break(self._fault or self._engine.body_fault(error, self._received, self._expected))
        self._received += len(chunk)
        return chunk

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        return await read_whole(self.next_chunk, max_bytes)

    def close(self) -> None:
        stream = self._let_go()
        if stream is not None:
            self._fault = faults.closed_here()
            self._engine.hang_up(stream)

    async def _next_filled(self) -> bytes:
        """The next piece that is not empty; b"" at the end, the connection given back."""
        async for chunk in self._chunks:
            if chunk:
                return chunk
        if self._stream is not None:
            await self._stream.aclose()
            self._let_go()
        return b""

    def _break(self, fault: Fault) -> Fault:
        self._fault = fault
        stream = self._let_go()
        if stream is not None:
            self._engine.hang_up(stream)
        return fault

    def _let_go(self) -> Any:  # noqa: ANN401  # as above
        """The stream, which is no longer this answer's; None when that was so before."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._engine.in_use -= 1
        return stream


class _Progress:
    """How far an attempt has come, as httpx2 traces it: tells a fault's step and starts the wait for the head."""

    def __init__(self, limits: Limits) -> None:
        self._headers_s = limits.headers_s
        self.clock: asyncio.Timeout = asyncio.timeout(None)
        self.is_tls = False
        self.is_sent = False

    async def note(self, event: str, info: dict[str, Any]) -> None:
        step = event.partition(".")[2]
        if getattr(info.get("request"), "method", b"") == b"CONNECT":
            return  # to the proxy: nothing of ours has left yet
        if step == "start_tls.started":
            self.is_tls = True
        elif step == "send_request_headers.started":
            self.is_sent = True
        elif step == "receive_response_headers.started":
            self.clock.reschedule(asyncio.get_running_loop().time() + self._headers_s)


async def _pieces(body: bytes | BodySource) -> AsyncIterator[bytes]:
    if not isinstance(body, bytes):
        async for piece in body.pieces():
            yield piece
        return
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _is_ending(error: BaseException) -> bool:
    """Whether a protocol error is only the end of the connection: h11 and httpcore have one class for both."""
    text = str(error)
    return text.startswith(("Server disconnected", "peer closed connection", "<ConnectionTerminated"))


def _os_error(error: BaseException) -> BaseException | None:
    return next((cause for cause in faults.causes(error) if isinstance(cause, OSError) and cause.errno), None)
