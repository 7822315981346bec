"""Takes identifiers of accounts out of what an upstream wrote: organisations, projects, keys (whole or half masked).

The text goes to callers and into logs. A word that only looks like an identifier may be masked too: better than a leak.
"""

import re

_TOKENS = (
    r"(?:(org-)[A-Za-z0-9]{8,}"
    r"|(?<=organization )(org-)[A-Za-z0-9]+"  # named as one: then however short it is
    r"|(org_)[0-9A-Za-z]{20,}"  # Groq's organisations
    r"|(?:(?<=organization \()|(?<=org: ))()[0-9a-f]{8}(?:-[0-9a-f]{4,12}){4}"  # Anthropic's
    r"|(proj_)[A-Za-z0-9]{6,}"
    r"|(sk-)[A-Za-z0-9_*-]{8,}"  # also `sk-ab***xyz`, as OpenAI repeats a wrong key
    r"|(gsk_)[A-Za-z0-9*]{8,}"  # Groq's keys
    r"|((?:csk|nvapi)-)[A-Za-z0-9_*-]{12,}"  # keys of Cerebras, NVIDIA
    r"|((?:hf|fw)_)[A-Za-z0-9*]{16,}"  # of Hugging Face, Fireworks
    r"|(AIza)[A-Za-z0-9_*-]{12,}"  # Google's
    r"|(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{4,}"  # access tokens
    r"|(xai-)[A-Za-z0-9_*-]{8,})"
)
_START = r"(?<![A-Za-z0-9])"  # not inside a word: `task-12345678` stays
_AFTER_ESCAPE = r"(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})"  # in JSON's bytes a token may stand right behind an escape

_IN_TEXT = re.compile(_START + _TOKENS)
_IN_JSON = re.compile(f"(?:{_START}|{_AFTER_ESCAPE}){_TOKENS}".encode())


def masked_identifiers(text: str) -> str:
    """`org-AbCd1234` → `org-***`."""
    return _IN_TEXT.sub(lambda found: found[found.lastindex or 0] + "***", text)


def masked_identifiers_in_bytes(body: bytes) -> bytes:
    """The same on a whole body. JSON stays valid JSON; its length changes."""
    return _IN_JSON.sub(lambda found: found[found.lastindex or 0] + b"***", body)
