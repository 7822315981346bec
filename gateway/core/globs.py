"""Lists of model names as people write them: exact names and globs (`*` any text, `?` one character).

Names and patterns are compared in lower case. Exact names and `prefix*` are the usual case and cost a look-up each.
"""

import re
from collections.abc import Iterable
from fnmatch import translate

import msgspec


class ModelSet(msgspec.Struct, frozen=True):
    """Patterns, made ready to be asked often."""

    exact: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    """What stands before the `*` of `prefix*`."""
    globs: re.Pattern[str] | None = None
    """All other patterns as one."""

    def has(self, name_lower: str) -> bool:
        return (
            name_lower in self.exact
            or name_lower.startswith(self.prefixes)
            or (self.globs is not None and self.globs.match(name_lower) is not None)
        )


def model_set(patterns: Iterable[str]) -> ModelSet:
    """The set of names that any of `patterns` fits; no patterns fit nothing."""
    exact, prefixes, globs = [], [], []
    for pattern in (written.lower() for written in patterns):
        stem = pattern.removesuffix("*")
        if "*" in stem or "?" in stem:
            globs.append(pattern)
        elif stem != pattern:
            prefixes.append(stem)
        else:
            exact.append(pattern)
    return ModelSet(frozenset(exact), tuple(prefixes), _one_regex(globs) if globs else None)


def matches(name_lower: str, patterns: Iterable[str]) -> bool:
    """Whether any pattern fits. For a list that is asked often make a `model_set` once."""
    return model_set(patterns).has(name_lower)


def _one_regex(globs: Iterable[str]) -> re.Pattern[str]:
    # `[` has no meaning here; fnmatch's own translation cannot be made to backtrack for long
    return re.compile("|".join(translate(pattern.replace("[", "[[]")) for pattern in globs))
