"""The query of a request: the few parameters that the gateway reads or replaces, all other bytes kept."""

from collections.abc import Container, Iterator
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from gateway.core.ids import ModelName
from gateway.wire.refusals import two_models

_MODEL: Final = b"model"


def model_in(query: bytes) -> ModelName | None:
    """The value of `model`; None when there is none, or an empty one.

    Raises InvalidCall for two that differ: nobody knows which one an upstream reads.
    """
    if not _may_name_model(query):
        return None
    models = {unquote_plus(value.decode("latin-1")).strip() for value in _models(query)} - {""}
    if len(models) > 1:
        raise two_models("query")
    return ModelName(models.pop()) if models else None


def has_flag(query: bytes, name: bytes) -> bool:
    """Whether `name=true` is a parameter."""
    return name in query and any(part == name + b"=true" for part in query.split(b"&"))


def with_model(query: bytes, new: ModelName) -> bytes:
    """`query` with `new` as each `model` it has; one without stays as it is."""
    if not _may_name_model(query):
        return query
    value = _MODEL + b"=" + quote_plus(new).encode()
    return b"&".join(value if _is_model(part.partition(b"=")[0]) else part for part in query.split(b"&"))


def _models(query: bytes) -> Iterator[bytes]:
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if _is_model(name):
            yield value


def _may_name_model(query: bytes) -> bool:
    return _MODEL in query or b"%" in query


def _is_model(name: bytes) -> bool:
    return name == _MODEL or (b"%" in name and unquote_plus(name.decode("latin-1")) == "model")


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
