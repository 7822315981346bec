"""Model fallbacks: when a model's end lets the call go on with another model, and with which (SPEC §4).

Every account of the model failed, the upstream was silent or broken, or the call is too long for the model: the next
one may serve it. What the upstream refused for what the call says (policy) is the answer, whichever model is asked.
"""

import re
from collections.abc import Iterable
from typing import Final

from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    GatewayError,
    ModelNotFound,
    NoAccountAvailable,
    UpstreamFailed,
    UpstreamTimedOut,
)
from gateway.core.globs import matches
from gateway.core.ids import ModelName
from gateway.core.outcome import Outcome, OutcomeKind

MAX_FALLBACKS = 8
"""Of one call. Fallbacks of a fallback are never followed, so that a circle in the routes costs nothing."""
PATIENCE_S = 3.0
"""How long a call with fallbacks waits for a recovery before it goes on with the next model."""

PASSED_ON: Final = frozenset(
    {
        OutcomeKind.TOO_LARGE,
        OutcomeKind.MISSING_PERMISSION,
        OutcomeKind.NO_ACCESS_TO_MODEL,
        OutcomeKind.OVERLOADED,
        OutcomeKind.UPSTREAM_ERROR,
        OutcomeKind.UNREACHABLE,
        OutcomeKind.TIMED_OUT,
    }
)
"""Refusals that would reach the caller as they came, and speak of the model or its upstream, not of the call.

A 403 that says why is not among them: it may be a policy's, in words that nobody knows yet.
"""
NOBODY_SERVES: Final = (AllRateLimited, AllOutOfQuota, AllOverloaded, NoAccountAvailable, ModelNotFound)
"""Raised before anything was sent, or after nothing but definite refusals."""
UNSURE: Final = (UpstreamFailed, UpstreamTimedOut)
"""Raised when an upstream may have acted on the call."""

CONTEXT_CODE: Final = "context_length_exceeded"
_CONTEXT_WORDS: Final = re.compile(
    r"context (?:length|window|limit)|maximum context|prompt is too long",  # vLLM, Together, Google; Anthropic
    re.IGNORECASE,
)


def falls_back(error: GatewayError | None, last: Outcome | None, *, is_creating: bool = False) -> bool:
    """Whether another model may serve a call that ended so.

    `error`: what the loop raised; None when the last attempt's refusal would go out as it came. `last`: what the last
    attempt on this model came to; None without any. `is_creating`: repeated only after a definite refusal.
    """
    if last is not None and last.kind is OutcomeKind.CALLER_FAULT:
        return is_too_long(last)
    if isinstance(error, NOBODY_SERVES):
        return True
    is_repeatable = not is_creating or (last is not None and last.is_definite_refusal)
    if error is None:
        return last is not None and last.kind in PASSED_ON and is_repeatable
    return isinstance(error, UNSURE) and is_repeatable


def is_too_long(outcome: Outcome) -> bool:
    """The call does not fit the model's context: a model with a larger one may serve it."""
    return outcome.code == CONTEXT_CODE or _CONTEXT_WORDS.search(outcome.message) is not None


def fallback_models(
    asked: ModelName | None, fallbacks: Iterable[ModelName], *, allowed: tuple[str, ...]
) -> tuple[ModelName, ...]:
    """The models to try after `asked`, in order: each once, those the caller may use (`allowed`: globs; () = all)."""
    seen = {(asked or "").lower()}
    found: list[ModelName] = []
    for model in fallbacks:
        name = model.lower()
        if name in seen or (allowed and not matches(name, allowed)):
            continue
        seen.add(name)
        found.append(model)
    return tuple(found[:MAX_FALLBACKS])
