"""A token endpoint on a real socket: sells `token-1`, `token-2`, … to clients whose secret or signature is right."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.fakes.raw_server import Peer, raw_server


class TokenEndpoint:
    """What it was asked, and how it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, str]] = []
        self.sold = 0
        self.lifetime_s = 3600
        self.secret = "right"  # noqa: S105  # nobody's
        self.is_broken = False
        self.public_key: RSAPublicKey | None = None
        """Of the certificate that clients sign with, if they do."""

    async def serve(self, peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            form = dict(parse_qsl(request.body.decode()))
            self.asked.append(form)
            await peer.send(self._answer(form))

    def _check_signature(self, key: RSAPublicKey, assertion: str) -> None:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        key.verify(part(assertion, 2), assertion.rpartition(".")[0].encode(), pss, hashes.SHA256())

    def _answer(self, form: dict[str, str]) -> bytes:
        if self.is_broken:
            return _written(b"500 Internal Server Error", {"error": "server_error"})
        if self.public_key is not None:
            self._check_signature(self.public_key, form["client_assertion"])
        elif form.get("client_secret") != self.secret:
            said = {"error": "invalid_client", "error_description": f"secret {form.get('client_secret')} is wrong"}
            return _written(b"401 Unauthorized", said)
        self.sold += 1
        token = {"token_type": "Bearer", "expires_in": self.lifetime_s, "access_token": f"token-{self.sold}"}
        return _written(b"200 OK", token)


def part(assertion: str, place: int) -> bytes:
    """Of a JWT, decoded."""
    text = assertion.split(".")[place]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _written(status: bytes, body: object) -> bytes:
    text = msgspec.json.encode(body)
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(text)) + text


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    async with raw_server(endpoint.serve) as server:
        endpoint.url = f"http://127.0.0.1:{server.origin.port}/oauth2/token"
        yield endpoint
