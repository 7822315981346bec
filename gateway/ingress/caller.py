"""Who calls: the client key that a request presents, found in the snapshot by its keyed hash."""

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.core.errors import NotAllowed, Unauthenticated
from gateway.core.globs import matches
from gateway.core.ids import ModelName
from gateway.core.snapshot import ClientKey, Snapshot

BEARER = b"bearer "

Digests = Callable[[str], tuple[bytes, ...]]
"""Keyed hashes of a text, one for every configured encryption key."""


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key a caller shows: `x-gateway-key`, else the bearer token, else `api-key` or `x-api-key`; None without."""
    text = headers.get(b"x-gateway-key")
    if text is None:
        authorization = headers.get(b"authorization")
        if authorization is not None and authorization[:7].lower() == BEARER:
            text = authorization[7:]
        else:
            text = headers.get(b"api-key") or headers.get(b"x-api-key")
    return text.strip().decode("latin-1") if text else None


def caller_of(
    headers: Mapping[bytes, bytes], snapshot: Snapshot, digests: Digests, *, needs_key: bool, wall_now: datetime
) -> ClientKey | None:
    """The key that the request presents; None for a caller without a valid one where calls are open.

    Raises Unauthenticated where a key is needed: a missing, an unknown (or revoked) and an expired one are told apart.
    """
    if not needs_key and not snapshot.keys:
        return None
    text = presented_key(headers)
    key = None if text is None else _found(text, snapshot, digests)
    if key is not None and (key.expires_at is None or wall_now < key.expires_at):
        return key
    if not needs_key:
        return None
    if text is None:
        raise Unauthenticated(
            "You didn't provide a client key. Send one of this gateway's keys (gw-…) in an Authorization header: "
            "Authorization: Bearer YOUR_KEY.",
        )
    if key is not None:
        raise Unauthenticated("This client key has expired. Ask the operator of this gateway for a new one.")
    raise Unauthenticated("Incorrect client key provided. Ask the operator of this gateway for one (gw-…).")


def _found(text: str, snapshot: Snapshot, digests: Digests) -> ClientKey | None:
    for digest in digests(text):
        key = snapshot.keys.get(digest)
        if key is not None:
            return key
    return None


def check_model(key: ClientKey | None, model: ModelName | None) -> None:
    """Raises NotAllowed when the key's list of models has not `model`."""
    if key is not None and key.models and model is not None and not matches(model.lower(), key.models):
        raise NotAllowed(
            "This client key may not use this model. Use one that GET /v1/models lists for it.",
            param="model",
            code="model_not_allowed",
        )
