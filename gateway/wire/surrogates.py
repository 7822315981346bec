"""Half surrogate pairs in JSON, which JavaScript writes where it cuts a text, and which Python's decoders refuse.

They are the upstream's or the client's to judge: we only need to read the members beside them.
"""

import re
from typing import Final

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def without_surrogates(text: bytes) -> bytes:
    r"""JSON with `\ufffd` for each escaped half of a pair: for reading, never for sending.

    Behind an escaped backslash it is no half, but then a text of the same length takes its place: still valid JSON.
    """
    return _SURROGATE.sub(_replacement, text)


def _replacement(_: re.Match[bytes]) -> bytes:
    """A function, for it lets other threads go on: 30 MB of nothing but halves take a second."""
    return rb"\ufffd"
