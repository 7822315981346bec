"""Reads the settings once, at the start: command line over environment over `.env` over files over defaults."""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gateway.core.base_url import normalised_base_url
from gateway.core.ids import Secret
from gateway.core.proxy_url import checked_proxy_url
from gateway.providers.presets import preset_named
from gateway.settings import AuthMode, Settings
from gateway.settings_check import UNSET, Checker
from gateway.settings_sources import (
    InvalidSettings,
    Node,
    SettingProblem,
    Variable,
    laid_over,
    read_file,
    read_variables,
    tree_of,
    variable_spelling,
    with_secret_files,
)

FILE_NAME = "gateway.yaml"
EXAMPLE_NAME = "gateway.example.yaml"
"""Lies in every checkout, and is nobody's layer."""
ENVIRONMENT_ONLY = ("openai", "env")
POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")


def load_settings(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    options: Mapping[str, str | None] | None = None,
) -> Settings:
    """The settings in force, checked.

    Args:
        environ: None means this process's.
        folder: where `.env` and `gateway.yaml` are looked for, and what a relative `home` is below; None means the
            working folder. GATEWAY_CONFIG names another file, GATEWAY_ENV=x lays `gateway.x.yaml` over it.
        options: from the command line, by dotted path: `{"server.port": "9000"}`; None values count as not given.

    Raises:
        InvalidSettings: with all problems that were found.
    """
    folder = (folder or Path.cwd()).resolve()
    variables = read_variables(os.environ if environ is None else environ, folder / ".env")
    files = _files(folder, variables)
    upper = laid_over(tree_of(variables, _provider_ids(files)), _options_tree(options or {}))
    tree = with_secret_files(laid_over(with_secret_files(files), with_secret_files(upper)))
    checker = Checker()
    settings: Settings = checker.build(tree, Settings, "")
    if settings is UNSET or checker.problems:
        raise InvalidSettings(*checker.problems)
    env = variables.get("GATEWAY_ENV")
    settings = msgspec.structs.replace(
        settings, home=folder / settings.home.expanduser(), env=env.text if env else None
    )
    if problems := tuple(_clashes(settings, tree)):
        raise InvalidSettings(*problems)
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`. Names other than localhost count as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _files(folder: Path, variables: Mapping[str, Variable]) -> Node:
    named = variables.get("GATEWAY_CONFIG")
    main = folder / (named.text if named else FILE_NAME)
    if named and not main.is_file():
        raise InvalidSettings(SettingProblem(named.place, f"there is no file {main}"))
    tree = _checked_root(read_file(main, variables)) if main.is_file() else Node({}, FILE_NAME)
    env = variables.get("GATEWAY_ENV")
    if env is None:
        return tree
    layer = main.with_name(f"{main.stem}.{env.text}{main.suffix}")
    if layer.is_file():
        return laid_over(tree, _checked_root(read_file(layer, variables)))
    layers = {path.name for path in main.parent.glob(f"{main.stem}.*{main.suffix}")}
    if others := sorted(layers - {EXAMPLE_NAME}):
        there = f"there is no file {layer.name}; there are {', '.join(others)}"
        raise InvalidSettings(SettingProblem(env.place, there))
    return tree


def _checked_root(tree: Node) -> Node:
    if not isinstance(tree.value, dict):
        raise InvalidSettings(SettingProblem(tree.place, "must be a mapping of settings"))
    for name in ENVIRONMENT_ONLY:
        if name in tree.value:
            raise InvalidSettings(SettingProblem(tree.value[name].place, f"{name} is not a known setting of the file"))
    return tree


def _provider_ids(files: Node) -> dict[str, str]:
    providers = files.value.get("providers") if isinstance(files.value, dict) else None
    declared = providers.value if providers is not None and isinstance(providers.value, dict) else {}
    return {variable_spelling(provider_id): provider_id for provider_id in declared}


def _options_tree(options: Mapping[str, str | None]) -> Node:
    root: dict[str, Node] = {}
    for key, text in options.items():
        if text is None:
            continue
        section, _, name = key.rpartition(".")
        place = f"--{name} (command line)"
        leaf = Node({name: Node(text, place, text)}, place)
        root = {**root, section: laid_over(root.get(section, leaf), leaf)} if section else {**root, **leaf.value}  # type: ignore[dict-item]  # a leaf's value is a dict
    return Node(root, "command line")


def _clashes(settings: Settings, tree: Node) -> Iterator[SettingProblem]:
    """What is wrong only together."""
    server = settings.server
    if settings.auth is AuthMode.AUTO and not settings.admin_token and not is_loopback(server.host):
        yield SettingProblem(
            _place(tree, "server", "host"),
            f"listening on {server.host}, not on loopback alone, needs GATEWAY_ADMIN_TOKEN: a long random text of "
            "yours, e.g. from `openssl rand -hex 32` (or set GATEWAY_AUTH=open to serve everybody)",
        )
    if settings.waiting.default_s > settings.waiting.max_s:
        yield SettingProblem(_place(tree, "waiting", "default_s"), "waiting.default_s must not exceed waiting.max_s")
    for name in ("database_url", "listen_database_url"):
        url: Secret | None = getattr(settings, name)
        if url and url.reveal().partition("://")[0] not in POSTGRES_SCHEMES:
            yield SettingProblem(_place(tree, name), f"{name} must read postgresql://user:password@host:port/database")
    yield from _base_urls(settings, tree)
    yield from _proxies(settings, tree)
    yield from _presets(settings, tree)


def _base_urls(settings: Settings, tree: Node) -> Iterator[SettingProblem]:
    urls: dict[tuple[str, ...], str | None] = {}
    for provider_id, provider in settings.providers.items():
        urls["providers", provider_id, "base_url"] = provider.base_url
    if settings.openai.keys:
        urls["openai", "base_url"] = settings.openai.base_url
    for path, url in urls.items():
        if url is None:
            continue
        try:
            normal = urlsplit(normalised_base_url(url))
        except ValueError as error:
            yield SettingProblem(_place(tree, *path), f"{'.'.join(path)} {error}")
            continue
        if is_loopback(normal.hostname or "") and normal.port == settings.server.port:
            # An SDK's own OPENAI_BASE_URL may already lead here: every call would come back to us.
            yield SettingProblem(_place(tree, *path), "leads to this gateway itself")


def _proxies(settings: Settings, tree: Node) -> Iterator[SettingProblem]:
    for provider_id, provider in settings.providers.items():
        if provider.proxy is not None:
            try:
                checked_proxy_url(provider.proxy.reveal())
            except ValueError as error:
                place = _place(tree, "providers", provider_id, "proxy")
                yield SettingProblem(place, f"providers.{provider_id}.proxy {error}")


def _presets(settings: Settings, tree: Node) -> Iterator[SettingProblem]:
    for provider_id, provider in settings.providers.items():
        try:
            preset = None if provider.preset is None else preset_named(provider.preset)
        except ValueError as error:
            yield SettingProblem(_place(tree, "providers", provider_id, "preset"), f"providers.{provider_id}: {error}")
            continue
        if preset is not None and preset.base_url is None and provider.base_url is None:
            place = _place(tree, "providers", provider_id, "preset")
            yield SettingProblem(place, f"providers.{provider_id} needs base_url: every {preset.title} has its own")


def _place(tree: Node, *path: str) -> str:
    """Where the setting, or the section around it, was given."""
    place = "default"
    for step in path:
        if not isinstance(tree.value, dict) or step not in tree.value:
            return place
        tree = tree.value[step]
        place = tree.place
    return place
