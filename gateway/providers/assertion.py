"""Certificates in the place of client secrets: the signed statement that proves who asks for a token (RFC 7523 §2.2).

A JWT signed with PS256, as Microsoft Entra recommends; it names the certificate by its SHA-256 thumbprint, `x5t#S256`.

Loaded where the first account has a certificate: the library's parsers cost each worker some MB. Signing takes a
millisecond, reading a key longer: do it in a thread.
"""

import base64
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from gateway.core.ids import Secret

LIFETIME_S: Final = 300
"""Of an assertion: it is sent at once."""
EARLY_S: Final = 60
"""Clocks differ."""
_LEAST_BITS: Final = 2048
_READ_AT_ONCE: Final = 256
"""Certificates that are kept as they were read."""


class Certificate(msgspec.Struct, frozen=True):
    """A private key, and the certificate by which others know it."""

    key: RSAPrivateKey
    thumbprint: str
    """SHA-256 of the certificate, base64url without padding."""


@lru_cache(maxsize=_READ_AT_ONCE)
def read_certificate(pem: Secret) -> Certificate:
    """The first certificate in a PEM that fits its private key, whatever the order.

    Raises ValueError, which says what is expected and holds nothing of the text.
    """
    text = pem.reveal().encode()
    try:
        key = load_pem_private_key(text, password=None)
        certificates = load_pem_x509_certificates(text)
    except TypeError as error:
        raise ValueError("has a private key with a password: take the password off") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("must be a PEM with a certificate and its private key") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise ValueError("must have an RSA key of 2048 bits or more")
    public = key.public_key()
    found = next((certificate for certificate in certificates if certificate.public_key() == public), None)
    if found is None:
        raise ValueError("has a certificate that does not belong to its private key")
    return Certificate(key, _text(found.fingerprint(hashes.SHA256())))


def signed_assertion(pem: Secret, *, client_id: str, audience: str, wall_now: datetime, jti: str) -> Secret:
    """The statement that `client_id` asks `audience`, the token endpoint. `jti` is new each time."""
    certificate, now = read_certificate(pem), int(wall_now.timestamp())
    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": certificate.thumbprint}
    claims = {
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": jti,
        "iat": now,
        "nbf": now - EARLY_S,
        "exp": now + LIFETIME_S,
    }
    signed = f"{_text(msgspec.json.encode(header))}.{_text(msgspec.json.encode(claims))}"
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
    return Secret(f"{signed}.{_text(certificate.key.sign(signed.encode(), pss, hashes.SHA256()))}")


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
