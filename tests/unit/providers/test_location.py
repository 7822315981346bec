import pytest

from gateway.providers.base import Destination, Origin
from gateway.providers.location import with_our_location, with_our_places


def destination(host="api.openai.com", port=443, prefix=b"/v1"):
    return Destination(
        origin=Origin("https", host, port), prefix=prefix, headers=(), names=frozenset(), asks_usage=False
    )


@pytest.mark.parametrize(
    ("value", "prefix", "expected"),
    [
        (b"/v1/realtime/calls/rtc_1", b"/v1", b"/v1/realtime/calls/rtc_1"),
        (b"/openai/v1/files/a?x=1&y", b"/openai/v1", b"/v1/files/a?x=1&y"),
        (b"https://api.openai.com/v1/files/a", b"/v1", b"/v1/files/a"),
        (b"https://API.openai.com:443/v1/files/a", b"/v1", b"/v1/files/a"),
        (b"/files/a", b"", b"/v1/files/a"),
        (b"https://api.openai.com:8443/v1/files/a", b"/v1", b"https://api.openai.com:8443/v1/files/a"),
        (b"https://blob.example.com/v1/x?sig=1", b"/v1", b"https://blob.example.com/v1/x?sig=1"),
        (b"/elsewhere", b"/v1", b"/elsewhere"),
        (b"/v1beta/x", b"/v1", b"/v1beta/x"),
        (b"rtc_1", b"/v1", b"rtc_1"),
        (b"http://[broken", b"/v1", b"http://[broken"),
        (b"\xff", b"/v1", b"\xff"),
    ],
)
def test_what_leads_back_leads_through_us(value, prefix, expected):
    headers = ((b"x", b"/v1/y"), (b"location", value))

    assert with_our_location(headers, destination(prefix=prefix)) == ((b"x", b"/v1/y"), (b"location", expected))


def test_urls_in_bodies_lead_through_us_where_they_are_named():
    body = (
        b'{"data": [{"results_url" : "https://api.openai.com/v1/b/1/results", "url": "https://api.openai.com/v1/x"},'
        b' {"results_url":null,"note":"\\"results_url\\":\\"https://api.openai.com/v1/y\\""}]}'
    )

    assert with_our_places(body, ("results_url",), destination()) == body.replace(
        b"https://api.openai.com/v1/b/1/results", b"/v1/b/1/results"
    )
    assert with_our_places(body, (), destination()) == body
