"""What a sandbox imitates: keys, limits, models, and how its answers look. Read from Python, YAML or JSON."""

import zlib
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import msgspec


class Algorithm(StrEnum):
    """How a limit frees again."""

    BUCKET = "bucket"
    """Refilled all the time, as OpenAI's."""
    FIXED = "fixed"
    """Windows one after another: all is free again at the window's end, nothing before."""
    SLIDING = "sliding"
    """What was taken is free again one period after it was taken."""


class ResetTo(StrEnum):
    """What `x-ratelimit-reset-…` counts down to."""

    FULL = "full"
    """All of the limit is free, as OpenAI's."""
    NEXT = "next"
    """Something is free again: of a sliding window the oldest call, of a bucket one unit."""
    PERIOD = "period"
    """Nothing: it is the whole period, always."""
    NONE = "none"
    """Nothing: there is no such header."""


class KeyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who holds a key."""

    org: str = "org-sandbox"
    """Organisation: keys of one organisation share its limits."""
    project: str = "proj_sandbox"
    models: tuple[str, ...] | None = None
    """Lower-case names or globs this key has access to; None means all that the sandbox knows."""


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit per organisation and model. Every rule that matches a call is charged, and must admit it."""

    model: str = "*"
    """Lower-case name or glob."""
    org: str = "*"
    """Organisation, or glob."""
    requests: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests per period; None means no limit."""
    tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tokens per period; None means no limit."""
    period_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """Seconds. A day and more is called "per day" in messages, anything less "per min"."""
    algorithm: Algorithm = Algorithm.BUCKET
    reset_to: ResetTo = ResetTo.FULL
    is_by_clock: bool = False
    """Fixed windows end at moments of each holder's own, a period apart, whoever calls; else a first call opens one."""
    counts_refused: bool = False
    """A sliding window that is full holds refused calls for a period as well. Else they take what is left."""
    charge: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """So many times the tokens that a call asks for are charged…"""
    charge_each: int = 0
    """…and so many more for each call: templates of chats. Below 0: so many less, but one at least…"""
    charge_varies: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """…or more or less, by this share of it at most, as chance has it for that number…"""
    charged_later: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """…and this share of that when the answer is done, the rest before the call is admitted."""
    family: str | None = None
    """Name under which all models of this rule share one limit; None: each model has its own."""
    is_per_project: bool = False
    """Each project has this limit for itself, instead of its organisation."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model answers. Any of it may stand in a model's name too: `gpt-4o+chunks=50+gap_s=0.01`."""

    tokens: int | None = None
    """Length of the answer in words; None: "echo: " and the last user message."""
    chunks: int | None = None
    """Content events of a stream; None: one a word."""
    delay_s: float = 0.0
    """Before the headers."""
    first_token_s: float = 0.0
    """Between the headers (with the role event) and the first content event."""
    gap_s: float = 0.0
    """Between content events."""
    finish_reason: str = "stop"


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of it. The default lets any key in and limits nothing."""

    keys: dict[str, KeyConfig] = {}
    accepts_any_key: bool | None = None
    """A key that is not in `keys` is let in, with an organisation of its own. None: only while `keys` is empty."""
    models: tuple[str, ...] | None = None
    """The models there are; None: any name is served, and a usual few are listed."""
    limits: tuple[LimitRule, ...] = ()
    behaviours: dict[str, Behaviour] = {}
    """By lower-case model name or glob; the first that matches."""
    charges_refused: bool = True
    """A refused request takes what is left of the request limit, as OpenAI's do ("unsuccessful requests count")."""
    sends_rate_headers: bool = True
    """`x-ratelimit-*` on every answer."""
    sends_retry_after: bool = True
    """`Retry-After` (whole seconds, rounded up) on a limit's 429."""
    sends_retry_after_ms: bool = False
    """`retry-after-ms` on a limit's 429."""
    sends_delay_text: bool = True
    """"Please try again in 20s." in a limit's 429."""
    sends_organization: bool = True
    """`openai-organization` and `openai-project` on every answer."""
    sends_obfuscation: bool = False
    """A random-looking `obfuscation` member in every event of a stream, unless the request declines it."""
    events_per_write: int = 1
    """Stream events joined into one write, where no gap stands between them."""
    log_length: int = 10_000
    """Requests remembered; older ones are forgotten."""
    records_answers: bool = True
    """Keep the bytes of every answer's body in the log too."""

    @property
    def lets_strangers_in(self) -> bool:
        return not self.keys if self.accepts_any_key is None else self.accepts_any_key


@lru_cache(maxsize=4096)
def own_organisation(key: str) -> KeyConfig:
    """For a key nobody spoke of: the same key has the same organisation, and its name does not show the key."""
    number = f"{zlib.crc32(key.encode()):08x}"
    return KeyConfig(org=f"org-{number}", project=f"proj_{number}")


def matches(pattern: str, name: str) -> bool:
    return pattern in ("*", name) or fnmatchcase(name, pattern)


def load_config(path: Path) -> SandboxConfig:
    """Reads a YAML or JSON file (JSON is YAML). Raises msgspec.ValidationError, with the place, when it is wrong."""
    return msgspec.yaml.decode(path.read_bytes(), type=SandboxConfig)
