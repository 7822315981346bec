"""The commands of docs/api.md are run, in order, as they stand."""

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.admin.conftest import Admin

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def documented_curls() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("curl")]


async def test_documented_commands_do_what_they_are_said_to(admin: Admin):
    last_id = ""
    answers = []
    for _, *arguments in documented_curls():
        method, url, body = "GET", "", None
        values = iter(arguments)
        for argument in values:
            match argument:
                case "-X":
                    method = next(values)
                case "-d":
                    body = next(values)
                case "-H":
                    assert next(values) == "content-type: application/json"
                case _:
                    url = argument.replace("$ID", last_id)
        parts = urlsplit(url)

        response = await admin.client.request(method, f"{parts.path}?{parts.query}", content=body)

        assert response.is_success, (url, response.text)
        answers.append(
            (method, parts.path.removeprefix("/api/v1/").replace(last_id or "-", "$ID"), response.status_code)
        )
        if response.status_code == 201:
            last_id = response.json()["id"]
    assert answers == [
        ("POST", "providers", 201),
        ("POST", "providers", 201),
        ("POST", "accounts", 201),
        ("PATCH", "accounts/$ID", 200),
        ("POST", "accounts/$ID/verify", 200),
        ("GET", "accounts/$ID/status", 200),
        ("POST", "accounts/$ID/clear-cooldown", 200),
        ("GET", "accounts", 200),
        ("POST", "accounts/import", 200),
        ("POST", "routes", 201),
        ("POST", "keys", 201),
        ("DELETE", "keys/$ID", 204),
        ("GET", "calls", 200),
    ]


def test_every_operation_is_in_the_page():
    text = PAGE.read_text()

    for path in ("providers", "accounts", "accounts/import", "routes", "keys", "problems"):
        assert f"/api/v1/{path}" in text
    for code in ("invalid_request", "unauthenticated", "not_allowed", "duplicate", "store_unavailable"):
        assert f"`{code}`" in text
