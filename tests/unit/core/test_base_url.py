import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.base_url import normalised_base_url


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("https://api.openai.com", "https://api.openai.com/v1", id="no-path"),
        pytest.param("https://api.openai.com/", "https://api.openai.com/v1", id="slash-alone"),
        pytest.param("https://api.openai.com/v1", "https://api.openai.com/v1", id="version"),
        pytest.param("https://api.openai.com/v1//", "https://api.openai.com/v1", id="slashes-at-the-end"),
        pytest.param("  HTTPS://API.OpenAI.com/v1 ", "https://api.openai.com/v1", id="case-and-spaces-around"),
        pytest.param("https://api.openai.com:443/v1", "https://api.openai.com/v1", id="the-scheme's-own-port"),
        pytest.param("http://localhost:8000", "http://localhost:8000/v1", id="another-port"),
        pytest.param("https://x.example/v1beta/openai", "https://x.example/v1beta/openai", id="version-inside"),
        pytest.param("https://x.example/openai", "https://x.example/openai/v1", id="path-without-version"),
        pytest.param("https://x.example/openai/v1", "https://x.example/openai/v1", id="path-with-version"),
        pytest.param("https://x.example/api/paas/v4", "https://x.example/api/paas/v4", id="another-version"),
        pytest.param("https://x.example/OpenAI/V1", "https://x.example/OpenAI/V1", id="case-of-a-path-stays"),
        pytest.param("https://x.example/video", "https://x.example/video/v1", id="a-word-with-v-is-no-version"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080/v1", id="ipv6"),
        pytest.param("http://my_service", "http://my_service/v1", id="compose-service-name"),
    ],
)
def test_every_way_of_writing_becomes_one(written: str, expected: str) -> None:
    assert normalised_base_url(written) == expected


@pytest.mark.parametrize("path", ["", "/inference", "/v1"])
def test_an_exact_one_gets_no_version(path: str) -> None:
    assert normalised_base_url(f"https://x.example{path}/", is_exact=True) == f"https://x.example{path}"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        pytest.param("", "https://", id="empty"),
        pytest.param("api.openai.com", "https://", id="no-scheme"),
        pytest.param("ftp://api.openai.com", "https://", id="scheme"),
        pytest.param("https://", "host", id="no-host"),
        pytest.param("https:///v1", "host", id="empty-host"),
        pytest.param("https://a..b", "host", id="empty-label"),
        pytest.param("https://user:hunter2@x.example", "auth_data", id="password"),
        pytest.param("https://user@x.example", "auth_data", id="user"),
        pytest.param("https://x.example/v1?key=hunter2", "query", id="query"),
        pytest.param("https://x.example/v1?", "query", id="empty-query"),
        pytest.param("https://x.example/v1#a", "fragment", id="fragment"),
        pytest.param("https://x.example/a b", "spaces", id="space"),
        pytest.param("https://x.example/\r\nhost: y", "control", id="line-end"),
        pytest.param("https://bücher.example", "punycode", id="not-ascii"),
        pytest.param("https://x.example:0", "port", id="port-0"),
        pytest.param("https://x.example:70000", "port", id="port-too-high"),
        pytest.param("https://x.example:abc", "port", id="port-no-number"),
        pytest.param("https://[::1", "URL", id="broken-ipv6"),
        pytest.param("https://[v1.x]", "IPv6|host|URL", id="future-ip"),
        pytest.param("https://x.example/a/../v1", "path", id="dots"),
        pytest.param("https://x.example/<v1>", "path", id="odd-path"),
    ],
)
def test_what_is_no_base_url_is_refused_without_showing_it(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        normalised_base_url(written)

    assert "hunter2" not in str(refused.value)


_SEGMENT = st.text("abcv0123456789.-_~%/:", max_size=12)


@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.from_regex(r"[a-z0-9]{1,8}(\.[a-z]{1,3})?", fullmatch=True),
    port=st.none() | st.integers(1, 65535),
    path=_SEGMENT,
)
def test_what_was_normalised_once_stays(scheme: str, host: str, port: int | None, path: str) -> None:
    written = f"{scheme}://{host}{'' if port is None else f':{port}'}/{path}"
    try:
        once = normalised_base_url(written)
    except ValueError:
        return

    assert normalised_base_url(once) == once
    assert not once.endswith("/")


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_by_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert normalised_base_url(text).startswith(("http://", "https://"))
