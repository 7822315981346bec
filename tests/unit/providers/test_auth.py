import pytest

from gateway.core.snapshot import AuthStrategy
from gateway.providers.auth import auth_headers, fixed_headers
from tests.unit.providers.samples import credential, provider


@pytest.mark.parametrize(
    ("settings", "given", "expected"),
    [
        pytest.param({}, credential(), ((b"authorization", b"Bearer sk-test"),), id="bearer"),
        pytest.param(
            {}, credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS), ((b"authorization", b"Bearer sk-test"),), id="token"
        ),
        pytest.param({}, credential(AuthStrategy.HEADER), ((b"api-key", b"sk-test"),), id="header"),
        pytest.param(
            {"auth_header": "X-Key"}, credential(AuthStrategy.HEADER), ((b"x-key", b"sk-test"),), id="providers-header"
        ),
        pytest.param(
            {"auth_header": "X-Key"},
            credential(AuthStrategy.HEADER, header="X-Own"),
            ((b"x-own", b"sk-test"),),
            id="accounts-header-goes-before",
        ),
        pytest.param({}, credential(AuthStrategy.NONE, text=""), (), id="none"),
        pytest.param({}, credential(text="clé d'or"), ((b"authorization", b"Bearer cl\xe9 d'or"),), id="latin-1"),
        pytest.param(
            {},
            credential(organization="org-1", project="proj_1"),
            ((b"authorization", b"Bearer sk-test"), (b"openai-organization", b"org-1"), (b"openai-project", b"proj_1")),
            id="organization-and-project",
        ),
    ],
)
def test_a_credential_is_presented_as_its_strategy_says(settings, given, expected):
    assert auth_headers(provider(settings=settings), given) == expected


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param(credential(text=""), "api_key", id="empty"),
        pytest.param(credential(text="sk-secret\r\nx-evil: 1"), "api_key", id="line-end"),
        pytest.param(credential(text=" sk-secret"), "api_key", id="space-before"),
        pytest.param(credential(text="sk-secret…"), "api_key", id="beyond-latin-1"),
        pytest.param(credential(AuthStrategy.HEADER, text="sk-secret\n"), "api_key", id="line-end-in-a-header"),
        pytest.param(credential(AuthStrategy.HEADER, header="x secret"), "header", id="no-name"),
        pytest.param(credential(organization="secret\n1"), "organization", id="organization"),
        pytest.param(credential(project="secret\n1"), "project", id="project"),
    ],
)
def test_what_no_header_can_carry_is_refused_without_telling_it(given, field):
    with pytest.raises(ValueError, match=rf"auth_data\.{field}") as caught:
        auth_headers(provider(), given)

    assert "secret" not in str(caught.value)


def test_fixed_headers_are_sent_in_lower_case():
    row = provider(settings={"headers": {"HTTP-Referer": "https://example.org", "X-Title": "Mon Café"}})

    assert fixed_headers(row) == ((b"http-referer", b"https://example.org"), (b"x-title", b"Mon Caf\xe9"))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x y": "1"}, id="name"),
        pytest.param({"x-a": "secret\r\nx-b: 1"}, id="line-end"),
        pytest.param({"x-a": ""}, id="empty"),
    ],
)
def test_fixed_headers_that_cannot_be_sent_are_refused_by_name(headers):
    with pytest.raises(ValueError, match=r"settings\.headers") as caught:
        fixed_headers(provider(settings={"headers": headers}))

    assert "secret" not in str(caught.value)
