"""Secrets at rest: AES-256-GCM envelopes for `auth_data`, keyed hashes for what is only compared.

    {"$enc": 1, "kid": "k2", "n": "<base64 nonce>", "ct": "<base64 ciphertext and tag>"}

Rules of this file: the account's id is authenticated with the ciphertext, so an envelope cannot be moved to another
row. The first key seals and digests, all of them open and compare. A digest begins with four bytes that name its key:
a row whose key is gone is reported instead of failing silently. Taking a key out of the list is safe for accounts once
the sealing has gone over them (they are sealed and digested anew by the first key); client keys cannot be digested
anew, as nobody has their text: those made under the old key stop working with it, so leave it in the list till then.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_FINGERPRINT_BYTES = 4
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_DIGEST_PURPOSE = b"gateway digest v1"
_FINGERPRINT_PURPOSE = b"gateway digest fingerprint v1"


class InvalidKeys(ValueError):
    """The configured keys cannot be used. The message names the key id and what is expected, never a key."""


class UnknownKey(Exception):
    """A row was sealed with a key that is not configured."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"a row is sealed with the encryption key {key_id!r}, which is not configured: "
            f'add "{key_id}:<base64>" to GATEWAY_ENCRYPTION_KEYS (the first seals, all open)'
        )
        self.key_id = key_id


class BrokenSeal(Exception):
    """An envelope that no key opens: damaged, or moved here from another row."""


class EncryptionKey(msgspec.Struct, frozen=True):
    """One key of the list."""

    id: str
    secret: bytes
    """32 bytes."""

    def __repr__(self) -> str:
        return f"EncryptionKey({self.id!r}, ***)"


class _Envelope(msgspec.Struct, frozen=True):
    kid: str
    n: str
    ct: str
    enc: int = msgspec.field(name="$enc")


def is_sealed(auth_data: object) -> bool:
    return isinstance(auth_data, dict) and "$enc" in auth_data


class Cipher:
    """Seals and opens `auth_data`, and digests credentials and client keys."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        if not keys:
            raise InvalidKeys("there is no encryption key")
        self.key_id = keys[0].id
        """Id of the key that seals."""
        self.key_ids = frozenset(key.id for key in keys)
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}
        self._hmac_keys = tuple((_fingerprint(key), _derived(key, _DIGEST_PURPOSE)) for key in keys)

    def seal(self, auth_data: object, account_id: str) -> dict[str, object]:
        """The envelope of a JSON value, for the row `account_id` alone."""
        nonce = os.urandom(_NONCE_BYTES)
        text = msgspec.json.encode(auth_data)
        sealed = self._ciphers[self.key_id].encrypt(nonce, text, _bound_to(account_id))
        return {"$enc": 1, "kid": self.key_id, "n": _base64(nonce), "ct": _base64(sealed)}

    def open(self, envelope: object, account_id: str) -> object:
        """The JSON value that `seal` was given.

        Raises:
            UnknownKey: the envelope names a key that is not configured.
            BrokenSeal: it is damaged, of an unknown form, or another row's.
        """
        try:
            parts = msgspec.convert(envelope, _Envelope)
            nonce, sealed = (base64.b64decode(part, validate=True) for part in (parts.n, parts.ct))
        except (msgspec.ValidationError, binascii.Error, ValueError) as error:
            raise BrokenSeal("the envelope is damaged") from error
        if parts.enc != 1:
            raise BrokenSeal(f"envelopes of form {parts.enc} are not known to this release")
        if parts.kid not in self._ciphers:
            raise UnknownKey(parts.kid)
        try:
            return msgspec.json.decode(self._ciphers[parts.kid].decrypt(nonce, sealed, _bound_to(account_id)))
        except (InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise BrokenSeal("the envelope is damaged, or was sealed for another row") from error

    def seal_bytes(self, content: bytes, place: str) -> bytes:
        """The same of bytes: the id of the key, a zero, the nonce, the ciphertext and its tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.key_id.encode() + b"\0" + nonce + self._ciphers[self.key_id].encrypt(nonce, content, place.encode())

    def open_bytes(self, sealed: bytes, place: str) -> bytes:
        """What `seal_bytes` was given. Raises UnknownKey or BrokenSeal, as `open`."""
        name, _, rest = sealed.partition(b"\0")
        key_id = name.decode("ascii", "replace")
        if key_id not in self._ciphers:
            raise UnknownKey(key_id)
        try:
            return self._ciphers[key_id].decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise BrokenSeal("the content is damaged, or was sealed for another row") from error

    def needs_sealing(self, auth_data: object) -> bool:
        """Whether it is plain, or sealed with a key that is no longer the first."""
        return not (isinstance(auth_data, dict) and auth_data.get("$enc") == 1 and auth_data.get("kid") == self.key_id)

    def digest(self, text: str) -> bytes:
        """36 bytes for the table: 4 that name the key, then HMAC-SHA256 with a key derived from the first one."""
        return self.digests(text)[0]

    def digests(self, text: str) -> tuple[bytes, ...]:
        """What any configured key makes of the text, the first key's at the front: a lookup tries them in order."""
        raw = text.encode("utf-8", "surrogateescape")
        return tuple(mark + hmac.digest(key, raw, "sha256") for mark, key in self._hmac_keys)

    def knows_digest(self, digest: bytes) -> bool:
        """Whether a configured key made it."""
        return digest[:_FINGERPRINT_BYTES] in {mark for mark, _ in self._hmac_keys}


def parse_keys(text: str) -> tuple[EncryptionKey, ...]:
    """Keys from `k2:<base64>,k1:<base64>`: commas or line ends between them, standard or URL-safe base64 of 32 bytes.

    Raises:
        InvalidKeys: no key, a bad id, a bad length, an id twice.
    """
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    keys = tuple(_parse_key(part, place) for place, part in enumerate(parts, 1))
    if not keys:
        raise InvalidKeys("no encryption key given: expected <id>:<base64 of 32 bytes>, more of them after commas")
    ids = [key.id for key in keys]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise InvalidKeys(f"the encryption key id {twice[0]!r} is given twice")
    return keys


def write_keys(keys: Sequence[EncryptionKey]) -> str:
    """The text that `parse_keys` reads: how a parent hands its keys to a worker."""
    return ",".join(f"{key.id}:{_base64(key.secret)}" for key in keys)


def new_key(key_id: str) -> str:
    """A fresh random key as `parse_keys` reads it."""
    return f"{key_id}:{_base64(os.urandom(KEY_BYTES))}"


def _parse_key(part: str, place: int) -> EncryptionKey:
    key_id, separator, encoded = part.partition(":")
    if not separator or not _KEY_ID.fullmatch(key_id):
        # The part itself is not shown: without its colon it may be the key.
        raise InvalidKeys(f"encryption key number {place} must read <id>:<base64>, the id of letters, digits, . _ -")
    try:
        secret = base64.b64decode(encoded.translate({45: "+", 95: "/"}) + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidKeys(f"the encryption key {key_id!r} is not base64") from error
    if len(secret) != KEY_BYTES:
        raise InvalidKeys(f"the encryption key {key_id!r} has {len(secret)} bytes, expected {KEY_BYTES}")
    return EncryptionKey(key_id, secret)


def _fingerprint(key: EncryptionKey) -> bytes:
    return _derived(key, _FINGERPRINT_PURPOSE)[:_FINGERPRINT_BYTES]


def _derived(key: EncryptionKey, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key.secret)


def _bound_to(account_id: str) -> bytes:
    return f"account:{account_id}".encode()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
