"""`Location` in answers: what leads back to the provider leads through the gateway, what leads elsewhere stays.

So it is with the URLs in bodies that SDKs follow, with the caller's key: `Endpoint.places` names them.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.providers.base import Destination, Headers

OURS = b"/v1"
PLACES = frozenset({b"location", b"content-location", b"operation-location"})  # the last is Azure's


def with_our_location(headers: Headers, destination: Destination) -> Headers:
    """`headers` with `location` as a caller can follow it: `https://api.openai.com/v1/x` and `/v1/x` give `/v1/x`."""
    return tuple((name, _ours(value, destination) if name in PLACES else value) for name, value in headers)


def with_our_places(body: bytes, places: Iterable[str], destination: Destination) -> bytes:
    """A JSON body with these members, wherever they stand, as a caller can follow them: paths below its base URL."""
    for place in places:
        member = re.compile(b'("' + place.encode() + rb'"[ \t\n\r]*:[ \t\n\r]*")([^"\\]*)"')
        body = member.sub(lambda found: found[1] + _ours(found[2], destination) + b'"', body)
    return body


def _ours(value: bytes, destination: Destination) -> bytes:
    try:
        url = urlsplit(value.decode("ascii"))
        port = url.port
    except ValueError:  # no URL, or not in ASCII: nobody can follow it
        return value
    origin = destination.origin
    is_theirs = not url.netloc or (url.hostname == origin.host.lower() and port in {None, origin.port})
    path = url.path.encode()
    if not is_theirs or not path.startswith(destination.prefix + b"/"):
        return value
    query = b"?" + url.query.encode() if url.query else b""
    return OURS + path[len(destination.prefix) :] + query
