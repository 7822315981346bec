"""Streams as OpenAI sends them: role, content, finish, usage (when asked for), [DONE]; each event one bytes."""

from collections.abc import Iterator

import msgspec

from gateway.sandbox.answer import Pause
from gateway.sandbox.bodies import Identity, answer_texts, split_text, usage_of
from gateway.sandbox.config import Behaviour
from gateway.sandbox.request import Asked

DONE = b"data: [DONE]\n\n"
_OBFUSCATION = "b7Kx0QmZt4Lw9RsV"


class _Frame(msgspec.Struct, frozen=True):
    """What all events of one stream have around their choices. Made once, so that an event is a join of bytes."""

    before: bytes
    after: bytes
    obfuscates: bool

    def event(self, choices: bytes, content: str = "") -> bytes:
        hidden = b""
        if self.obfuscates:
            hidden = b',"obfuscation":"%b"' % _OBFUSCATION[: 1 + len(content) % 16].encode()
        return b"%b%b%b%b}\n\n" % (self.before, choices, self.after, hidden)


def chat_events(asked: Asked, who: Identity, behaviour: Behaviour, *, obfuscates: bool) -> Iterator[bytes | Pause]:
    frame = _chat_frame(asked, who, obfuscates=obfuscates)
    texts = answer_texts(asked, behaviour)
    for index in range(len(texts)):
        yield frame.event(_chat_choice(index, b'{"role":"assistant","content":"","refusal":null}'))
    for index, piece in _paced(texts, behaviour):
        if isinstance(piece, Pause):
            yield piece
        else:
            yield frame.event(_chat_choice(index, b'{"content":%b}' % msgspec.json.encode(piece)), piece)
    for index in range(len(texts)):
        yield frame.event(_chat_choice(index, b"{}", behaviour.finish_reason))
    yield from _end(frame, asked, texts, behaviour)


def completion_events(
    asked: Asked, who: Identity, behaviour: Behaviour, *, obfuscates: bool
) -> Iterator[bytes | Pause]:
    frame = _completion_frame(asked, who, obfuscates=obfuscates)
    texts = answer_texts(asked, behaviour)
    for index, piece in _paced(texts, behaviour):
        if isinstance(piece, Pause):
            yield piece
        else:
            yield frame.event(_completion_choice(index, piece), piece)
    for index in range(len(texts)):
        yield frame.event(_completion_choice(index, "", behaviour.finish_reason))
    yield from _end(frame, asked, texts, behaviour)


def _paced(texts: list[str], behaviour: Behaviour) -> Iterator[tuple[int, str | Pause]]:
    """The pieces of all choices in turn, with the pauses between them."""
    pieces = [split_text(text, behaviour.chunks) for text in texts]
    gap = Pause(behaviour.gap_s) if behaviour.gap_s > 0 else None
    if behaviour.first_token_s > 0:
        yield 0, Pause(behaviour.first_token_s)
    for turn in range(max(map(len, pieces), default=0)):
        if turn and gap is not None:
            yield 0, gap
        for index, of_choice in enumerate(pieces):
            if turn < len(of_choice):
                yield index, of_choice[turn]


def _end(frame: _Frame, asked: Asked, texts: list[str], behaviour: Behaviour) -> Iterator[bytes]:
    if asked.wants_usage:
        usage = msgspec.json.encode(usage_of(asked, texts, behaviour))
        with_usage = msgspec.structs.replace(frame, after=frame.after.replace(b'"usage":null', b'"usage":%b' % usage))
        yield with_usage.event(b"[]")
    yield DONE


def _chat_frame(asked: Asked, who: Identity, *, obfuscates: bool) -> _Frame:
    before = b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,' % (
        who.id("chatcmpl").encode(),
        who.created,
        msgspec.json.encode(who.model),
    )
    before += b'"service_tier":"default","system_fingerprint":"fp_sandbox","choices":'
    return _Frame(before, b',"usage":null' if asked.wants_usage else b"", obfuscates)


def _completion_frame(asked: Asked, who: Identity, *, obfuscates: bool) -> _Frame:
    before = b'data: {"id":"%b","object":"text_completion","created":%d,"choices":' % (
        who.id("cmpl").encode(),
        who.created,
    )
    after = b',"model":%b' % msgspec.json.encode(who.model)
    return _Frame(before, after + (b',"usage":null' if asked.wants_usage else b""), obfuscates)


def _chat_choice(index: int, delta: bytes, finish: str | None = None) -> bytes:
    return b'[{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]' % (
        index,
        delta,
        msgspec.json.encode(finish),
    )


def _completion_choice(index: int, text: str, finish: str | None = None) -> bytes:
    return b'[{"text":%b,"index":%d,"logprobs":null,"finish_reason":%b}]' % (
        msgspec.json.encode(text),
        index,
        msgspec.json.encode(finish),
    )
