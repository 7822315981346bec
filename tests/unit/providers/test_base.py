import pytest

from gateway.core.ids import Secret
from gateway.providers.base import Via, via_of
from gateway.providers.catalog import KINDS
from tests.unit.providers.samples import credential, provider

PROXY = "http://me:hidden@proxy.example:3128"


@pytest.mark.parametrize(
    ("settings", "base_url", "via"),
    [
        pytest.param({}, "https://a.example/v1", None, id="direct"),
        pytest.param({"proxy": PROXY}, "http://a.example/v1", Via(Secret(PROXY)), id="proxy"),
        pytest.param({"http2": True}, "https://a.example/v1", Via(http2=True), id="http2"),
        pytest.param({"http2": True}, "http://a.example/v1", None, id="http2-needs-tls"),
        pytest.param({"proxy": PROXY, "http2": True}, "http://a.example/v1", Via(Secret(PROXY)), id="nor-by-a-proxy"),
        pytest.param(
            {"http2": True, "keep_alive_s": 5.0, "max_idle_connections": 7},
            "https://a.example/v1",
            Via(None, True, 5.0, 7),
            id="pool",
        ),
    ],
)
def test_settings_say_which_way_is_taken(settings, base_url, via):
    assert via_of(provider(settings=settings, base_url=base_url)) == via


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_passes_the_way_on_and_prints_no_login(kind):
    row = provider(settings={"proxy": PROXY})

    destination = kind.destination_of(row, credential())

    assert destination.via == Via(Secret(PROXY))
    assert "hidden" not in repr(row) + repr(destination) + repr(destination.via)
