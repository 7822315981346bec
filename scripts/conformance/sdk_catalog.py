"""What the installed SDK can call: every method's path and the type of its answer, read from its source.

Each method of a resource ends in one of `self._get`, `_post`, … with a path, `cast_to=` and, for streams,
`stream_cls=`: `Operation`s are made of these expressions, evaluated where they stand.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, get_args

import msgspec
import openai.resources

VERBS = {"_get": "GET", "_post": "POST", "_put": "PUT", "_patch": "PATCH", "_delete": "DELETE", "_get_api_list": "GET"}
SKIPPED = ("openai.resources.admin",)
"""The organisation's administration: the gateway refuses it."""


class Operation(msgspec.Struct, frozen=True):
    """One call of the API."""

    method: str
    path: str
    """`/files/{file_id}`, below the version."""
    answer: Any
    """A type; None: no content."""
    event: Any = None
    """The type of a stream's events, where `stream: true` may be asked for."""
    is_binary: bool = False
    """The answer is a file."""


@cache
def operations() -> tuple[Operation, ...]:
    """One for each method and path. Of several methods for one path the first that may stream counts. Takes 3 s."""
    found: dict[tuple[str, str], Operation] = {}
    for operation in _all_operations():
        key = (operation.method, operation.path)
        known = found.get(key)
        if known is None or (known.event is None and operation.event is not None):
            found[key] = operation
    return tuple(found.values())


def _all_operations() -> Iterator[Operation]:
    for listed in pkgutil.walk_packages(openai.resources.__path__, "openai.resources."):
        if listed.name.startswith(SKIPPED):
            continue
        module = importlib.import_module(listed.name)
        if module.__file__ is None or listed.ispkg:
            continue
        with open(module.__file__, encoding="utf-8") as source:  # noqa: PTH123  # a path of the import system
            tree = ast.parse(source.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield from _operations_of(node, module)


def _operations_of(function: ast.FunctionDef, module: ModuleType) -> Iterator[Operation]:
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS):
            continue
        path = _path_of(node.args[0]) if node.args else None
        if path is None:
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        method = _value(given["method"], module).upper() if "method" in given else VERBS[node.func.attr]
        answer = _value(given.get("page") or given.get("cast_to"), module)
        if answer is Ellipsis:  # it depends on an argument: of what the annotation allows, the first is the usual
            answer = get_args(_value(function.returns, module))[0]
        event = _value(given.get("stream_cls"), module)
        yield Operation(
            method,
            path.partition("?")[0],
            None if answer is type(None) else answer,
            event=_event_of(event),
            is_binary=getattr(answer, "__name__", "") == "HttpxBinaryResponseContent",
        )


def _path_of(node: ast.expr) -> str | None:
    """`"/files"`, or the first argument of `path_template("/files/{file_id}", …)`."""
    if isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _value(node: ast.expr | None, module: ModuleType) -> Any:  # noqa: ANN401  # whatever stands there
    """What an expression of the SDK's own source is; Ellipsis when it needs the method's arguments."""
    if node is None:
        return None
    code = compile(ast.Expression(node), module.__name__, "eval")
    try:
        return eval(code, dict(vars(module)))  # noqa: S307  # source of an installed package, not input
    except NameError:
        return ...


def _event_of(stream: Any) -> Any:  # noqa: ANN401  # a type
    """`X` of `Stream[X]`, or of a class that is one."""
    for each in (stream, *getattr(stream, "__orig_bases__", ())):
        arguments = getattr(each, "__args__", None)
        if arguments:
            return arguments[0]
    return None
