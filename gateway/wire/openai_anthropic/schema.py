"""JSON schemas as Anthropic's structured outputs take them.

OpenAI's and Anthropic's strict schemas are nearly the same subset of JSON Schema. What only OpenAI takes goes into the
description, where the model reads it: Anthropic refuses a call for a keyword that it does not enforce.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_KEPT: Final = frozenset(
    {"$schema", "$id", "$ref", "title", "description", "type", "enum", "const", "default", "required", "properties",
     "items", "anyOf", "allOf", "$defs", "definitions", "additionalProperties"}
)  # fmt: skip
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf")
MAX_DEPTH: Final = 100


def strict_schema(schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """`schema` with closed objects and without the keywords that Anthropic refuses. What is no schema stays as it is.

    Raises RecursionError beyond `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise RecursionError("the schema is nested too deeply")
    made: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "oneOf":
            made["anyOf"] = _each(value, depth)
        elif key in _LISTS:
            made[key] = _each(value, depth)
        elif key in _MAPS and isinstance(value, dict):
            made[key] = {name: _inner(inner, depth) for name, inner in value.items()}
        elif key == "items":
            made[key] = _inner(value, depth)
        elif key in _KEPT or _is_taken(key, value):
            made[key] = value
        else:
            told[key] = value
    if "properties" in made or "object" in _as_list(made.get("type")):
        made["additionalProperties"] = False
    if told:
        made["description"] = _described(made.get("description"), told)
    return made


def _is_taken(key: str, value: object) -> bool:
    """Keywords of which some values are enforced."""
    if key == "format":
        return isinstance(value, str) and value in _FORMATS
    return key == "minItems" and value in (0, 1)


def _inner(value: Any, depth: int) -> Any:  # noqa: ANN401  # a schema, or what a caller wrote in its place
    return strict_schema(value, depth + 1) if isinstance(value, dict) else value


def _each(value: Any, depth: int) -> Any:  # noqa: ANN401  # the same
    return [_inner(inner, depth) for inner in value] if isinstance(value, list) else value


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _described(description: object, told: dict[str, Any]) -> str:
    constraints = msgspec.json.encode(told).decode()
    return f"{description}\n\n{constraints}" if isinstance(description, str) and description else constraints
