import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import Origin, UpstreamRequest
from gateway.upstream.request_head import check_request, first_line_end, host_of, write_head

ORIGIN = Origin("https", "api.openai.com", 443)
LINE_END = first_line_end(ORIGIN)


def request(
    method: bytes, *headers: tuple[bytes, bytes], body: bytes = b"", target: bytes = b"/v1/x?y=z"
) -> UpstreamRequest:
    return UpstreamRequest(method, ORIGIN, target, headers, body)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin("https", "api.openai.com", 443), b"api.openai.com"),
        (Origin("http", "api.openai.com", 80), b"api.openai.com"),
        (Origin("http", "api.openai.com", 443), b"api.openai.com:443"),
        (Origin("https", "::1", 8443), b"[::1]:8443"),
        (Origin("https", "bücher.example", 443), b"xn--bcher-kva.example"),
        (Origin("https", "ü" * 70, 443), b"invalid"),
    ],
)
def test_host_header(origin: Origin, host: bytes) -> None:
    assert host_of(origin) == host


def test_head_with_a_body() -> None:
    head = write_head(request(b"POST", (b"a", b"1"), (b"b", b"2"), body=b"{}"), LINE_END)

    assert head == b"POST /v1/x?y=z HTTP/1.1\r\nhost: api.openai.com\r\na: 1\r\nb: 2\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
def test_head_without_a_body(method: bytes) -> None:
    assert write_head(request(method), LINE_END) == method + b" /v1/x?y=z HTTP/1.1\r\nhost: api.openai.com\r\n\r\n"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_empty_body_of_a_method_that_has_one_is_announced(method: bytes) -> None:
    assert write_head(request(method), LINE_END).endswith(b"\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("bad", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0", b"\r\n\r\nGET / HTTP/1.1"])
@pytest.mark.parametrize("place", ["name", "value", "target"])
def test_bytes_that_would_split_a_request_raise(bad: bytes, place: str) -> None:
    header = {"name": (bad, b"1"), "value": (b"a", bad)}.get(place, (b"a", b"1"))

    with pytest.raises(ValueError, match="CR, LF, NUL"):
        check_request(request(b"POST", header, target=bad if place == "target" else b"/"))


def test_space_in_the_target_raises() -> None:
    with pytest.raises(ValueError, match="space"):
        check_request(request(b"GET", target=b"/ HTTP/1.1"))


TOKEN = st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name not in {b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"host"}
)
VALUE = st.from_regex(rb"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True)


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=8), st.binary(max_size=50))
def test_a_parser_reads_what_was_written(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    seen: list[tuple[bytes, bytes]] = []
    bodies: list[bytes] = []

    class Sink:
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append((name, value))

        def on_body(self, piece: bytes) -> None:
            bodies.append(piece)

    httptools.HttpRequestParser(Sink()).feed_data(write_head(request(b"POST", *headers, body=body), LINE_END) + body)

    assert seen == [(b"host", b"api.openai.com"), *headers, (b"content-length", b"%d" % len(body))]
    assert b"".join(bodies) == body
