"""The family of metrics that is named after its provider: `openai_requests_total{model="gpt-4"}` and its kin.

Rules of this file: a provider's id is operators' text, a model's name is callers' text. An id becomes a metric name
that no other family has; a name becomes a label once that provider has served it, else it is `other`.
"""

import re

from gateway.core.outcome import OutcomeKind
from gateway.telemetry.series import OTHER, Counter, Files, Histogram

_OK = OutcomeKind.OK  # bound: Python 3.11 takes as long to find a member as to call a function
MAX_PROVIDERS = 200
"""More of them share the family `other_provider_…`."""
MAX_MODELS = 1_000
"""Of one provider; more of them are `other`."""
_MAX_MODEL = 128
"""Characters; a longer name is `other`."""
_RESERVED = ("gateway", "python", "process", "other_provider", "provider_")

DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)


class ProviderSeries:
    """What one provider was sent and what came of it, as seen by this worker."""

    def __init__(self, files: Files, prefix: str) -> None:
        self._served: dict[str, str] = {}
        """Model → its label; only models that were served are in it."""
        self._requests = Counter(
            files, f"{prefix}_requests_total", "Attempts sent to this provider.", ("model",), MAX_MODELS + 1
        )
        self._duration = Histogram(
            files,
            f"{prefix}_request_duration_seconds",
            "Time of one attempt: to its verdict, of a success to its head.",
            DURATION_BOUNDS_S,
            ("model",),
        )
        self._tokens = Counter(
            files, f"{prefix}_tokens_total", "Tokens, by direction: input, cached (a part of input), output.",
            ("model", "direction"),
        )  # fmt: skip
        self._errors = Counter(
            files, f"{prefix}_errors_total", "Attempts that this provider did not serve, by kind.", ("model", "kind")
        )

    def label_of(self, model: str | None) -> str:
        return self._served.get(model, OTHER) if model is not None else OTHER

    def attempt_finished(self, model: str | None, kind: OutcomeKind, duration_s: float, *, is_served: bool) -> None:
        label = self._served.get(model) if model is not None else OTHER
        if label is None:
            label = self._learn(model or "") if is_served else OTHER
        labels = (label,)
        self._requests.inc(labels)
        self._duration.observe(duration_s, labels)
        if kind is not _OK and kind is not OutcomeKind.CANCELLED:
            self._errors.inc((label, kind))

    def tokens_used(self, label: str, direction: str, count: int) -> None:
        self._tokens.inc((label, direction), count)

    def _learn(self, model: str) -> str:
        if not model or len(model) > _MAX_MODEL or len(self._served) >= MAX_MODELS:
            return OTHER
        self._served[model] = model
        return model


class AllProviders:
    """`ProviderSeries` by provider id, made when a provider is first used."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._of: dict[str, ProviderSeries] = {}
        self._by_prefix: dict[str, ProviderSeries] = {}

    def of(self, provider_id: str) -> ProviderSeries:
        series = self._of.get(provider_id)
        return self._make(provider_id) if series is None else series

    def _make(self, provider_id: str) -> ProviderSeries:
        prefix = prefix_of(provider_id)
        if prefix not in self._by_prefix:
            if len(self._by_prefix) >= MAX_PROVIDERS:
                prefix = "other_provider"
            self._by_prefix.setdefault(prefix, ProviderSeries(self._files, prefix))
        if len(self._of) < 10 * MAX_PROVIDERS:
            self._of[provider_id] = self._by_prefix[prefix]
        return self._by_prefix[prefix]


def prefix_of(provider_id: str) -> str:
    """`azure-eu` → `azure_eu`. Ids that would collide with families of our own or of Prometheus get `provider_` before.

    Two ids that differ only in signs (`a-b`, `a.b`) share a family: metric names know no more.
    """
    name = re.sub(r"[^a-zA-Z0-9_]", "_", provider_id)[:64] or "unnamed"
    needs_prefix = name[0].isdigit() or name.startswith(("_", *_RESERVED))
    return f"provider_{name}" if needs_prefix else name
