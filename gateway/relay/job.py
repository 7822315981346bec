"""`Job`: one call and what it brings along, as it walks through the relay."""

import msgspec

from gateway.core.call import Call
from gateway.providers.base import Headers
from gateway.relay.metering import Progress
from gateway.relay.pool import Pool


class Job(msgspec.Struct, frozen=True):
    """One call on its way."""

    call: Call
    pool: Pool
    headers: Headers
    """Those of the caller that may go upstream."""
    body: bytes
    """Names the upstream's model already."""
    progress: Progress
