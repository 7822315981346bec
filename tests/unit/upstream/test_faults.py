import errno
import socket
import ssl

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.upstream import faults


def unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "long text of the library")
    error.verify_message = "self-signed certificate"
    return error


def wrapped(error: BaseException) -> Exception:
    """As libraries above sockets raise it: their own class, a group of what each address said behind it."""
    outer = RuntimeError("All connection attempts failed")
    outer.__cause__ = BaseExceptionGroup("attempts", [error])
    return outer


CASES = [
    (ConnectionRefusedError(errno.ECONNREFUSED, "x"), False, FaultKind.CONNECT, "connection refused"),
    (OSError(errno.ENETUNREACH, "x"), False, FaultKind.CONNECT, "network is unreachable"),
    (
        socket.gaierror(-2, "Name or service not known"),
        False,
        FaultKind.CONNECT,
        "name not found: Name or service not known",
    ),
    (unverified(), True, FaultKind.TLS, "certificate verify failed: self-signed certificate"),
    (ConnectionResetError(errno.ECONNRESET, "x"), True, FaultKind.TLS, "connection closed during the TLS handshake"),
    (ConnectionResetError(), True, FaultKind.TLS, "connection closed during the TLS handshake"),
    (OSError(errno.EHOSTUNREACH, "x"), True, FaultKind.TLS, "no route to host during the TLS handshake"),
    (UnicodeError("label too long"), False, FaultKind.CONNECT, "label too long"),
    (RuntimeError(), False, FaultKind.CONNECT, "RuntimeError"),
]


@pytest.mark.parametrize(("error", "is_tls", "kind", "detail"), CASES)
def test_why_no_connection_came_to_be(error: Exception, kind: FaultKind, detail: str, *, is_tls: bool) -> None:
    assert faults.connect_fault(error, is_tls=is_tls) == Fault(kind, detail, is_body_sent=False)


@pytest.mark.parametrize(("error", "is_tls", "kind", "detail"), CASES[:5])
def test_cause_is_found_behind_a_library_s_own_error(
    error: Exception, kind: FaultKind, detail: str, *, is_tls: bool
) -> None:
    assert faults.connect_fault(wrapped(error), is_tls=is_tls) == Fault(kind, detail, is_body_sent=False)


def test_tls_library_s_reason_is_readable() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"

    assert faults.connect_fault(error, is_tls=True) == Fault(FaultKind.TLS, "wrong version number")


def test_causes_in_a_circle_end() -> None:
    first, second = RuntimeError(), RuntimeError()
    first.__cause__, second.__cause__ = second, first

    assert list(faults.causes(first)) == [first, second]


@pytest.mark.parametrize(
    ("expected", "error", "detail"),
    [
        (583, None, "connection closed after 120 of 583 bytes"),
        (None, None, "connection closed after 120 bytes"),
        (None, ConnectionResetError(errno.ECONNRESET, "x"), "connection reset by peer after 120 bytes"),
        (None, ConnectionResetError("odd"), "connection broken after 120 bytes"),
    ],
)
def test_cut_body(expected: int | None, error: Exception | None, detail: str) -> None:
    assert faults.reset_in_body(120, expected, error) == Fault(FaultKind.RESET, detail, is_body_sent=True)
