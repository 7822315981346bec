"""Paths below `/v1` that callers write and that go upstream as they are: which of them may."""

import re
from typing import Final
from urllib.parse import unquote

from gateway.core.errors import InvalidCall, NotAllowed

ADMIN_AREAS: Final = ("organization", "projects")
"""Beginnings of the first segment of OpenAI's administration: it would let a caller change the account itself."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:~-]*")
"""A path in which nothing can hide."""
_ENDS: Final = re.compile(r"[/\\?#;%\s]")
_WRITTEN: Final = re.compile(r"[!-~]*")
"""What may stand in a path: ASCII without spaces and control characters."""


def check_path(path: str) -> None:
    """Raises InvalidCall for a path that another server could read as one elsewhere, NotAllowed for administration.

    `path` is still percent-encoded. Segments `.` and `..`, written or encoded, would leave the place below which the
    account's base URL allows calls; control characters could end the request line.
    """
    plain = path
    if _PLAIN.fullmatch(path) is None:
        plain = unquote(path, "latin-1").replace("\\", "/")
        if _WRITTEN.fullmatch(path) is None or any(letter < " " or letter == "\x7f" for letter in plain):
            raise _unreadable("it holds characters that must be percent-encoded, or control characters")
    segments = [segment for segment in plain.split("/") if segment]
    if "." in segments or ".." in segments:
        raise _unreadable("it holds a segment `.` or `..`")
    while segments and segments[0].lower() == "v1":  # written twice, as bases that end in it tempt to
        segments.pop(0)
    if segments and segments[0].lower().startswith(ADMIN_AREAS):
        raise NotAllowed("Organization administration does not go through this gateway.", code="admin_path_refused")


def has_hidden_ends(path: str) -> bool:
    """Whether a segment holds what another server could take for its end: `/files/file-1%2Fcontent`, `/files/file-1;x`.

    Its owner is then not known by the id that we read.
    """
    if "%" not in path and ";" not in path:
        return False
    return any(_ENDS.search(unquote(segment)) for segment in path.split("/"))


def usual_path(path: str) -> str:
    """The path as it is usually written: nothing encoded, no empty segments. Upstreams may take both for the same."""
    return "/" + "/".join(segment for segment in unquote(path).replace("\\", "/").split("/") if segment)


def _unreadable(why: str) -> InvalidCall:
    return InvalidCall(f"The path of the request is not taken: {why}.", code="invalid_path")
