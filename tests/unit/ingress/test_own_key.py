from contextlib import nullcontext

import msgspec
import pytest

from gateway.core.call import Call
from gateway.core.errors import CallRefused
from gateway.core.ids import CallId, KeyId, Secret
from gateway.core.snapshot import ClientKey
from gateway.ingress.own_key import check_lines, own_key_in
from gateway.relay.own_keys import OwnKey
from gateway.wire.endpoints import find


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


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"requests":[{"params":{"model":"claude-opus-4-1"}}]}', "model_not_allowed"),
        (b'{"requests":[{"params":{"model":"claude-opus-4-1"}}],"requests":[]}', "duplicate_member"),
        (b'{"requests":[{"params":{"model":"claude-opus-4-1","model":"fast"}}]}', "duplicate_member"),
        (b'{"requests":[{"params":{"model":"fast"}}]}', None),
    ],
)
def test_a_batchs_models_are_the_client_keys_beside_it(body, code):
    call = Call(id=CallId("c"), endpoint=find("POST", "/messages/batches"))
    key = ClientKey(id=KeyId("k"), name="", owner="", digest=b"", models=("fast",))
    fields = msgspec.json.decode(body)

    check_lines(None, call, fields, body)
    with pytest.raises(CallRefused) if code else nullcontext() as refused:
        check_lines(key, call, fields, body)

    assert code is None or refused.value.code == code
