"""Images and sound: bodies and typed events. The picture is one grey point, the sound is the text that is spoken."""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sandbox.bodies import split_text
from gateway.sandbox.form import read_form
from gateway.sandbox.request import Asked, Request

_POINT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A PNG."""
_USAGE = {"total_tokens": 20, "input_tokens": 8, "output_tokens": 12}
_HEARD = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
    "output_tokens": 9,
    "total_tokens": 23,
}
"""Usage of a transcript. LiteLLM refuses one of tokens without their details."""
SPOKEN_FORMS = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def write_images(asked: Asked, created: int) -> bytes:
    images = [{"b64_json": _POINT} for _ in range(asked.n or 1)]
    return _json({"created": created, "data": images, "usage": _USAGE})


def image_events(family: str, created: int) -> Iterator[bytes]:
    """`family`: `image_generation` or `image_edit`."""
    common = {"b64_json": _POINT, "created_at": created, "size": "1024x1024", "quality": "high"}
    yield _event({"type": f"{family}.partial_image", "partial_image_index": 0, **common})
    yield _event({"type": f"{family}.completed", "usage": _USAGE, **common})


def speech_of(asked: Asked) -> bytes:
    return b"ID3" + str(asked.input).encode()


def speech_events(asked: Asked) -> Iterator[bytes]:
    for word in split_text(str(asked.input), None):
        yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(word.encode()).decode()})
    yield _event({"type": "speech.audio.done", "usage": _USAGE})


def heard_in(request: Request) -> str | None:
    """What a recording says: its name and its length. None: the form holds no file."""
    parts = read_form(request.header(b"content-type"), request.content) or []
    file = next((part for part in parts if part.name == "file" and part.filename is not None), None)
    return None if file is None else f"echo: {file.filename} of {len(file.value)} bytes"


def write_transcript(text: str) -> bytes:
    return _json({"text": text, "usage": _HEARD})


def transcript_events(text: str) -> Iterator[bytes]:
    for word in split_text(text, None):
        yield _event({"type": "transcript.text.delta", "delta": word})
    yield _event({"type": "transcript.text.done", "text": text, "usage": _HEARD})


def _event(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def _json(body: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"
