"""Who calls: the client key that a request presents, found in the snapshot by its keyed hash."""

from collections.abc import Callable, Mapping

from gateway.core.call import Call
from gateway.core.errors import NotAllowed, Unauthenticated
from gateway.core.globs import matches
from gateway.core.ids import ModelName
from gateway.core.snapshot import ClientKey, Snapshot
from gateway.relay.ports import Clock

BEARER = b"bearer "
KEY_HEADERS = (b"x-gateway-key", b"authorization", b"api-key", b"x-api-key")
"""Where a key may stand; the first of them that is there counts."""
MAX_REMEMBERED = 10_000
SESSIONS = frozenset({"realtime.calls.create", "realtime.calls.accept"})
"""Endpoints that begin a session, for which the upstream has a model of its own where none is named."""

Digests = Callable[[str], tuple[bytes, ...]]
"""Keyed hashes of a text, one for every configured encryption key."""


class Callers:
    """Finds the key behind a request. One per worker.

    A keyed hash costs as much as the rest of the look-up, and callers come back: header values that led to a key are
    remembered until the snapshot changes, so a revoked key is gone with the snapshot that had it.
    """

    def __init__(self, digests: Digests, *, needs_key: bool) -> None:
        self._digests = digests
        self._needs_key = needs_key
        self._snapshot: Snapshot | None = None
        self._known: dict[bytes, ClientKey] = {}

    def caller_of(self, headers: Mapping[bytes, bytes], snapshot: Snapshot, clock: Clock) -> ClientKey | None:
        """The key that the request presents; None for a caller without a valid one where calls are open.

        Raises Unauthenticated where a key is needed: a missing, an unknown (or revoked) and an expired one are told
        apart.
        """
        if snapshot is not self._snapshot:
            self._snapshot, self._known = snapshot, {}
        value = None
        for name in KEY_HEADERS:  # a generator costs as much again, and every call pays
            if name in headers:
                value = headers[name]
                break
        key = None if value is None else self._known.get(value) or self._find(value, snapshot)
        if key is not None and (key.expires_at is None or clock.wall_now() < key.expires_at):
            return key
        if self._needs_key:
            raise _why_not(value, key)
        return None

    def _find(self, value: bytes, snapshot: Snapshot) -> ClientKey | None:
        if not snapshot.keys:
            return None
        text = value[len(BEARER) :] if value[: len(BEARER)].lower() == BEARER else value
        for digest in self._digests(text.strip().decode("latin-1")):
            key = snapshot.keys.get(digest)
            if key is not None:
                if len(self._known) < MAX_REMEMBERED:
                    self._known[value] = key
                return key
        return None


def _why_not(value: bytes | None, key: ClientKey | None) -> Unauthenticated:
    if value is None:
        return Unauthenticated(
            "You didn't provide a client key. Send one of this gateway's keys (gw-…) in an Authorization header: "
            "Authorization: Bearer YOUR_KEY.",
        )
    if key is not None:
        return Unauthenticated("This client key has expired. Ask the operator of this gateway for a new one.")
    return Unauthenticated(
        "Incorrect client key provided. Ask the operator of this gateway for one (gw-…). Beside a provider's key of "
        "your own in Authorization it goes into the header x-gateway-key."
    )


def check_model(key: ClientKey | None, model: ModelName | None) -> None:
    """Raises NotAllowed when the key's list of models has not `model`."""
    if key is not None and key.models and model is not None and not matches(model.lower(), key.models):
        raise NotAllowed(
            "This client key may not use this model. Use one that GET /v1/models lists for it.",
            param="model",
            code="model_not_allowed",
        )


def check_named(key: ClientKey | None, call: Call) -> None:
    """Raises NotAllowed for a session that names no model, when the key may use some alone."""
    if key is not None and key.models and call.model is None and call.endpoint.name in SESSIONS:
        raise NotAllowed(
            "This client key may use some models alone: name one of them in `session.model`, or in the query.",
            param="session.model",
            code="model_not_allowed",
        )
