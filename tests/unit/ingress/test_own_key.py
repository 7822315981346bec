import pytest

from gateway.core.ids import Secret
from gateway.ingress.own_key import own_key_in
from gateway.relay.own_keys import OwnKey


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({b"x-provider": b"p", b"authorization": b"Bearer sk-1"}, OwnKey(Secret("sk-1")), id="bearer"),
        pytest.param({b"x-provider": b"p", b"authorization": b"bEARER  sk-1 "}, OwnKey(Secret("sk-1")), id="any-case"),
        pytest.param(
            {
                b"x-provider": b"p",
                b"authorization": b"Bearer sk-1",
                b"openai-organization": b"org-1",
                b"openai-project": b"proj_1",
            },
            OwnKey(Secret("sk-1"), "org-1", "proj_1"),
            id="organization-and-project",
        ),
        pytest.param({b"x-provider": b"p", b"x-api-key": b"sk-1"}, OwnKey(Secret("sk-1")), id="anthropics-sdk"),
        pytest.param(
            {b"x-provider": b"p", b"authorization": b"Bearer gw-1", b"api-key": b"sk-1"},
            OwnKey(Secret("sk-1")),
            id="beside-a-client-key",
        ),
        pytest.param({b"x-provider": b"p", b"x-api-key": b"gw-1"}, None, id="ours-in-another-header"),
        pytest.param({b"authorization": b"Bearer sk-1"}, None, id="no-provider"),
        pytest.param({b"x-provider": b"p"}, None, id="no-key"),
        pytest.param({b"x-provider": b"p", b"authorization": b"Bearer "}, None, id="empty"),
        pytest.param({b"x-provider": b"p", b"authorization": b"Basic c2s="}, None, id="basic"),
        pytest.param({b"x-provider": b"p", b"authorization": b"Bearer gw-abc"}, None, id="ours"),
        pytest.param({b"x-provider": b"p", b"authorization": b"Bearer Gw-abc"}, None, id="ours-in-any-case"),
        pytest.param({b"x-provider": b"p", b"x-gateway-key": b"sk-1"}, None, id="elsewhere"),
    ],
)
def test_a_key_of_the_callers_own_is_a_bearer_beside_the_provider(headers, expected):
    assert own_key_in(headers) == expected


def test_it_is_not_printed():
    assert "sk-1" not in repr(own_key_in({b"x-provider": b"p", b"authorization": b"Bearer sk-1"}))
