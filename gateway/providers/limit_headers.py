"""`settings.limit_headers`: how a vendor calls the headers of its rate limits, where they are not those of its kind.

`{"requests_remaining": "x-ratelimit-remaining-req-minute", …}`: a dimension (`requests`, `tokens`, and `output_tokens`
where those of answers have a limit of their own), then what its header says (`limit`, `remaining`, `reset`). Only
dimensions with `remaining` count: the others tell nothing alone.
"""

from collections.abc import Mapping
from typing import Final

from gateway.core.hints import QuotaNames, RateLimitNames

_PARTS: Final = ("limit", "remaining", "reset")
_DIMENSIONS: Final = ("requests", "tokens", "output_tokens")
LIMIT_HEADER_KEYS: Final = tuple(f"{dimension}_{part}" for dimension in _DIMENSIONS for part in _PARTS)


def limit_names(named: Mapping[str, str]) -> RateLimitNames | None:
    """None: nothing is named, so the kind's own names hold."""
    if not named:
        return None
    requests, tokens, output_tokens = (_quota(named, dimension) for dimension in _DIMENSIONS)
    return RateLimitNames(requests, tokens, output_tokens=output_tokens)


def _quota(named: Mapping[str, str], dimension: str) -> QuotaNames | None:
    limit, remaining, reset = (named.get(f"{dimension}_{part}", "").lower().encode("latin-1") for part in _PARTS)
    return QuotaNames(limit, remaining, reset) if remaining else None
