"""What Anthropic's models take, by the version in their names: a table, read from top to bottom.

Sources: Anthropic's model overview and migration guides up to Claude 5.5 (autumn 2026). A name without a version, or of
a later one, is taken for the newest.
"""

import re
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?![\d.])")
"""`claude-opus-4-5-20251101`, `claude-3-7-sonnet-latest`, `claude-sonnet-5`. A date has eight digits."""
_NEWEST: Final = (99, 0)

Version = tuple[int, int]


class Traits(NamedTuple):
    """What a model takes."""

    max_tokens: int
    """Sent where the caller names none, for Anthropic requires it: the model's own greatest, 64,000 at most."""
    has_budget: bool = False
    """Thinks within `budget_tokens`."""
    has_effort: bool = False
    """Thinks as it sees fit, within `output_config.effort`."""
    takes_sampling: bool = True
    """`temperature` and `top_p` are refused by newer ones."""
    takes_both: bool = True
    """`temperature` and `top_p` together."""
    efforts: frozenset[str] = frozenset()


_EFFORTS: Final = frozenset({"low", "medium", "high", "max"})

_ROWS: Final[tuple[tuple[Version, Traits], ...]] = (  # the first version that has the traits; newest first
    ((4, 7), Traits(64_000, has_effort=True, takes_sampling=False, efforts=_EFFORTS | {"xhigh"})),
    ((4, 6), Traits(64_000, has_effort=True, takes_both=False, efforts=_EFFORTS)),
    ((4, 5), Traits(64_000, has_budget=True, takes_both=False)),
    ((4, 1), Traits(32_000, has_budget=True, takes_both=False)),
    ((4, 0), Traits(32_000, has_budget=True)),
    ((3, 7), Traits(64_000, has_budget=True)),
    ((3, 5), Traits(8_192)),
    ((0, 0), Traits(4_096)),
)


def traits_of(model: str) -> Traits:
    """By the upstream's name, a vendor's prefix and a cloud's suffix aside."""
    version = version_of(model)
    return next(traits for first, traits in _ROWS if version >= first)


def version_of(model: str) -> Version:
    found = _VERSION.search(model.lower().replace(".", "-"))
    return _NEWEST if found is None else (int(found[1]), int(found[2] or 0))
