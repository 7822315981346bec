"""The smallest JSON value that a type of the SDK accepts: required fields alone, of a union the first member."""

import types
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

PLAIN: Mapping[Any, Any] = {
    str: "string", int: 1, float: 1.5, bool: True, bytes: "string", datetime: "2026-11-21T12:00:00Z",
    date: "2026-11-21", object: {}, Any: {}, type(None): None,
}  # fmt: skip


def sample(wanted: Any, within: tuple[Any, ...] = ()) -> Any:  # noqa: ANN401, PLR0911  # a type; a case for each kind
    """`within`: the models that this value is a part of; one that holds itself ends there."""
    if wanted in PLAIN:
        return PLAIN[wanted]
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return sample(arguments[0], within)
    if origin is Literal:
        return arguments[0]
    if origin in {Union, types.UnionType}:
        return sample(_member(arguments, within), within)
    if origin in {list, tuple, set} or getattr(origin, "__name__", "") in {"Iterable", "Sequence"}:
        return [] if arguments[0] in within else [sample(arguments[0], within)]
    if origin in {dict, Mapping}:
        return {"key": sample(arguments[1], within)}
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return _model(wanted, within)
    raise TypeError(f"no sample of {wanted}")


def _member(members: tuple[Any, ...], within: tuple[Any, ...]) -> Any:  # noqa: ANN401  # a type
    """The first that is something and does not hold itself."""
    something = [each for each in members if each is not type(None) and each not in within]
    return something[0] if something else type(None)


def _model(wanted: type[BaseModel], within: tuple[Any, ...]) -> dict[str, Any]:
    return {
        field.alias or name: sample(field.annotation, (*within, wanted))
        for name, field in wanted.model_fields.items()
        if field.is_required() or type(None) not in get_args(field.annotation)
    }
