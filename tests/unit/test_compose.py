"""`docker-compose.yml` fits what the gateway takes: no Docker is needed to see it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings_load import load_settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    "build", "depends_on", "environment", "healthcheck", "image", "init", "ports", "restart", "stop_grace_period",
    "volumes",
}  # fmt: skip
"""Keys of a service that the Compose specification has and this file needs."""
LAST_WRITES_S = 15
"""After `drain_s`, as docs/operations.md asks of whoever stops the gateway."""


@pytest.fixture
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def filled_in(text: str, given: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?words}` as Compose fills them in."""

    def value(match: re.Match[str]) -> str:
        name, operator, words = match.groups()
        if given.get(name):
            return given[name]
        assert operator == ":-", f"{name}: {words}"
        return words or ""

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def test_services_have_only_keys_that_compose_knows(compose):
    assert set(compose) <= {"services", "volumes"}
    for service in compose["services"].values():
        assert set(service) <= KNOWN
        assert ("image" in service) != ("build" in service)
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        named = {volume.partition(":")[0] for volume in service["volumes"]}
        assert named <= set(compose["volumes"])


def test_its_environment_is_one_that_the_gateway_starts_with(compose, tmp_path):
    token = "a-long-random-text-of-the-operator"  # noqa: S105  # a test's own
    given = {"GATEWAY_ADMIN_TOKEN": token}
    environment = {name: filled_in(text, given) for name, text in compose["services"]["gateway"]["environment"].items()}

    settings = load_settings(environ={**environment, "GATEWAY_SERVER__HOST": "0.0.0.0"}, folder=tmp_path)  # noqa: S104  # as in a container

    assert settings.database_url is not None
    assert settings.database_url.reveal() == "postgresql://gateway:gateway@postgres:5432/gateway"
    assert settings.admin_token is not None
    port = compose["services"]["gateway"]["ports"][0].rpartition(":")[2]
    assert str(settings.server.port) == port
    grace_s = int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= settings.server.drain_s + LAST_WRITES_S


def test_the_gateway_is_waited_for_as_its_database_says_it_is_ready(compose):
    assert compose["services"]["gateway"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in compose["services"]["postgres"]
