"""The query of a request: the few parameters that the gateway reads or replaces, all other bytes kept."""

from collections.abc import Container
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


def without(query: bytes, names: Container[str]) -> bytes:
    """`query` without the parameters of these names, which are in lower case."""
    parts = query.split(b"&")
    kept = [part for part in parts if unquote_plus(part.partition(b"=")[0].decode("latin-1")).lower() not in names]
    return query if len(kept) == len(parts) else b"&".join(kept)


def first_of(query: bytes, names: Container[str]) -> str | None:
    """The value of the first parameter that has one of these names, which are in lower case."""
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if value and unquote_plus(name.decode("latin-1")).lower() in names:
            return unquote_plus(value.decode("latin-1"))
    return None
