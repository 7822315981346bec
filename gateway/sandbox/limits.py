"""Which meters a call is charged to, what they say of it, and how that looks in headers and messages. Pure."""

import math
from zlib import crc32

import msgspec

from gateway.sandbox.charging import charge_at_once, charge_of
from gateway.sandbox.config import KeyConfig, LimitRule, ResetTo, matches
from gateway.sandbox.durations import write_duration
from gateway.sandbox.limiter import Meter, make_meter

_DAY_S = 86_400.0
_FULL = ResetTo.FULL  # bound: Python 3.11 takes as long to find a member as to call a function


class Dimension(msgspec.Struct, frozen=True):
    """One meter with its name."""

    what: str
    """`requests` or `tokens`."""
    scope: str
    """Model or family, as messages name it."""
    period_s: float
    meter: Meter
    rule: LimitRule


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a call was not admitted."""

    what: str
    scope: str
    org: str
    period_s: float
    limit: int
    used: int
    requested: int
    wait_s: float
    """Until the call fits; infinite when it is larger than the limit."""

    @property
    def is_too_large(self) -> bool:
        return self.wait_s == math.inf


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One dimension's three headers."""

    what: str
    limit: int
    remaining: int
    reset_s: float | None
    """None: it is not told."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What the limits said to a call. `readings` are as of its admission."""

    refusal: Refusal | None
    readings: tuple[Reading, ...]
    owed: tuple[tuple[Meter, int], ...] = ()
    """What is charged when its answer is done, and to which: `settle` does it."""


class Charged(msgspec.Struct, frozen=True):
    """The meters of one organisation, project and model."""

    dimensions: list[Dimension]
    are_distinct: bool
    """No two are of one kind."""


class Limits:
    """All meters of a sandbox, made as they are met."""

    def __init__(self, rules: tuple[LimitRule, ...], *, charges_refused: bool) -> None:
        self._rules = rules
        self._charges_refused = charges_refused
        self._meters: dict[tuple[int, str, str, str], Dimension] = {}
        self._charged: dict[tuple[str, str, str], Charged] = {}
        """By organisation, project and model."""

    def admit(self, key: KeyConfig, model: str, tokens: int, now: float) -> Verdict:
        """Charges one request and `tokens` to all that match, or refuses and says by which.

        Refused, the call still costs a request (where `charges_refused`), and no tokens.
        """
        name = (key.org, key.project, model)
        charged = self._charged.get(name)
        if charged is None:
            found = self._dimensions(key, model, now)
            charged = Charged(found, len({one.what for one in found}) == len(found))
            self._charged[name] = charged
        dimensions = charged.dimensions
        if not dimensions:
            return _UNLIMITED
        costs = [1 if one.what == "requests" else charge_at_once(one.rule, tokens) for one in dimensions]
        refused_by = _first_refuser(dimensions, costs, now)
        if refused_by is None:
            for dimension, cost in zip(dimensions, costs, strict=True):
                dimension.meter.drain(cost, now)
            return Verdict(None, _readings(charged, now), _owed(dimensions, tokens))
        for dimension in dimensions:
            if self._charges_refused and dimension.what == "requests":
                dimension.meter.drain(1, now)
        refusal = _refusal(dimensions[refused_by], costs[refused_by], key.org, now)
        return Verdict(refusal, _readings(charged, now))

    def settle(self, verdict: Verdict, now: float) -> None:
        """The call's answer is done."""
        for meter, amount in verdict.owed:
            meter.drain(amount, now)

    def _dimensions(self, key: KeyConfig, model: str, now: float) -> list[Dimension]:
        found = []
        for index, rule in enumerate(self._rules):
            if not (matches(rule.org, key.org) and matches(rule.model, model.lower())):
                continue
            holder = key.project if rule.is_per_project else key.org
            for what, limit in (("requests", rule.requests), ("tokens", rule.tokens)):
                if limit is not None:
                    found.append(self._dimension(index, holder, what, rule.family or model, limit, now))
        return found

    def _dimension(  # the meter's name and its size
        self, index: int, holder: str, what: str, scope: str, limit: int, now: float
    ) -> Dimension:
        name = (index, holder, what, scope)
        dimension = self._meters.get(name)
        if dimension is None:
            rule = self._rules[index]
            ends_at = rule.period_s * (crc32(holder.encode()) % 1000) / 1000 if rule.is_by_clock else None
            overfills = rule.counts_refused
            meter = make_meter(rule.algorithm, limit, rule.period_s, now, ends_at=ends_at, overfills=overfills)
            dimension = self._meters[name] = Dimension(what, scope, rule.period_s, meter, rule)
        return dimension


_UNLIMITED = Verdict(None, ())


def _owed(dimensions: list[Dimension], tokens: int) -> tuple[tuple[Meter, int], ...]:
    late = [one for one in dimensions if one.what == "tokens" and one.rule.charged_later]
    return tuple([(one.meter, charge_of(one.rule, tokens) - charge_at_once(one.rule, tokens)) for one in late])


def _first_refuser(dimensions: list[Dimension], costs: list[int], now: float) -> int | None:
    """Index of the dimension that must be waited for longest; None when the call fits in all."""
    refused_by, longest_s = None, 0.0
    for index, dimension in enumerate(dimensions):
        wait_s = dimension.meter.wait_for(costs[index], now)
        if wait_s > longest_s:
            refused_by, longest_s = index, wait_s
    return refused_by


def _refusal(dimension: Dimension, cost: int, org: str, now: float) -> Refusal:
    meter = dimension.meter
    used = int(meter.limit) - math.floor(meter.free(now) + 1e-9)
    wait_s = meter.wait_for(cost, now)
    return Refusal(dimension.what, dimension.scope, org, dimension.period_s, int(meter.limit), used, cost, wait_s)


def _readings(charged: Charged, now: float) -> tuple[Reading, ...]:
    """Per kind, the dimension with the smallest share left: OpenAI shows the binding window only."""
    if charged.are_distinct:
        return tuple([_reading(dimension, now) for dimension in charged.dimensions])
    binding: dict[str, Dimension] = {}
    for dimension in charged.dimensions:
        other = binding.get(dimension.what)
        if other is None or _share(dimension.meter, now) < _share(other.meter, now):
            binding[dimension.what] = dimension
    return tuple([_reading(dimension, now) for dimension in binding.values()])


def _share(meter: Meter, now: float) -> float:
    return meter.free(now) / meter.limit if meter.limit else 0.0


def _reading(dimension: Dimension, now: float) -> Reading:
    meter = dimension.meter
    remaining = math.floor(meter.free(now) + 1e-9)
    return Reading(dimension.what, int(meter.limit), remaining, _reset(dimension, now))


def _reset(dimension: Dimension, now: float) -> float | None:
    if dimension.rule.reset_to is _FULL:
        return dimension.meter.until_full(now)
    match dimension.rule.reset_to:
        case ResetTo.NEXT:
            return dimension.meter.until_next(now)
        case ResetTo.PERIOD:
            return dimension.rule.period_s
        case _:
            return None


def rate_headers(readings: tuple[Reading, ...]) -> list[tuple[str, str]]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`."""
    headers: list[tuple[str, str]] = []
    for reading in readings:
        limit, remaining, reset = _NAMES[reading.what]
        headers += ((limit, str(reading.limit)), (remaining, str(reading.remaining)))
        if reading.reset_s is not None:
            headers.append((reset, write_duration(reading.reset_s)))
    return headers


_NAMES = {
    what: [f"x-ratelimit-{part}-{what}" for part in ("limit", "remaining", "reset")] for what in ("requests", "tokens")
}


def refusal_message(refusal: Refusal, *, sends_delay: bool) -> str:
    """OpenAI's words (reference §3.2, texts seen in issue threads)."""
    is_daily = refusal.period_s >= _DAY_S
    short = ("R" if refusal.what == "requests" else "T") + ("PD" if is_daily else "PM")
    span = f"{refusal.what} per {'day' if is_daily else 'min'} ({short})"
    of = f"for {refusal.scope} in organization {refusal.org} on {span}"
    if refusal.is_too_large:
        return (
            f"Request too large {of}: Limit {refusal.limit}, Requested {refusal.requested}. "
            "The input or output tokens must be reduced in order to run successfully. "
            "Visit https://platform.openai.com/account/rate-limits to learn more."
        )
    delay = f"Please try again in {write_duration(refusal.wait_s)}. " if sends_delay else ""
    return (
        f"Rate limit reached {of}: Limit {refusal.limit}, Used {refusal.used}, Requested {refusal.requested}. "
        f"{delay}Visit https://platform.openai.com/account/rate-limits to learn more."
    )
