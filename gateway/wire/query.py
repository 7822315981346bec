"""The query of a request: the few parameters that the gateway reads or replaces, all other bytes kept."""

from typing import Final
from urllib.parse import quote_plus, unquote_plus

from gateway.core.ids import ModelName

_MODEL: Final = b"model="


def model_in(query: bytes) -> ModelName | None:
    """The value of `model`; None when there is none, or an empty one."""
    model = value_in(query, _MODEL)
    return ModelName(model.strip()) or None if model else None


def value_in(query: bytes, prefix: bytes) -> str | None:
    """The first value of a parameter, decoded; `prefix` is its name with the `=`."""
    for part in query.split(b"&") if prefix in query else ():
        if part.startswith(prefix):
            return unquote_plus(part[len(prefix) :].decode("latin-1"))
    return None


def has_flag(query: bytes, name: bytes) -> bool:
    """Whether `name=true` is a parameter."""
    return name in query and any(part == name + b"=true" for part in query.split(b"&"))


def replace_model(query: bytes, new: ModelName) -> bytes:
    """`query` with `new` as each `model` it has; one without stays as it is."""
    if _MODEL not in query:
        return query
    value = _MODEL + quote_plus(new).encode()
    return b"&".join(value if part.startswith(_MODEL) else part for part in query.split(b"&"))
