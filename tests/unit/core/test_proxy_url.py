import pytest

from gateway.core.proxy_url import checked_proxy_url, shown_proxy_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("http://proxy.example:3128", "http://proxy.example:3128", id="plain"),
        pytest.param("https://proxy.example/", "https://proxy.example", id="tls-and-slash"),
        pytest.param("http://me:secret@10.0.0.1:3128", "http://***@10.0.0.1:3128", id="password"),
        pytest.param("http://me:s%2Fe%40cret@[::1]:3128", "http://***@[::1]:3128", id="encoded"),
        pytest.param("http://token@proxy.example", "http://***@proxy.example", id="user-alone"),
    ],
)
def test_a_usable_proxy_is_shown_without_its_login(url, shown):
    assert checked_proxy_url(url) == url
    assert shown_proxy_url(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("", "http://", id="empty"),
        pytest.param("me:secret@proxy.example:3128", "http://", id="no-scheme"),
        pytest.param("socks5://me:secret@proxy.example", "http://", id="socks"),
        pytest.param("http://me:sec/ret@proxy.example", "no path", id="slash-in-password"),
        pytest.param("http://me:secret@proxy.example/path", "no path", id="path"),
        pytest.param("http://me:secret@proxy.example?", "no path", id="query"),
        pytest.param("http://me:secret@:3128", "name a host", id="no-host"),
        pytest.param("http://me:secret@proxy.example:0", "port", id="port-0"),
        pytest.param("http://me:secret@proxy.example:99999", "port", id="port"),
        pytest.param("http://me:secret@[::1", "not a URL", id="bracket"),
        pytest.param("http://me:sec ret@proxy.example", "spaces", id="space"),
        pytest.param("http://me:sécret@proxy.example", "ASCII", id="not-ascii"),
        pytest.param("http://***@proxy.example:3128", "in place of its password", id="as-it-is-shown"),
        pytest.param("http://me:***@proxy.example:3128", "in place of its password", id="masked-password"),
    ],
)
def test_one_that_cannot_be_used_is_refused_in_words_without_it_and_never_shown(url, said):
    with pytest.raises(ValueError, match=said) as refused:
        checked_proxy_url(url)

    assert "secret" not in str(refused.value)
    assert shown_proxy_url(url) == "***"
