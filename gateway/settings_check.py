"""A tree of settings → values of the types in `settings.py`, or problems: each with its place and what is allowed."""

import difflib
import math
import re
import types
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from gateway.core.ids import Secret
from gateway.settings import RouteDeclaration, from_text
from gateway.settings_sources import PREFIX, Node, SettingProblem

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LONGEST_SHOWN = 24
"""A wrong value is shown when it is short: a credential in the wrong place is longer."""
UNSET: Any = object()
"""What could not be built; its problem is on the list."""


class Checker:
    """Builds values and collects problems. One per start."""

    def __init__(self) -> None:
        self.problems: list[SettingProblem] = []

    def build(self, node: Node, wanted: Any, key: str) -> Any:  # noqa: ANN401  # any type of settings.py
        """The value of type `wanted` that `node` describes, else UNSET. `key` is its path, `server.port`."""
        wanted, is_optional = _bare(wanted)
        if node.value is None:
            return None if is_optional else UNSET
        if wanted is RouteDeclaration and node.text is not None:
            return RouteDeclaration(provider=node.text)
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self._struct(node, wanted, key)
        match get_origin(wanted):
            case kind if kind is dict:
                return self._mapping(node, get_args(wanted)[1], key)
            case kind if kind in {list, tuple}:
                items = self._items(node, get_args(wanted)[0], key)
                return items if items is UNSET else kind(items)
            case _:
                return self._leaf(node, wanted, key)

    def refuse(self, node: Node, key: str, message: str) -> Any:  # noqa: ANN401  # UNSET, whatever was wanted
        """Puts a problem on the list. The setting is named unless its place is the variable itself."""
        named = message if node.place.startswith(PREFIX) or not key else f"{key} {message}"
        self.problems.append(SettingProblem(node.place, named))
        return UNSET

    def _struct(self, node: Node, wanted: type[msgspec.Struct], key: str) -> Any:  # noqa: ANN401  # a `wanted`
        if not isinstance(node.value, dict):
            return self.refuse(node, key, f"must be a section with {_listed(_names(wanted))}")
        fields = {field.name: field for field in msgspec.structs.fields(wanted)}
        values = {}
        for name, below in node.value.items():
            if name not in fields:
                self._unknown(below, name, fields, key)
                continue
            value = self.build(below, fields[name].type, _joined(key, name))
            if value is not UNSET:
                values[name] = value
        missing = [name for name, field in fields.items() if field.required and name not in node.value]
        for name in missing:
            self.refuse(node, key, f"needs {name}")
        if missing or any(field.required and name not in values for name, field in fields.items()):
            return UNSET
        return wanted(**values)

    def _mapping(self, node: Node, wanted: Any, key: str) -> Any:  # noqa: ANN401  # a dict of `wanted`
        source = _from_json(node, dict)
        if not isinstance(source.value, dict):
            return self.refuse(node, key, "must be a mapping of names to values (in a variable: JSON)")
        built = {name: self.build(below, wanted, _joined(key, name)) for name, below in source.value.items()}
        return {name: value for name, value in built.items() if value is not UNSET}

    def _items(self, node: Node, wanted: Any, key: str) -> Any:  # noqa: ANN401  # a list of `wanted`
        source = _from_json(node, list)
        if source.text is not None and _is_text(wanted):
            parts = [part.strip() for part in source.text.split(",") if part.strip()]
            source = Node([Node(part, node.place, part, node.is_expanded) for part in parts], node.place)
        if not isinstance(source.value, list):
            return self.refuse(node, key, "must be a list (in a variable: JSON)")
        built = [self.build(item, wanted, f"{key}[{place}]") for place, item in enumerate(source.value)]
        return [value for value in built if value is not UNSET]

    def _leaf(self, node: Node, wanted: Any, key: str) -> Any:  # noqa: ANN401  # a `wanted`
        bare, _ = _bare(wanted, keep_limits=False)
        if bare in {object, Any}:
            return plain(node)
        if node.text is None:
            return self.refuse(node, key, f"must be {allowed(wanted)}")
        try:
            return msgspec.convert(_prepared(node.text, bare, key), wanted, strict=False, dec_hook=from_text)
        except (msgspec.ValidationError, ValueError):
            shown = "" if _is_private(node, bare) else f", not {node.text!r}"
            return self.refuse(node, key, f"must be {allowed(wanted)}{shown}")

    def _unknown(self, node: Node, name: str, names: Iterable[str], key: str) -> None:
        known = [field for field in names if key or field not in {"openai", "env"}]
        near = difflib.get_close_matches(name, known, n=1)
        if node.place.startswith(PREFIX):
            prefix = PREFIX + "".join(f"{step}__" for step in key.upper().split(".") if step)
            spelled = [prefix + field.upper() for field in known]
            suggestion = prefix + near[0].upper() if near else ""
        else:
            spelled = known
            suggestion = _joined(key, near[0]) if near else ""
        hint = f"; did you mean {suggestion}?" if suggestion else "."
        self.refuse(node, _joined(key, name), f"is not a known setting{hint} Known here: {_listed(spelled)}")


def allowed(wanted: Any) -> str:  # noqa: ANN401  # any type of settings.py
    """What a value of the type may be, in words."""
    wanted, _ = _bare(wanted)
    limits = next((part for part in get_args(wanted)[1:] if isinstance(part, msgspec.Meta)), msgspec.Meta())
    bare, _ = _bare(wanted, keep_limits=False)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return "one of " + ", ".join(str(member.value) for member in bare)
    words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}.get(bare, "text")
    if bare is str and limits.min_length:
        return "text that is not empty"
    parts = []
    for word, limit in (("of at least", limits.ge), ("greater than", limits.gt), ("at most", limits.le)):
        if limit is not None:
            parts.append(f"{word} {limit:g}" if isinstance(limit, float) else f"{word} {limit}")
    return f"{words} {' and '.join(parts)}" if parts else words


def plain(node: Node) -> object:
    """The tree below as plain JSON values: for settings that are free."""
    if isinstance(node.value, dict):
        return {name: plain(below) for name, below in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value if isinstance(node.value, str | int | float | bool | None) else node.text


def _bare(wanted: Any, *, keep_limits: bool = True) -> tuple[Any, bool]:  # noqa: ANN401  # any type of settings.py
    """The type without `| None`, and whether that stood there; without its limits too if asked."""
    is_optional = False
    if get_origin(wanted) in {Union, types.UnionType}:
        is_optional = type(None) in get_args(wanted)
        wanted = next(part for part in get_args(wanted) if part is not type(None))
    if get_origin(wanted) is Annotated and not keep_limits:
        wanted = get_args(wanted)[0]
    return wanted, is_optional


def _prepared(text: str, bare: Any, key: str) -> object:  # noqa: ANN401  # any type of settings.py
    """Spellings that people use and msgspec does not know. Raises ValueError for what is no number."""
    if bare is bool and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if bare is int and key.endswith("_bytes") and (size := _SIZE.fullmatch(text.strip())):
        return int(float(size.group(1)) * _UNITS[size.group(2).lower()])
    if bare is float and not math.isfinite(float(text)):
        raise ValueError(text)
    return text


def _from_json(node: Node, kind: type) -> Node:
    """A variable's text as a tree when it is JSON of the right kind."""
    if node.text is None or not node.text.lstrip().startswith("{" if kind is dict else "["):
        return node
    try:
        return _tree(msgspec.json.decode(node.text), node)
    except msgspec.DecodeError:
        return node


def _tree(value: object, source: Node) -> Node:
    if isinstance(value, dict):
        return Node({str(name): _tree(below, source) for name, below in value.items()}, source.place)
    if isinstance(value, list):
        return Node([_tree(item, source) for item in value], source.place)
    text = None if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Node(value, source.place, text, source.is_expanded)


def _is_text(wanted: Any) -> bool:  # noqa: ANN401  # any type of settings.py
    return _bare(wanted, keep_limits=False)[0] in {str, Secret}


def _is_private(node: Node, bare: Any) -> bool:  # noqa: ANN401  # any type of settings.py
    return bare is Secret or node.is_expanded or node.text is None or len(node.text) > _LONGEST_SHOWN


def _names(wanted: type[msgspec.Struct]) -> Iterable[str]:
    return (field.name for field in msgspec.structs.fields(wanted))


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
