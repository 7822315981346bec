"""Who asks for a token, signed with a certificate."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from gateway.core.ids import Secret
from gateway.providers.assertion import read_certificate, signed_assertion
from tests.fakes.certificates import signed_by_itself
from tests.fakes.token_endpoint import part

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KEY = rsa.generate_private_key(65537, 2048)
SECRET, CERTIFICATE = signed_by_itself(KEY, name="app")
OTHER = signed_by_itself(ec.generate_private_key(ec.SECP256R1()))[1]


def pem(*parts):
    return Secret(b"".join(parts).decode())


def signed(**changes):
    given = {"client_id": "app", "audience": "https://login.example/t", "wall_now": NOW, "jti": "1"} | changes
    return signed_assertion(pem(SECRET, CERTIFICATE), **given).reveal()


def test_it_says_who_asks_whom_and_for_how_long():
    assertion = signed()

    now = int(NOW.timestamp())
    assert json.loads(part(assertion, 1)) == {
        "aud": "https://login.example/t", "iss": "app", "sub": "app", "jti": "1",
        "iat": now, "nbf": now - 60, "exp": now + 300,
    }  # fmt: skip


def test_the_certificate_is_named_by_its_thumbprint():
    header = json.loads(part(signed(), 0))

    der = load_pem_x509_certificate(CERTIFICATE).public_bytes(serialization.Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}


def test_the_signature_is_the_keys():
    assertion = signed()

    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
    KEY.public_key().verify(part(assertion, 2), assertion.rpartition(".")[0].encode(), pss, hashes.SHA256())


def test_nothing_of_it_is_shown():
    assert "***" in repr(signed_assertion(pem(SECRET, CERTIFICATE), client_id="a", audience="b", wall_now=NOW, jti="1"))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((CERTIFICATE, SECRET), id="the-other-order"),
        pytest.param((SECRET, OTHER, CERTIFICATE), id="with-others-of-its-chain"),
        pytest.param((b"Bag Attributes\n", SECRET, b"\n", CERTIFICATE), id="as-openssl-exports-it"),
    ],
)
def test_a_pem_may_hold_them_in_any_order(parts):
    assert read_certificate(pem(*parts)).thumbprint == read_certificate(pem(SECRET, CERTIFICATE)).thumbprint


def locked():
    encryption = serialization.BestAvailableEncryption(b"x")
    return KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        pytest.param((b"",), "must be a PEM", id="empty"),
        pytest.param((b"hidden",), "must be a PEM", id="no-pem"),
        pytest.param((SECRET,), "must be a PEM", id="no-certificate"),
        pytest.param((CERTIFICATE,), "must be a PEM", id="no-key"),
        pytest.param((SECRET[:200], CERTIFICATE), "must be a PEM", id="half-a-key"),
        pytest.param((locked(), CERTIFICATE), "password", id="locked"),
        pytest.param((SECRET, OTHER), "does not belong", id="anothers"),
        pytest.param(signed_by_itself(ec.generate_private_key(ec.SECP256R1())), "RSA", id="elliptic"),
    ],
)
def test_what_cannot_sign_is_refused_without_a_word_of_it(parts, why):
    with pytest.raises(ValueError, match=why) as caught:
        read_certificate(pem(*parts))

    assert "hidden" not in str(caught.value)
    assert "BEGIN" not in str(caught.value)
