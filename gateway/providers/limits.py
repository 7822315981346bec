"""How long each part of an attempt may take: a provider's settings, and the patience that reasoning models need."""

from typing import Final

from gateway.core.call import StreamKind
from gateway.core.snapshot import Provider
from gateway.providers.base import Limits

_FIRST_EVENT_S: Final = 60.0
_STALL_S: Final = 30.0
_REASONING_S: Final = 600.0
"""Both limits for models that think before they speak (SPEC §4)."""

REASONING_PREFIXES: Final[tuple[str, ...]] = (
    "o1",
    "o3",
    "o4",
    "gpt-5",
    "gpt-6",
    "gpt-oss",
    "claude-",  # also because a tool's input comes in one piece, after a silence
    "gpt-image",
    "chatgpt-image",
    "codex-",
    "computer-use-",
    "deepseek-reasoner",
    "deepseek-r1",
    "grok-3-mini",
    "grok-4",
    "magistral-",
    "qwq-",
    "gemini-2.5",
    "gemini-3",
    "kimi-k2-thinking",
    "glm-4.5",
    "glm-4.6",
    "sonar-reasoning",
    "sonar-deep-research",
)
"""Lower-case beginnings of model names, behind the last slash of a `vendor/model` name. One too many here only waits
longer for a silent upstream; one too few is cut off while it thinks."""


def is_reasoning(model: str) -> bool:
    """Whether a model may be silent for minutes. `ft:` before a name does not count."""
    return model.lower().rpartition("/")[2].removeprefix("ft:").startswith(REASONING_PREFIXES)


def limits_for(provider: Provider, model: str | None, *, is_stream: bool, kind: StreamKind = StreamKind.NONE) -> Limits:
    """The limits of an attempt for `model`, the upstream's name.

    Whatever the model, Responses may be silent for minutes; so may runs and sessions, whose model nobody names here.

    A stream's head must come as soon as its first event. An answer in one piece has `timeout_s` for its head.
    """
    settings = provider.settings
    is_nameless = kind is StreamKind.EVENTS and not model
    patience = kind is StreamKind.RESPONSES or is_nameless or (model is not None and is_reasoning(model))
    first_event_s = settings.first_token_timeout_s or (_REASONING_S if patience else _FIRST_EVENT_S)
    stall_s = settings.stall_timeout_s or (_REASONING_S if patience else _STALL_S)
    first_event_s = min(first_event_s, settings.timeout_s)
    return Limits(
        connect_s=settings.connect_timeout_s,
        headers_s=first_event_s if is_stream else settings.timeout_s,
        stall_s=stall_s,
        keep_alive_s=settings.keep_alive_s,
        max_idle=settings.max_idle_connections,
        first_event_s=first_event_s,
    )
