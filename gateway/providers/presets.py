"""Vendors as data: where each is, how it wants its keys, how it calls its limits, what it does not take.

A preset fills in the columns of a row of `providers`; the row stands on its own afterwards. Its name is the id that the
seeded routes know the vendor by, so that no route is needed. Facts: reference §4.4, vendors' pages of 2026.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import msgspec

from gateway.core.snapshot import AuthStrategy

_COMPATIBLE: Final = "openai_compatible"


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor."""

    name: str
    title: str
    """For people; the row's `name`."""
    base_url: str | None
    """None: everybody has an address of their own."""
    kind: str = _COMPATIBLE
    auth_strategy: AuthStrategy = AuthStrategy.API_KEY
    settings: Mapping[str, object] = {}
    """The column `settings`."""
    limits: str = "learned from refusals"
    """Whose rate limits they are, and where they are told: for the table in docs/adding-a-provider.md."""
    note: str = ""

    @property
    def auth_type(self) -> str:
        return "none" if self.auth_strategy is AuthStrategy.NONE else "api_key"

    def columns(self, *, has_auth: bool = True) -> dict[str, object]:
        """Column → value, without `id`, and without `base_url` where the vendor has none.

        `has_auth`: False leaves out how keys are presented, for those who say that themselves.
        """
        values: dict[str, object] = {"name": self.title, "kind": self.kind, "settings": dict(self.settings)}
        if has_auth:
            values |= {"auth_type": self.auth_type, "auth_strategy": self.auth_strategy.value}
        return values if self.base_url is None else {**values, "base_url": self.base_url}


_NO_STREAM_OPTIONS: Final = {"stream_usage": "leave"}


def _told(*, has_reset: bool = False, **dimensions: str) -> dict[str, str]:
    """`limit_headers` of a vendor: dimension → its headers, `*` where `limit` and `remaining` stand."""
    parts = ("limit", "remaining", "reset") if has_reset else ("limit", "remaining")
    return {f"{name}_{part}": header.replace("*", part) for name, header in dimensions.items() for part in parts}


_WINDOW: Final = _told(has_reset=True, requests="x-ratelimit-*")
"""One window of requests, its reset in seconds or as epoch seconds or milliseconds."""

_ALL: Final = (
    Preset(
        name="openai",
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        kind="openai",
        limits="organization and project, per model: `x-ratelimit-*`",
    ),
    Preset(
        name="azure",
        title="Azure OpenAI",
        base_url=None,
        kind="azure_openai",
        auth_strategy=AuthStrategy.HEADER,
        limits="deployment: `x-ratelimit-*`",
        note="`base_url` is the resource's; see below",
    ),
    Preset(
        name="anthropic",
        title="Anthropic",
        base_url="https://api.anthropic.com/v1",
        kind="anthropic",
        limits="organization, per class of models: `anthropic-ratelimit-*`",
        note="chat completions are translated: [providers/anthropic.md](providers/anthropic.md)",
    ),
    Preset(
        name="google",
        title="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        limits="the Google project, not the key: learned from refusals",
        note="one key a project: further keys of a project add nothing",
    ),
    Preset(
        name="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        limits="organization, per model: `x-ratelimit-*` (requests a day, tokens a minute)",
    ),
    Preset(
        name="mistral",
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        settings={
            **_NO_STREAM_OPTIONS,  # unknown parameters are a 422; the last event has the usage anyway
            "limit_headers": _told(requests="x-ratelimit-*-req-minute", tokens="x-ratelimit-*-tokens-minute"),
        },
        limits="organization: `x-ratelimit-*-req-minute`, `-tokens-minute`",
    ),
    Preset(
        name="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        # It keeps the line open by comments and empty lines while a call waits for its turn.
        settings={"first_token_timeout_s": 600.0},
        limits="dynamic concurrency, told by nobody",
    ),
    Preset(name="xai", title="xAI", base_url="https://api.x.ai/v1", limits="team, per model: learned from refusals"),
    Preset(
        name="together",
        title="Together AI",
        base_url="https://api.together.xyz/v1",
        settings={"limit_headers": _WINDOW | _told(tokens="x-tokenlimit-*")},
        limits="account, per model: `x-ratelimit-*`, `x-tokenlimit-*`",
    ),
    Preset(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        settings={"limit_headers": _WINDOW},
        limits="account: `x-ratelimit-*` on refusals",
        note='`settings.headers`: `{"HTTP-Referer": "…", "X-Title": "…"}` names your app to it',
    ),
    Preset(
        name="cerebras",
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        settings={
            "limit_headers": _told(
                has_reset=True, requests="x-ratelimit-*-requests-day", tokens="x-ratelimit-*-tokens-minute"
            )
        },
        limits="organization, per model: `x-ratelimit-*-requests-day`, `-tokens-minute`",
    ),
    Preset(
        name="fireworks",
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        settings={"limit_headers": _told(requests="x-ratelimit-*-requests", tokens="x-ratelimit-*-tokens-prompt")},
        limits="account, per model, adaptive: `x-ratelimit-*-requests`, `-tokens-prompt`",
    ),
    Preset(
        name="cohere",
        title="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        limits="kind of key: learned from refusals",
    ),
    Preset(
        name="perplexity",
        title="Perplexity",
        base_url="https://api.perplexity.ai",
        settings={"exact_base_url": True, **_NO_STREAM_OPTIONS},  # its chat completions have no version in their path
    ),
    Preset(name="moonshot", title="Moonshot AI", base_url="https://api.moonshot.ai/v1"),
    Preset(name="zhipu", title="Zhipu AI", base_url="https://open.bigmodel.cn/api/paas/v4"),
    Preset(name="qwen", title="Alibaba Qwen", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    Preset(
        name="github",
        title="GitHub Models",
        base_url="https://models.github.ai/inference",
        settings={"exact_base_url": True},
        limits="account, per model: `x-ratelimit-*`",
    ),
    Preset(name="deepinfra", title="DeepInfra", base_url="https://api.deepinfra.com/v1/openai"),
    Preset(name="huggingface", title="Hugging Face", base_url="https://router.huggingface.co/v1"),
    Preset(name="nvidia", title="NVIDIA NIM", base_url="https://integrate.api.nvidia.com/v1"),
    Preset(
        name="vllm",
        title="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        auth_strategy=AuthStrategy.NONE,
        limits="none; give accounts `max_concurrency`",
        note="started with `--api-key`: `auth_strategy` `api_key`",
    ),
    Preset(
        name="ollama",
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        auth_strategy=AuthStrategy.NONE,
        settings={"first_token_timeout_s": 600.0},  # a model is loaded at its first call
        limits="none; give accounts `max_concurrency`",
    ),
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({preset.name: preset for preset in _ALL})
"""By name."""
OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType({"gemini": "google", "azure_openai": "azure", "grok": "xai"})
_LOCAL: Final = "127.0.0.1"
_BY_HOST: Final = {
    host: preset
    for preset in _ALL
    if preset.base_url is not None and (host := urlsplit(preset.base_url).hostname or "") != _LOCAL
}


def preset_named(name: str) -> Preset:
    """Raises ValueError, whose message lists the names."""
    preset = PRESETS.get(OTHER_NAMES.get(name.strip().lower(), name.strip().lower()))
    if preset is None:
        raise ValueError(f"there is no preset of this name: expected one of {', '.join(sorted(PRESETS))}")
    return preset


def habits_at(host: str) -> Mapping[str, object]:
    """The vendor's settings at this host: what holds for a row that somebody wrote without them. Empty: nobody's."""
    preset = _BY_HOST.get(host)
    return {} if preset is None else preset.settings
