"""What the handlers of /v1 share: the parts of the worker that they use, and what they say of every call."""

from pathlib import Path
from random import Random

import msgspec

from gateway.core.call import Endpoint
from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    CallRefused,
    GatewayError,
    NoAccountAvailable,
    NoDiskSpace,
    ShuttingDown,
    UpstreamFailed,
    UpstreamTimedOut,
)
from gateway.core.ids import CallId
from gateway.core.outcome import OutcomeKind
from gateway.ingress.asgi import HangUpWatch
from gateway.ingress.caller import Callers
from gateway.ingress.cors import Cors
from gateway.ingress.keep_alive import KeepAlives
from gateway.providers.base import Headers
from gateway.relay.affinity import Affinity
from gateway.relay.batch_uploads import BatchUploads
from gateway.relay.board import Board
from gateway.relay.catalog import ModelCatalog
from gateway.relay.gate import Gate
from gateway.relay.metering import Meter, Progress
from gateway.relay.own_keys import OwnKeys
from gateway.relay.ports import Clock
from gateway.relay.restart import RestartingRelay
from gateway.relay.stateful import StatefulRelay
from gateway.telemetry.events import CallEnd

PREFIX = b"/v1"
UNKNOWN = Endpoint(name="unknown", method="", path="")
"""Label of calls that were refused before their endpoint was known."""
JSON = ((b"content-type", b"application/json"),)

ENDS: tuple[tuple[type[GatewayError], OutcomeKind | CallEnd], ...] = (
    (CallRefused, CallEnd.REFUSED),
    (AllRateLimited, OutcomeKind.RATE_LIMITED),
    (AllOutOfQuota, OutcomeKind.OUT_OF_QUOTA),
    (AllOverloaded, OutcomeKind.OVERLOADED),
    (UpstreamFailed, OutcomeKind.UPSTREAM_ERROR),
    (UpstreamTimedOut, OutcomeKind.TIMED_OUT),
    (NoAccountAvailable, CallEnd.NO_ACCOUNT),
    (NoDiskSpace, CallEnd.REFUSED),
    (ShuttingDown, CallEnd.SHUTTING_DOWN),
)


class DataPlane(msgspec.Struct, frozen=True, kw_only=True):
    """What the handlers need."""

    board: Board
    relay: RestartingRelay
    stateful: StatefulRelay
    """Takes the calls that have to do with stateful objects."""
    affinity: Affinity
    uploads: BatchUploads
    catalog: ModelCatalog
    meter: Meter
    gate: Gate
    hang_ups: HangUpWatch
    own_keys: OwnKeys
    keep_alives: KeepAlives
    clock: Clock
    rng: Random
    callers: Callers
    cors: Cors
    max_json_bytes: int
    max_body_bytes: int
    spool_folder: Path | None
    """Where uploads are kept that are too large for memory; None: the system's folder."""
    default_wait_s: float
    max_wait_s: float
    gives_client_secrets: bool


def end_of(error: GatewayError) -> OutcomeKind | CallEnd:
    """How a call ended that got this error of ours, for the log and the counters."""
    return next((end for kind, end in ENDS if isinstance(error, kind)), CallEnd.CRASHED)


def own_headers(call_id: CallId, progress: Progress) -> Headers:
    """What the gateway says of the call: who served it, in how many attempts."""
    headers: Headers = ((b"x-request-id", call_id.encode()),)
    if progress.provider_id is not None:
        account = () if progress.account_id is None else ((b"x-gateway-account", progress.account_id.encode()),)
        headers += (
            (b"x-gateway-provider", progress.provider_id.encode()),
            *account,
            (b"x-gateway-attempts", b"%d" % progress.attempts),
        )
    if progress.served_model is not None:
        headers += ((b"x-gateway-model", progress.served_model.encode("latin-1", "replace")),)
    return headers
