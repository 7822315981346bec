"""Errors of the operating system, TLS and name look-up as `Fault`s: one wording for both engines."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator

from gateway.core.outcome import Fault, FaultKind

_CLOSED_BY_PEER = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def connect_fault(error: BaseException, *, is_tls: bool) -> Fault:
    """Why no connection came to be. `is_tls`: the peer had accepted, and its TLS handshake was under way."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Fault(FaultKind.TLS, f"certificate verify failed: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Fault(FaultKind.TLS, (cause.reason or str(cause)).replace("_", " ").lower())
        if isinstance(cause, socket.gaierror):
            return Fault(FaultKind.CONNECT, f"name not found: {cause.strerror}")
        if isinstance(cause, OSError) and cause.errno is not None:
            return _os_fault(cause.errno, is_tls=is_tls)
    if is_tls:
        return Fault(FaultKind.TLS, "connection closed during the TLS handshake")
    return Fault(FaultKind.CONNECT, str(error) or type(error).__name__)


def proxy_refused(said: str) -> Fault:
    """The proxy passed nothing on: it wants another login (407), or does not reach the upstream (502)."""
    hint = " (settings.proxy needs a user and password that it takes)" if said.startswith("407") else ""
    return Fault(FaultKind.CONNECT, f"the proxy refused: {said}{hint}")


def connect_timeout(limit_s: float) -> Fault:
    return Fault(FaultKind.CONNECT, f"no connection within {limit_s:g} s")


def headers_timeout(limit_s: float) -> Fault:
    return Fault(FaultKind.HEADERS_TIMEOUT, f"no answer head within {limit_s:g} s", is_body_sent=True)


def stall(limit_s: float) -> Fault:
    return Fault(FaultKind.STALL, f"no byte of the body within {limit_s:g} s", is_body_sent=True)


def upload_stall(limit_s: float) -> Fault:
    return Fault(FaultKind.STALL, f"the upload made no progress within {limit_s:g} s", is_body_sent=True)


def reset_before_head(error: BaseException | None) -> Fault:
    """The connection ended before a whole head. `error`: None for an orderly end."""
    return Fault(FaultKind.RESET, f"{_ending(error)} before a whole answer head", is_body_sent=True)


def reset_in_body(received: int, expected: int | None, error: BaseException | None) -> Fault:
    """The connection ended before the body did. `expected`: bytes announced; None when chunked or not announced."""
    of = "" if expected is None else f" of {expected}"
    return Fault(FaultKind.RESET, f"{_ending(error)} after {received}{of} bytes", is_body_sent=True)


def garbage(detail: str) -> Fault:
    return Fault(FaultKind.GARBAGE, detail, is_body_sent=True)


def body_too_large(max_bytes: int) -> Fault:
    return garbage(f"the body is larger than {max_bytes} bytes")


def switched_protocols() -> Fault:
    return garbage("101 Switching Protocols, which was not asked for")


def closed_here() -> Fault:
    return Fault(FaultKind.RESET, "the answer was closed on our side", is_body_sent=True)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what groups hold, and what each was raised from, nearest first."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        current = queue.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            queue.extend(current.exceptions)
        queue += [current.__cause__, current.__context__]


def _os_fault(number: int, *, is_tls: bool) -> Fault:
    if is_tls:
        ending = "connection closed" if number in _CLOSED_BY_PEER else _os_text(number)
        return Fault(FaultKind.TLS, f"{ending} during the TLS handshake")
    return Fault(FaultKind.CONNECT, _os_text(number))


def _ending(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)
    if error is None or (number is None and not str(error)):
        return "connection closed"
    return _os_text(number) if isinstance(number, int) else "connection broken"


def _os_text(number: int) -> str:
    return os.strerror(number).lower()
