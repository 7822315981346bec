"""Certificates that are their own authority: for tests over TLS, and of clients that sign. No files but where asked."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DAY = dt.timedelta(days=1)


def self_signed(folder: Path, *, name: str = "localhost", address: str = "127.0.0.1") -> Path:
    """A PEM file with a key and a certificate for `name` and `address`, which is its own authority."""
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(signed_by_itself(ec.generate_private_key(ec.SECP256R1()), name=name, address=address)))
    return path


def signed_by_itself(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *, name: str = "localhost", address: str = "127.0.0.1"
) -> tuple[bytes, bytes]:
    """The key and a certificate of it, as PEM."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret, certificate.public_bytes(serialization.Encoding.PEM)


def server_context(pem: Path, *protocols: str) -> ssl.SSLContext:
    """For a server that presents `pem` and speaks `protocols` (ALPN)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
