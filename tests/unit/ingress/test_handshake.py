import pytest

from gateway.ingress.handshake import _bare, _is_own_page


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        pytest.param("http://127.0.0.1:8080", "127.0.0.1:8080", True, id="address"),
        pytest.param("http://[::1]:8080", "[::1]:8080", True, id="ipv6"),
        pytest.param("http://localhost:8080", "localhost:8080", True, id="localhost"),
        pytest.param("http://localhost:3000", "localhost:8080", False, id="another-port"),
        pytest.param("https://evil.example", "127.0.0.1:8080", False, id="another-page"),
        pytest.param("http://evil.example:8080", "evil.example:8080", False, id="a-name-that-leads-here"),
        pytest.param("null", "127.0.0.1:8080", False, id="a-file"),
        pytest.param("http://[::1", "[::1", False, id="no-url"),
        pytest.param("", "", False, id="nothing"),
    ],
)
def test_pages_of_the_gateway_itself(origin, host, is_own):
    assert _is_own_page(origin, host) is is_own


def test_a_key_may_be_written_as_a_bearer():
    assert [_bare("gw-1"), _bare("Bearer gw-1"), _bare("bearer gw-1")] == ["gw-1"] * 3
