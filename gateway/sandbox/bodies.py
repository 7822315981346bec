"""What the sandbox says, and its JSON answers. Deterministic: the same question has the same words."""

import base64
import hashlib
import math
import re
from array import array
from functools import lru_cache

import msgspec

from gateway.sandbox.config import Behaviour
from gateway.sandbox.request import Asked, texts_of

_WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")
_FLAGGED = "flag me"
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


class Identity(msgspec.Struct, frozen=True):
    """What differs from answer to answer."""

    number: int
    """1 for the sandbox's first answer."""
    created: int
    """Unix seconds."""
    model: str
    """As the answer names it."""

    def id(self, prefix: str) -> str:
        return f"{prefix}-{self.number:024d}"


def answer_texts(asked: Asked, behaviour: Behaviour) -> list[str]:
    """The texts of all choices: `n` for each prompt. Long enough for the behaviour's number of chunks."""
    questions = [asked.last_user_text] if asked.messages is not None else texts_of(asked.prompt) or [""]
    return [_text(question, behaviour) for question in questions for _ in range(asked.n or 1)]


def _text(question: str, behaviour: Behaviour) -> str:
    text = f"echo: {question}" if behaviour.tokens is None else counted_words(behaviour.tokens)
    return text.ljust(behaviour.chunks, ".") if behaviour.chunks is not None else text


@lru_cache(maxsize=64)
def counted_words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(1, count + 1))


def split_text(text: str, chunks: int | None) -> list[str]:
    """Pieces that join to `text`: words, or `chunks` pieces of about one length."""
    if chunks is None:
        return _WORD.findall(text)
    return [text[index * len(text) // chunks : (index + 1) * len(text) // chunks] for index in range(chunks)]


def usage_of(asked: Asked, texts: list[str], behaviour: Behaviour) -> dict[str, object]:
    """A word is a token; a prompt has a token for four characters."""
    output = sum(len(text.split()) if behaviour.tokens is None else behaviour.tokens for text in texts)
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": asked.prompt_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def write_chat(asked: Asked, who: Identity, behaviour: Behaviour) -> bytes:
    texts = answer_texts(asked, behaviour)
    body = {
        "id": who.id("chatcmpl"),
        "object": "chat.completion",
        "created": who.created,
        "model": who.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": behaviour.finish_reason,
            }
            for index, text in enumerate(texts)
        ],
        "usage": usage_of(asked, texts, behaviour),
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }
    return _indented(body)


def write_completion(asked: Asked, who: Identity, behaviour: Behaviour) -> bytes:
    texts = answer_texts(asked, behaviour)
    body = {
        "id": who.id("cmpl"),
        "object": "text_completion",
        "created": who.created,
        "model": who.model,
        "choices": [
            {"text": text, "index": index, "logprobs": None, "finish_reason": behaviour.finish_reason}
            for index, text in enumerate(texts)
        ],
        "usage": usage_of(asked, texts, behaviour),
    }
    return _indented(body)


def write_embeddings(asked: Asked, who: Identity) -> bytes:
    """Unit vectors made from a hash of each text; base64 of little-endian floats when asked for."""
    inputs = texts_of(asked.input)
    is_packed = asked.encoding_format == "base64"
    vectors = [_vector(text, asked.dimensions or 1536) for text in inputs]
    rows = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode() if is_packed else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = asked.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _indented({"object": "list", "data": rows, "model": who.model, "usage": usage})


def _vector(text: str, dimensions: int) -> "array[float]":
    raw = array("h", hashlib.shake_128(text.encode()).digest(2 * dimensions))
    length = math.sqrt(sum(number * number for number in raw)) or 1.0
    return array("f", [number / length for number in raw])


def write_moderations(asked: Asked, who: Identity) -> bytes:
    """Flags as violence what holds the words "flag me"."""
    results = []
    for text in texts_of(asked.input):
        flagged = {name: name == "violence" and _FLAGGED in text for name in _CATEGORIES}
        scores = {name: 0.99 if is_flagged else 0.01 for name, is_flagged in flagged.items()}
        results.append({"flagged": any(flagged.values()), "categories": flagged, "category_scores": scores})
    return _indented({"id": who.id("modr"), "model": who.model, "results": results})


def write_models(names: list[str], created: int) -> bytes:
    return _indented({"object": "list", "data": [_model(name, created) for name in names]})


def write_model(name: str, created: int) -> bytes:
    return _indented(_model(name, created))


def _model(name: str, created: int) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created, "owned_by": "openai"}


def _indented(body: object) -> bytes:
    """OpenAI indents its JSON answers by two: what re-encodes them cannot keep their bytes."""
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"
