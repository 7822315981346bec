"""Where settings come from: variables, `.env` and YAML, each read into one tree whose values know their place.

Rules of this file: only `${NAME}` is replaced here; `settings_check.py` holds the tree against the types.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import yaml

PREFIX = "GATEWAY_"
CONTROL_NAMES = frozenset({"GATEWAY_ENV", "GATEWAY_CONFIG"})
"""They choose the files, and are no settings themselves."""
PLAIN_NAMES = {"DATABASE_URL": "database_url", "LISTEN_DATABASE_URL": "listen_database_url"}
"""Variables without our prefix, by custom."""
OPENAI_NAMES = {
    "OPENAI_API_KEY": "keys",
    "OPENAI_API_KEYS": "keys",
    "OPENAI_ORG_ID": "organization",
    "OPENAI_PROJECT_ID": "project",
    "OPENAI_BASE_URL": "base_url",
}
SECRET_NAMES = frozenset(
    {
        "database_url",
        "listen_database_url",
        "admin_token",
        "encryption_keys",
        "api_key",
        "client_secret",
        "client_certificate",
        "proxy",
    }
)
"""Settings that may be given as a file's name, with `_file` after their own."""
SECRET_VARIABLES = frozenset({"DATABASE_URL", "LISTEN_DATABASE_URL", "OPENAI_API_KEY", "OPENAI_API_KEYS"})

_REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_SERVICE_LINK = re.compile(r"GATEWAY_(SERVICE_(HOST|PORT)(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")
"""Kubernetes puts these into every pod beside a service named `gateway`: they are not ours to judge."""


class SettingProblem(msgspec.Struct, frozen=True):
    """One reason why the settings cannot be used. Holds no secret."""

    place: str
    """`gateway.yaml:7`, `GATEWAY_SERVER__PORT (environment)`."""
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class InvalidSettings(Exception):
    """The start stops here. Its text lists every problem, one a line."""

    def __init__(self, *problems: SettingProblem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Node(msgspec.Struct, frozen=True):
    """One value of the tree."""

    value: "object | dict[str, Node] | list[Node]"
    place: str
    text: str | None = None
    """A scalar as it was written, references replaced; None for mappings, lists and null."""
    is_expanded: bool = False
    """It came through `${NAME}`, and may be a secret wherever it stands."""


class Variable(msgspec.Struct, frozen=True):
    """One variable of the environment or of `.env`."""

    text: str
    place: str


def read_variables(environ: Mapping[str, str], dotenv: Path) -> dict[str, Variable]:
    """The environment laid over `.env`. An empty variable counts as one that is not set."""
    found = {name: variable for name, variable in _read_dotenv(dotenv) if variable.text}
    found.update({name: Variable(text, f"{name} (environment)") for name, text in environ.items() if text})
    return found


def read_file(path: Path, variables: Mapping[str, Variable]) -> Node:
    """A YAML file as a tree. Every key must be text and stand once; `${NAME}` is taken from `variables`."""
    loader = yaml.SafeLoader(_text_of(path))
    try:
        root = loader.get_single_node()
        if root is None:
            return Node({}, path.name)
        return _Reader(loader, path.name, variables).node(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path.name}:{mark.line + 1}" if mark else path.name
        raise InvalidSettings(SettingProblem(place, f"is not YAML: {error.problem}")) from error
    except yaml.YAMLError as error:
        raise InvalidSettings(SettingProblem(path.name, "is not YAML")) from error
    finally:
        loader.dispose()


def tree_of(variables: Mapping[str, Variable], provider_ids: Mapping[str, str]) -> Node:
    """The tree that the variables of ours describe: `GATEWAY_SERVER__PORT` becomes `server.port`.

    `provider_ids`: ids that the files declare, by their spelling in a variable.
    """
    root: dict[str, Node] = {}
    for name, variable in sorted(variables.items()):
        path = _path_of(name, variable, provider_ids)
        if not path:
            continue
        branch = root
        for step in path[:-1]:
            below = branch.setdefault(step, Node({}, variable.place))
            if not isinstance(below.value, dict):
                clash = f"is set as a whole by {below.place} already: use one of the two"
                raise InvalidSettings(SettingProblem(variable.place, clash))
            branch = below.value
        branch[path[-1]] = Node(variable.text, variable.place, variable.text)
    if openai := _openai_of(variables):
        root["openai"] = openai
    return Node(root, "environment")


def laid_over(lower: Node, upper: Node) -> Node:
    """Mappings are merged key by key; anything else of `upper` replaces what is below it."""
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    merged = dict(lower.value)
    for key, node in upper.value.items():
        merged[key] = laid_over(merged[key], node) if key in merged else node
    return Node(merged, upper.place)


def with_secret_files(node: Node) -> Node:
    """The tree with every `<secret>_file` replaced by what the file holds, without the line end behind it."""
    if isinstance(node.value, list):
        return Node([with_secret_files(item) for item in node.value], node.place)
    if not isinstance(node.value, dict):
        return node
    below: dict[str, Node] = {}
    for key, item in node.value.items():
        name = key.removesuffix("_file")
        if name == key or name not in SECRET_NAMES or item.text is None:
            below[key] = with_secret_files(item)
            continue
        if name in node.value:
            raise InvalidSettings(SettingProblem(item.place, f"{name} is set as well: use one of the two"))
        below[name] = Node(text := _secret_in(item.text, item.place), item.place, text, is_expanded=True)
    return Node(below, node.place)


def variable_spelling(provider_id: str) -> str:
    """`my-provider` as it stands in a variable, in lower case: `my_provider`."""
    return re.sub(r"[^a-z0-9]", "_", provider_id.lower())


class _Reader:
    """YAML's own nodes → ours."""

    def __init__(self, loader: yaml.SafeLoader, file: str, variables: Mapping[str, Variable]) -> None:
        self._loader = loader
        self._file = file
        self._variables = variables

    def node(self, source: yaml.Node) -> Node:
        place = f"{self._file}:{source.start_mark.line + 1}"
        if isinstance(source, yaml.MappingNode):
            return Node(dict(self._items(source)), place)
        if isinstance(source, yaml.SequenceNode):
            return Node([self.node(item) for item in source.value], place)
        value = self._loader.construct_object(source)
        if value is None:
            return Node(None, place)
        text = self._expanded(str(source.value), place)
        is_expanded = text != source.value
        return Node(text if is_expanded else value, place, text, is_expanded)

    def _items(self, source: yaml.MappingNode) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key, _ in source.value:
            place = f"{self._file}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidSettings(SettingProblem(place, "a key must be text"))
            if key.value in seen:
                raise InvalidSettings(SettingProblem(place, f"{key.value} stands here a second time"))
            seen.add(key.value)
        self._loader.flatten_mapping(source)  # `<<: *defaults`: what was merged comes first, own keys replace it
        for key, value in source.value:
            yield str(key.value), self.node(value)

    def _expanded(self, text: str, place: str) -> str:
        def replacement(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name is None:
                return "$"
            if name in self._variables:
                return self._variables[name].text
            if default is None:
                raise InvalidSettings(SettingProblem(place, f"${{{name}}} is not set in the environment"))
            return str(default)

        return _REFERENCE.sub(replacement, text)


def _path_of(name: str, variable: Variable, provider_ids: Mapping[str, str]) -> list[str]:
    """Empty for variables that are not settings of ours."""
    plain = name.removesuffix("_FILE")
    if plain in PLAIN_NAMES:
        return [name.replace(plain, PLAIN_NAMES[plain]).replace("_FILE", "_file")]
    if not name.startswith(PREFIX) or name in CONTROL_NAMES or _SERVICE_LINK.fullmatch(name):
        return []
    if name == "GATEWAY_PORT" and "://" in variable.text:  # a service link as well
        return []
    path = name.removeprefix(PREFIX).lower().split("__")
    if path[0] in {"openai", "env"}:  # no settings to be set so: reported as unknown
        path[0] = f"gateway_{path[0]}"
    if path[0] == "providers" and len(path) > 1:
        path[1] = provider_ids.get(path[1], path[1])
    return path


def _openai_of(variables: Mapping[str, Variable]) -> Node | None:
    found: dict[str, Node] = {}
    keys: dict[str, Node] = {}
    for name, field in OPENAI_NAMES.items():
        variable = _with_file(name, variables) if name in SECRET_VARIABLES else variables.get(name)
        if variable is None:
            continue
        if field != "keys":
            found[field] = Node(variable.text, variable.place, variable.text)
            continue
        for key in filter(None, (part.strip() for part in re.split(r"[,\n]", variable.text))):
            keys.setdefault(key, Node(key, variable.place, key))
    if keys:
        found["keys"] = Node(list(keys.values()), "environment")
    return Node(found, "environment") if found else None


def _with_file(name: str, variables: Mapping[str, Variable]) -> Variable | None:
    direct, by_file = variables.get(name), variables.get(f"{name}_FILE")
    if by_file is None:
        return direct
    if direct is not None:
        raise InvalidSettings(SettingProblem(by_file.place, f"{name} is set as well: use one of the two"))
    return Variable(_secret_in(by_file.text, by_file.place), by_file.place)


def _secret_in(path: str, place: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidSettings(SettingProblem(place, f"the file {path} cannot be read: {reason}")) from error


def _read_dotenv(path: Path) -> Iterator[tuple[str, Variable]]:
    """`NAME=value` a line, `export` before it allowed; quotes are taken off, `#` after a space begins a comment."""
    if not path.is_file():
        return
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(stripped)
        if match is None:
            raise InvalidSettings(SettingProblem(f"{path.name}:{number}", "is not of the form NAME=value"))
        name, text = match.groups()
        yield name, Variable(_unquoted(text), f"{name} ({path.name}:{number})")


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] in "'\"" and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    return re.split(r"\s#", text, maxsplit=1)[0].strip()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSettings(SettingProblem(os.fspath(path), f"cannot be read: {reason}")) from error
