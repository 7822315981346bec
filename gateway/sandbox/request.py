"""One HTTP request as it came, and what a call's JSON body asks for."""

import math
import zlib
from typing import Any

import msgspec

_MAX_UNPACKED_BYTES = 64 * 1024 * 1024


class Request(msgspec.Struct):
    """One HTTP request, whole."""

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in wire order."""
    body: bytes
    keeps_alive: bool = True

    def header(self, name: bytes) -> str:
        """The first value of that name, "" when there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    @property
    def key(self) -> str:
        """The bearer token, or the `api-key` header as Azure has it."""
        scheme, _, token = self.header(b"authorization").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else self.header(b"api-key")

    @property
    def content(self) -> bytes:
        """The body, unpacked when it came gzipped. Raises zlib.error."""
        if self.header(b"content-encoding").lower() != "gzip":
            return self.body
        return zlib.decompressobj(wbits=31).decompress(self.body, _MAX_UNPACKED_BYTES)


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Message(msgspec.Struct, frozen=True):
    role: str
    content: Any = None

    @property
    def text(self) -> str:
        """The content, or its text parts joined."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content if isinstance(self.content, list) else []
        return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


class Asked(msgspec.Struct, frozen=True):
    """What the sandbox reads of a body; the rest is ignored."""

    model: str | None = None
    messages: list[Message] | None = None
    prompt: Any = None
    input: Any = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    dimensions: int | None = None
    encoding_format: str | None = None
    response_format: Any = None
    stream_format: Any = None
    voice: Any = None
    store: Any = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream) or self.stream_format == "sse"

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def wants_obfuscation(self) -> bool:
        return self.stream_options is None or self.stream_options.include_obfuscation is not False

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages or []) if message.role == "user"), "")

    @property
    def characters(self) -> int:
        in_messages = sum(len(message.text) for message in self.messages or ())
        return in_messages + sum(map(len, texts_of(self.prompt))) + sum(map(len, texts_of(self.input)))

    @property
    def prompt_tokens(self) -> int:
        return math.ceil(self.characters / 4)

    @property
    def charged_tokens(self) -> int:
        """What OpenAI charges at admission: max(characters / 4, max_tokens × n)."""
        most = self.max_completion_tokens or self.max_tokens or 0
        return max(self.prompt_tokens, most * (self.n or 1))


def texts_of(given: object) -> list[str]:
    """A `prompt` or `input`, whichever of its forms it has: text, texts, token ids, lists of token ids."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        return []
    if isinstance(given[0], int):
        return [_from_ids(given)]
    return [item if isinstance(item, str) else _from_ids(item) for item in given]


def _from_ids(ids: object) -> str:
    """A token id stands for four characters."""
    return " ".join(f"{id_:03d}" for id_ in ids if isinstance(id_, int)) if isinstance(ids, list) else ""


_decoder = msgspec.json.Decoder(Asked)


def read_asked_form(fields: dict[str, Any]) -> Asked:
    """The same of a form, whose values are all texts. Raises msgspec.ValidationError."""
    return msgspec.convert(fields, Asked, strict=False)


def read_asked(body: bytes) -> Asked:
    """Raises msgspec.DecodeError when it is not JSON, its subclass ValidationError when a type is wrong."""
    return _decoder.decode(body)
