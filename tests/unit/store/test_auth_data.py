import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.ids import Secret
from gateway.core.snapshot import AuthStrategy, ClientAuth, Credential, Grant
from gateway.store.auth_data import InvalidAuthData, credential_text, is_header_name, read_credential
from tests.fakes.certificates import signed_by_itself

KEY = "sk-proj-abcdefghijkl"


@pytest.mark.parametrize(
    ("strategy", "auth_data", "expected"),
    [
        pytest.param(
            AuthStrategy.API_KEY, {"api_key": KEY}, Credential(AuthStrategy.API_KEY, secret=Secret(KEY)), id="bearer"
        ),
        pytest.param(
            AuthStrategy.API_KEY,
            {"api_key": KEY, "org_id": "org-1", "project_id": "proj-1", "note": "unknown fields are fine"},
            Credential(AuthStrategy.API_KEY, secret=Secret(KEY), organization="org-1", project="proj-1"),
            id="organisation-and-project",
        ),
        pytest.param(
            AuthStrategy.API_KEY,
            {"api_key": KEY, "organization": "org-1", "project": None},
            Credential(AuthStrategy.API_KEY, secret=Secret(KEY), organization="org-1"),
            id="other-names",
        ),
        pytest.param(
            AuthStrategy.HEADER,
            {"api_key": KEY, "header": "x-api-key"},
            Credential(AuthStrategy.HEADER, secret=Secret(KEY), header="x-api-key"),
            id="header",
        ),
        pytest.param(
            AuthStrategy.HEADER, {"api_key": KEY}, Credential(AuthStrategy.HEADER, secret=Secret(KEY)), id="its-default"
        ),
        pytest.param(AuthStrategy.NONE, {}, Credential(AuthStrategy.NONE), id="none"),
        pytest.param(AuthStrategy.NONE, None, Credential(AuthStrategy.NONE), id="none-and-null"),
    ],
)
def test_a_credential_is_read_by_its_strategy(strategy: AuthStrategy, auth_data: object, expected: Credential) -> None:
    assert read_credential(strategy, auth_data) == expected


@pytest.mark.parametrize(
    ("auth_data", "says"),
    [
        pytest.param(None, "object", id="null"),
        pytest.param("hunter2", "object", id="text"),
        pytest.param(["hunter2"], "object", id="list"),
        pytest.param({}, "api_key is missing", id="empty"),
        pytest.param({"key": "hunter2"}, "api_key is missing", id="another-name"),
        pytest.param({"api_key": ""}, "api_key is missing", id="empty-key"),
        pytest.param({"api_key": 5}, "api_key must be a string", id="number"),
        pytest.param({"api_key": ["hunter2"]}, "api_key must be a string", id="list-of-keys"),
        pytest.param({"api_key": "hunter2\n"}, "api_key has", id="line-end"),
        pytest.param({"api_key": "hunter2\r\nx: y"}, "api_key has", id="second-header"),
        pytest.param({"api_key": " hunter2"}, "api_key has", id="space-before"),
        pytest.param({"api_key": "hunter2\x00"}, "api_key has", id="nul"),
        pytest.param({"api_key": "hunter2…"}, "api_key has", id="not-latin-1"),
        pytest.param({"api_key": "hunter2", "organization": "a\nb"}, "organization has", id="organisation"),
        pytest.param({"api_key": "hunter2", "project": 7}, "project must", id="project"),
    ],
)
def test_a_credential_that_no_header_can_hold_is_refused_and_not_shown(auth_data: object, says: str) -> None:
    with pytest.raises(InvalidAuthData, match=says) as refused:
        read_credential(AuthStrategy.API_KEY, auth_data)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("header", ["a b", "x:y", "", "host", "Content-Length", "ü"])
def test_a_header_that_may_not_be_set_is_no_header_name(header: str) -> None:
    assert not is_header_name(header)


def test_a_wrong_header_is_refused() -> None:
    with pytest.raises(InvalidAuthData, match=r"auth_data\.header"):
        read_credential(AuthStrategy.HEADER, {"api_key": KEY, "header": "x y"})


GRANT = {"token_url": "https://login.example/token", "client_id": "app", "client_secret": "hidden"}


def test_client_credentials_are_read() -> None:
    extra = {"scope": "s1 s2", "audience": "aud", "client_auth": "basic", "project": "p1"}

    credential = read_credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, GRANT | extra)

    assert credential.grant == Grant(
        "https://login.example/token", "app", Secret("hidden"), "s1 s2", "aud", ClientAuth.BASIC
    )
    assert (credential.project, bool(credential.secret)) == ("p1", False)
    assert "hidden" not in repr(credential)


def test_a_tenant_stands_for_entras_address_and_scope() -> None:
    entra = {"tenant_id": "contoso/x", "client_id": "app", "client_secret": "hidden"}

    grant = read_credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, entra).grant

    assert grant is not None
    assert grant.token_url.split("/")[2:4] == ["login.microsoftonline.com", "contoso%2Fx"]
    assert grant.scope == "https://cognitiveservices.azure.com/.default"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"token_url": None}, "token_url", id="no-address"),
        pytest.param({"token_url": "ftp://login.example/t"}, "token_url", id="scheme"),
        pytest.param({"token_url": "https://me:hidden@login.example/t"}, "token_url", id="password"),
        pytest.param({"token_url": "https://[::1/t"}, "token_url", id="no-url"),
        pytest.param({"token_url": "https://login.example:99999/t"}, "token_url", id="port"),
        pytest.param({"client_id": ""}, "client_id", id="no-client"),
        pytest.param({"client_secret": None}, "client_secret", id="no-secret"),
        pytest.param({"client_secret": "hidden\n"}, "client_secret", id="line-end"),
        pytest.param({"client_auth": "jwt"}, "client_auth", id="way"),
    ],
)
def test_a_grant_that_cannot_be_used_is_refused_by_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidAuthData, match=rf"auth_data\.{field}") as caught:
        read_credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, GRANT | changes)

    assert "hidden" not in str(caught.value)


CERTIFICATE = b"".join(signed_by_itself(rsa.generate_private_key(65537, 2048))).decode()
SIGNED = {"tenant_id": "contoso", "client_id": "app", "client_certificate": CERTIFICATE}


def test_a_certificate_takes_the_secrets_place() -> None:
    grant = read_credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, SIGNED).grant

    assert grant is not None
    assert (grant.client_certificate, bool(grant.client_secret)) == (Secret(CERTIFICATE), False)
    assert "PRIVATE" not in repr(grant)
    assert credential_text(SIGNED) != credential_text(SIGNED | {"client_certificate": "other"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"client_certificate": "hidden"}, "client_certificate must be a PEM", id="no-pem"),
        pytest.param({"client_certificate": 5}, "client_certificate must be a string", id="no-text"),
        pytest.param({"client_certificate": ""}, "client_secret is missing", id="empty"),
        pytest.param({"client_secret": "hidden"}, "give one of them", id="both"),
        pytest.param({"client_auth": "basic"}, "client_auth must be body", id="basic"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_by_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidAuthData, match=field) as caught:
        read_credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, SIGNED | changes)

    assert "hidden" not in str(caught.value)


def test_a_client_is_a_credential_of_its_own_for_each_scope_and_address() -> None:
    texts = {
        credential_text(GRANT | changes)
        for changes in ({}, {"scope": "s"}, {"client_secret": "other"}, {"base_url": "https://a.example"})
    }

    assert len(texts) == 4
    assert credential_text({"client_id": "app"}) is None


@pytest.mark.parametrize("strategy", [AuthStrategy.API_KEY, AuthStrategy.NONE])
def test_an_account_may_have_an_address_of_its_own(strategy: AuthStrategy) -> None:
    auth_data = {"api_key": KEY, "base_url": "https://Second.example"}

    assert read_credential(strategy, auth_data).base_url == "https://second.example/v1"
    with pytest.raises(InvalidAuthData, match=r"auth_data\.base_url must begin"):
        read_credential(strategy, auth_data | {"base_url": "second.example"})


def test_one_key_for_two_projects_is_two_credentials() -> None:
    one = credential_text({"api_key": KEY, "project": "p1"})

    assert one == credential_text({"project_id": "p1", "api_key": KEY})
    assert one != credential_text({"api_key": KEY, "project": "p2"})
    assert one != credential_text({"api_key": KEY, "organization": "p1"})
    assert credential_text({"api_key": ""}) is credential_text("text") is credential_text({"api_key": 5}) is None
