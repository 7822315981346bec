"""Kind → the code for it, built by hand. Another provider that speaks a known wire format is a row in the database."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.core.snapshot import StreamUsage, Validation
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.azure_openai import AZURE_OPENAI
from gateway.providers.base import ProviderKind
from gateway.providers.openai_compatible import OpenAICompatible

_ALL: Final[tuple[ProviderKind, ...]] = (
    OpenAICompatible("openai", StreamUsage.ASK, Validation.RANGES),
    # Vendors' ranges differ from OpenAI's (reference §2.4), so only types are checked. Where `stream_options` are
    # refused, `settings.stream_usage: leave` says so.
    OpenAICompatible("openai_compatible", StreamUsage.ASK, Validation.TYPES),
    AZURE_OPENAI,
    ANTHROPIC,
)

KINDS: Final[Mapping[str, ProviderKind]] = MappingProxyType({kind.name: kind for kind in _ALL})
"""`providers.kind` → its code. A row of another kind is a problem of that row."""
