"""Writes docs/settings.md from `gateway/settings.py`: names, types, defaults and the docstrings under the fields.

settings_doc.py           writes the page
settings_doc.py --check   exit code 1 when the page is out of date
"""

import ast
import sys
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec

from gateway import settings as source
from gateway.core.snapshot import ProviderSettings
from gateway.settings import (
    AccountDeclaration,
    DatabaseSettings,
    LimitSettings,
    ProviderDeclaration,
    RealtimeSettings,
    RouteDeclaration,
    ServerSettings,
    Settings,
    WaitingSettings,
)
from gateway.settings_check import allowed
from gateway.settings_sources import PLAIN_NAMES, PREFIX, SECRET_NAMES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
MIB = 1024 * 1024
A_YEAR_S = 31_536_000
"""The longest time any setting takes: not worth a word in each row."""

Struct = type[msgspec.Struct]

SECTIONS: tuple[tuple[str, Struct], ...] = (
    ("server", ServerSettings),
    ("waiting", WaitingSettings),
    ("limits", LimitSettings),
    ("realtime", RealtimeSettings),
    ("database", DatabaseSettings),
)
DECLARED: tuple[tuple[str, str, Struct], ...] = (
    ("A provider: `providers.<id>`", "providers.openai", ProviderDeclaration),
    ("An account: `providers.<id>.accounts[]`", "accounts[]", AccountDeclaration),
    ("A route: `routes.<pattern>`", "routes", RouteDeclaration),
)
MEANINGS: dict[str, str] = {
    "auth": "Who may call. `auto`: open on loopback alone, elsewhere as `keys`, with an admin token needed. "
    "`keys`: every call needs a client key. `open`: nobody needs one.",
    "admin_token": "What the admin API wants as a bearer token. None: that API is open on loopback alone.",
    "log_level": "`debug` adds more lines, never bodies.",
    "max_calls": "How many calls may queue.",
    "name": "For people.",
    "kind": "Wire format and quirks: `openai`, `openai_compatible`, `azure_openai`, `anthropic`. None: `openai`.",
    "base_url": "With or without the version's path. None: OpenAI's, for the id `openai` alone.",
    "auth_type": "Informative: `api_key`, `oauth`, `none`.",
    "auth_strategy": "How a credential is presented. None: `api_key`, a bearer token. `oauth_client_credentials` is "
    "refused by this release.",
    "supported_models": "Names or globs; an allow-list. Empty: all. Of an account, None: the provider's.",
    "is_active": "`false` puts the row to rest.",
    "accounts": "The accounts to declare.",
    "connect_timeout_s": "Name look-up, connection and TLS.",
    "max_idle_connections": "Idle upstream connections that a worker keeps.",
    "default_model": "For calls that name none.",
    "strategy": "How one of several ready accounts of a tier is chosen.",
    "streaming": "`false`: calls with `stream` are refused.",
    "stream_usage": "Whether a stream's usage is asked for when the caller did not. None: the kind's, `ask`.",
    "validation": "How much of a body is checked. None: `ranges` for the kind `openai`, else `types`.",
    "api_key": "The credential.",
    "organization": "Sent as `OpenAI-Organization`.",
    "project": "Sent as `OpenAI-Project`.",
    "quota_group": "Accounts with the same text share their rate limits, and rest together.",
    "tier": "Order of use, 0 first.",
    "weight": "Share of the traffic within a tier.",
    "max_concurrency": "Calls at once, in each worker.",
    "rpm_limit": "Requests a minute.",
    "tpm_limit": "Tokens a minute.",
    "metadata": "Whatever you like to keep.",
    "provider": "The provider's id.",
    "upstream_model": "The name that is sent. None: the caller's.",
    "fallbacks": "Models to try, in order, when every account has failed, the upstream is silent or broken, or the "
    "call is too long for the model; never after a policy refusal. Each is routed anew; `x-gateway-model` "
    "names the one that served.",
    "priority": "Higher goes first among routes of the same pattern.",
}
"""For fields whose own docstring says nothing: most are columns of the tables."""

ELSEWHERE = {"server", "waiting", "limits", "realtime", "database", "providers", "routes", "openai", "env"}
"""Fields of `Settings` that have a section of their own, or a line in the introduction."""

INTRODUCTION = """# Settings

<!-- Written by scripts/settings_doc.py from gateway/settings.py: edit the docstrings there. -->

Command line over environment over `.env` over `gateway.yaml` over defaults. `.env` and `gateway.yaml` are looked for in
the folder that the gateway starts in; [gateway.example.yaml](../gateway.example.yaml) and
[.env.example](../.env.example) are beginnings.

- **In the environment** a setting is `GATEWAY_<SECTION>__<NAME>`, in `gateway.yaml` it stands below its section. Lists
  are written `a,b` or as JSON, sizes as `32 MiB` or in bytes, times in seconds. An empty variable counts as not set.
- **A secret** may come from a file: `<NAME>_FILE` (`GATEWAY_ADMIN_TOKEN_FILE`, `DATABASE_URL_FILE`,
  `OPENAI_API_KEY_FILE`; in YAML `api_key_file`).
- **`GATEWAY_ENV=x`** lays `gateway.x.yaml` over `gateway.yaml`; **`GATEWAY_CONFIG`** names another file.
- **`${NAME}`** in the file is taken from the environment, `${NAME:-text}` with a default, `$$` is a dollar.
- **A wrong or unknown setting stops the start** with its name, the place of its value and what is allowed.
  `gateway doctor` checks without starting. A setting that changes needs a restart; rows of the tables do not.
- Not in use yet: `rpm_limit`, `tpm_limit`. They are read and kept.
"""

OPENAI = """## Accounts from the environment

| Variable | Means |
|---|---|
| `OPENAI_API_KEY`, `OPENAI_API_KEYS` | keys, separated by commas: the provider `openai` and an account for each |
| `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID` | organization and project of these accounts |
| `OPENAI_BASE_URL` | where they are, default `https://api.openai.com/v1` |
"""


def main(arguments: list[str]) -> int:
    page = rendered()
    if "--check" not in arguments:
        PAGE.write_text(page)
        return 0
    if PAGE.read_text() == page:
        return 0
    print("docs/settings.md is out of date: run python -m scripts.settings_doc", file=sys.stderr)
    return 1


def rendered() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## The service\n\n" + _table(Settings, "", skipped=ELSEWHERE)]
    parts += [f"## `{name}`\n\n{_about(struct)}{_table(struct, name)}" for name, struct in SECTIONS]
    parts.append(OPENAI)
    parts.append(
        "## What the file declares\n\nRows made at start; those that people made are never touched, and a row whose "
        "declaration is gone is put to rest.\nFields of a provider can be set by variables too: "
        "`GATEWAY_PROVIDERS__OPENAI__TIMEOUT_S=120`. Without more it changes a\ndeclared provider, and makes no row.\n"
    )
    parts += [f"### {title}\n\n{_table(struct, None)}" for title, _, struct in DECLARED]
    return "\n".join(parts)


def environment_name(path: str) -> str:
    """`server.port` → `GATEWAY_SERVER__PORT`."""
    plain = {field: variable for variable, field in PLAIN_NAMES.items()}
    return plain.get(path, PREFIX + path.upper().replace(".", "__"))


def _table(struct: Struct, section: str | None, skipped: frozenset[str] | set[str] = frozenset()) -> str:
    """`section`: where the fields stand; None for declarations, which have no variable of their own."""
    has_variable = section is not None
    head = "| Setting | Variable | Default | Means |" if has_variable else "| Field | Default | Means |"
    lines = [head, "|---" * head.count(" | ") + "|---|"]
    for field in msgspec.structs.fields(struct):
        if field.name in skipped:
            continue
        path = f"{section}.{field.name}" if section else field.name
        cells = [f"`{path}`", _default(field), _means(struct, field)]
        if has_variable:
            cells.insert(1, f"`{environment_name(path)}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _about(struct: Struct) -> str:
    text = _docs()[struct.__name__].get("", "")
    return f"{text}\n\n" if text and not text.startswith("A group of") else ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "needed"
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if value is None and field.name in _PROVIDER_DEFAULTS:
        value = _PROVIDER_DEFAULTS[field.name]
    return _shown(value)


_PROVIDER_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(ProviderSettings)}
"""What holds where a declaration leaves a provider's setting out."""


def _shown(value: object) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() if value and value % MIB == 0:
            return f"{value // MIB} MiB"
        case int() | float():
            return f"{value:g}" if value < 1_000_000 else str(value)
        case StrEnum():
            return f"`{value.value}`"
        case str() | Path():
            return f"`{value}`"
        case _:
            return "–"


def _means(struct: Struct, field: msgspec.structs.FieldInfo) -> str:
    own = _docs()[struct.__name__].get(field.name) or _docs()["ProviderSettings"].get(field.name)
    sentences = [own or MEANINGS[field.name], _values(field.type)]
    if field.name in SECRET_NAMES:
        sentences.append("A secret.")
    text = " ".join(sentence for sentence in sentences if sentence)
    return " ".join(text.split()).replace("|", "\\|")


def _values(type_: Any) -> str:  # noqa: ANN401  # any type of settings.py
    """Which values an enum has, which limits a number."""
    parts = (type_, *get_args(type_))
    bare = next((part for part in parts if isinstance(part, type) and issubclass(part, StrEnum)), None)
    if bare is not None:
        return "One of " + ", ".join(f"`{member.value}`" for member in bare) + "."
    words = allowed(type_).replace(f" and at most {A_YEAR_S}", "")
    return f"{words[:1].upper()}{words[1:]}." if " of at least " in words or " greater than " in words else ""


@cache
def _docs() -> dict[str, dict[str, str]]:
    """Class → field → the docstring under it; "" → the class's own."""
    found: dict[str, dict[str, str]] = {}
    for module in (source.__file__, sys.modules[ProviderSettings.__module__].__file__):
        for node in ast.parse(Path(module or "").read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = {"": ast.get_docstring(node) or "", **dict(_field_docs(node))}
    return found


def _field_docs(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            yield field.target.id, str(below.value.value)  # type: ignore[attr-defined]  # checked by is_text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
