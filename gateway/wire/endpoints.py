"""The table of endpoints, and the look-up of one by method and path.

A path may hold `{name}` for one segment and, at its end, `{name...}` for all that is left, slashes included. Where
several rows fit, a written segment beats `{name}`, which beats `{name...}`. Paths are those of the request line, still
percent-encoded and below the version (`/chat/completions`): decoding first would make a slash of a `%2F` in an id.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import msgspec

from gateway.core.call import BodyKind, Endpoint, ModelUse, Schema
from gateway.wire.endpoint_rows import anthropic, assistants, generation, storage

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(name="models.list", method="GET", path="/models", body=BodyKind.NONE, is_own=True),
    Endpoint(name="models.get", method="GET", path="/models/{model...}", body=BodyKind.NONE, is_own=True),
    *generation.ROWS,
    *storage.ROWS,
    *assistants.ROWS,
    *anthropic.ROWS,
)

UNLISTED_MODEL: Final = Endpoint(
    name="models.get", method="GET", path="/models/{model...}", body=BodyKind.NONE, is_stateless=True
)
"""What the row of this name becomes for a model that no account lists: its upstream is asked."""
_UNSAFE_METHODS: Final = frozenset({"POST", "PATCH"})
"""Of endpoints that nobody knows, those that may make something."""

_ANY: Final = "{}"
"""Branch for `{name}`. No written segment can be this: braces are encoded in a path."""


class _Branch(msgspec.Struct):
    """A node of the tree of segments."""

    branches: dict[str, "_Branch"] = {}
    here: dict[str, Endpoint] = {}
    """Method → row whose path ends here."""
    below: dict[str, Endpoint] = {}
    """Method → row whose `{name...}` begins here."""


class EndpointTable:
    """An index of rows: one dict look-up for a path without names, a walk through a tree of segments for the others."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._written: dict[tuple[str, str], Endpoint] = {}
        self._tree = _Branch()
        for endpoint in endpoints:
            self._written[endpoint.method, endpoint.path] = endpoint
            self._plant(endpoint)

    def find(self, method: str, path: str) -> Endpoint | None:
        """The row for a request, or None. `method` is in capitals."""
        return self._written.get((method, path)) or self._methods(path).get(method)

    def allowed_methods(self, path: str) -> tuple[str, ...]:
        """Methods that some row has for `path`, in order; empty when the path is unknown. For a 405's `Allow`."""
        return tuple(sorted(self._methods(path)))

    def _plant(self, endpoint: Endpoint) -> None:
        branch = self._tree
        for segment in _segments(endpoint.path):
            if segment.endswith("...}"):
                branch.below[endpoint.method] = endpoint
                return
            branch = branch.branches.setdefault(_ANY if segment.startswith("{") else segment, _Branch())
        branch.here[endpoint.method] = endpoint

    def _methods(self, path: str) -> dict[str, Endpoint]:
        """Method → best row for `path`."""
        segments = _segments(path)
        found: dict[str, Endpoint] = {}
        branches = [self._tree]
        for depth, segment in enumerate(segments):
            for branch in branches:
                if branch.below and any(segments[depth:]):
                    found = found | branch.below
            names = (_ANY, segment) if segment else ()
            branches = [branch.branches[name] for name in names for branch in branches if name in branch.branches]
            if not branches:  # a path of thousands of segments costs no more than one of three
                return found
        for branch in branches:
            found = found | branch.here
        return found


def other(method: str) -> Endpoint:
    """The row for whatever the table has not: OpenAI adds paths every month, vendors have their own.

    All of them are one endpoint in labels, scopes and limits: callers choose the paths.
    """
    return Endpoint(
        name="other",
        method=method,
        path="",
        body=BodyKind.ANY,
        model=ModelUse.OPTIONAL,
        is_creating=method in _UNSAFE_METHODS,
        is_download=True,
    )


def as_anthropics(endpoint: Endpoint) -> Endpoint:
    """The row for callers who speak Anthropic's API at a path that both APIs have (files, agents), or no row has."""
    return msgspec.structs.replace(
        endpoint, schema=Schema.ANTHROPIC, goes_with=anthropic.GOES_WITH, model=ModelUse.NONE
    )


def as_head(endpoint: Endpoint) -> Endpoint:
    """The row of a GET for who asks for its head alone. Nothing of a body comes back that could be read."""
    return msgspec.structs.replace(endpoint, method="HEAD", is_list=False, is_download=True)


def path_values(endpoint: Endpoint, path: str) -> dict[str, str]:
    """Values of the names in `endpoint.path`, percent-decoded once. `path` is one that `find` gave this row for."""
    segments = _segments(path)
    values: dict[str, str] = {}
    for depth, name in enumerate(_segments(endpoint.path)):
        if name.endswith("...}"):
            values[name[1:-4]] = unquote("/".join(segments[depth:]))
        elif name.startswith("{"):
            values[name[1:-1]] = unquote(segments[depth])
    return values


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


_TABLE: Final = EndpointTable(ENDPOINTS)
find: Final = _TABLE.find
allowed_methods: Final = _TABLE.allowed_methods
