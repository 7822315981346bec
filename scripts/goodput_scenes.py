"""What `make bench-goodput` plays: upstreams with their limits, and who stands before them."""

from dataclasses import dataclass, field, replace

MODEL = "gpt-4o"
LIMIT, PERIOD_S = 10, 4.0
TOKENS, TOKENS_PERIOD_S = 10_000, 8.0
"""Where tokens are limited."""
PROMPTS = (*range(100, 301, 25), 2000)
"""Tokens of the callers' prompts there, each as often as the others."""
LOADS = (0.9, 1.0, 1.5)
ANSWER_S = 0.2
"""What an answer takes the upstream."""
FOREVER = float("inf")


@dataclass(frozen=True)
class Scene:
    """One upstream, and the accounts that it limits."""

    name: str
    algorithm: str = "bucket"
    """`bucket`, `fixed`, `sliding`."""
    has_headers: bool = True
    """`x-ratelimit-*` on every answer."""
    accounts: int = 8
    organisations: int | None = None
    """None: each account has its own."""
    is_grouped: bool = True
    """Accounts of one organisation have its name as their `quota_group`."""
    period_s: float = PERIOD_S
    larger: int = 1
    """The first organisation's limit is so many times the others'."""
    limit: int | None = LIMIT
    """Requests per period; None: as many as come."""
    tokens: int | None = None
    """Tokens per period; None: as many as come."""

    @property
    def organisation_count(self) -> int:
        return self.organisations or self.accounts

    def requests(self, organisation: int) -> int | None:
        return None if self.limit is None else self.limit * (self.larger if organisation == 0 else 1)

    @property
    def prompts(self) -> tuple[int, ...]:
        return (1,) if self.tokens is None else PROMPTS

    @property
    def capacity(self) -> float:
        """Calls a second that the upstream serves over a long time, as large as they come on average."""
        requests = [self.requests(number) for number in range(self.organisation_count)]
        by_requests = sum([FOREVER if one is None else one for one in requests]) / self.period_s
        mean = sum(self.prompts) / len(self.prompts)
        return min(by_requests, self.token_capacity / mean)

    @property
    def token_capacity(self) -> float:
        """Tokens a second; infinite where they are not limited."""
        return FOREVER if self.tokens is None else self.tokens * self.organisation_count / self.period_s


@dataclass(frozen=True)
class Wave:
    """Scenes that are played at the same time, through the same front."""

    front: str
    """`gateway`, `two workers`, `two replicas`, `round robin`, `random choice`."""
    scenes: tuple[Scene, ...] = field(default=())


_KINDS = tuple(Scene(f"{kind}, 8 accounts", kind) for kind in ("bucket", "fixed", "sliding"))
_SILENT = tuple(
    Scene(f"{kind}, 8 accounts, no headers", kind, has_headers=False) for kind in ("bucket", "fixed", "sliding")
)
_OTHERS = (
    Scene("bucket, 64 accounts", accounts=64, period_s=16.0),
    Scene("bucket, 4 accounts, one with 4 times the limit", accounts=4, larger=4),
    Scene("bucket, 8 accounts of 2 organisations, grouped", organisations=2, period_s=1.0),
    Scene("bucket, 8 accounts of 2 organisations, not grouped", organisations=2, period_s=1.0, is_grouped=False),
)
_OF_TOKENS = Scene("bucket of tokens, 8 accounts", limit=None, tokens=TOKENS, period_s=TOKENS_PERIOD_S)
_BUCKETS_OF_TOKENS = (
    _OF_TOKENS,
    replace(_OF_TOKENS, name="buckets of requests and tokens, 8 accounts", limit=26),  # equally tight
)
_TOKENS = (
    *_BUCKETS_OF_TOKENS,
    *[replace(_OF_TOKENS, name=f"{kind} of tokens, 8 accounts", algorithm=kind) for kind in ("fixed", "sliding")],
)
WAVES = (
    Wave("gateway", _KINDS),
    Wave("gateway", _SILENT),
    Wave("gateway", _OTHERS),
    Wave("gateway", _TOKENS),
    Wave("two workers", _KINDS),
    Wave("two workers", _SILENT),
    Wave("two workers", _TOKENS),
    Wave("two replicas", (*_KINDS, *_BUCKETS_OF_TOKENS)),
    Wave("round robin", (*_KINDS, *_BUCKETS_OF_TOKENS)),
    Wave("random choice", (*_KINDS, *_BUCKETS_OF_TOKENS)),
)


@dataclass(frozen=True)
class Part:
    """A scene at one load: a provider of the gateway's, with keys and organisations of its own."""

    id: str
    scene: Scene
    load: float

    def key(self, account: int) -> str:
        return f"sk-{self.id}-{account:03d}"

    @property
    def keys(self) -> list[str]:
        return [self.key(account) for account in range(self.scene.accounts)]

    def organisation(self, account: int) -> str:
        return f"org-{self.id}o{account % self.scene.organisation_count}"

    @property
    def rate(self) -> float:
        """Calls a second that come."""
        return self.load * self.scene.capacity


def parts_of(wave: Wave, number: int) -> list[Part]:
    """`number`: the wave's own, so that no two waves share a provider."""
    return [
        Part(f"w{number}s{scene_number}l{load_number}", scene, load)
        for scene_number, scene in enumerate(wave.scenes)
        for load_number, load in enumerate(LOADS)
    ]


def sandbox_config(parts: list[Part], *, has_headers: bool) -> dict[str, object]:
    """Of a sandbox that serves those parts, as its `--config` wants it."""
    mine = [part for part in parts if part.scene.has_headers == has_headers]
    keys = {
        part.key(number): {"org": part.organisation(number)} for part in mine for number in range(part.scene.accounts)
    }
    return {
        "keys": keys,
        "limits": [
            {
                "org": part.organisation(number),
                "requests": part.scene.requests(number),
                "tokens": part.scene.tokens,
                "period_s": part.scene.period_s,
                "algorithm": part.scene.algorithm,
            }
            for part in mine
            for number in range(part.scene.organisation_count)
        ],
        "behaviours": {"*": {"delay_s": ANSWER_S}},
        "sends_rate_headers": has_headers,
        "records_answers": False,
        "log_length": 10,
    }


def gateway_config(parts: list[Part], told: str, silent: str) -> dict[str, object]:
    """`gateway.yaml` with a provider for each part. `told`, `silent`: addresses of the two sandboxes."""
    return {
        "providers": {
            part.id: {
                "kind": "openai",
                "base_url": told if part.scene.has_headers else silent,
                "accounts": [_account(part, number) for number in range(part.scene.accounts)],
            }
            for part in parts
        }
    }


def _account(part: Part, number: int) -> dict[str, object]:
    is_alone = part.scene.organisations is None or not part.scene.is_grouped
    group = None if is_alone else part.organisation(number)
    return {"label": f"account {number}", "api_key": part.key(number), "quota_group": group}
