import base64
import json

import pytest

from gateway.sandbox.config import KeyConfig, SandboxConfig
from tests.fakes.sandbox_fixture import running_sandbox
from tests.integration.sandbox.raw_client import CHAT, STREAM, ask

KEYS = SandboxConfig(keys={"sk-a": KeyConfig(), "sk-b": KeyConfig()})


async def test_faults_are_scripted_over_http_for_the_key_named() -> None:
    async with running_sandbox(KEYS) as sandbox:
        script = {"key": "sk-a", "faults": [{"kind": "overloaded", "times": 2}]}
        assert (await ask(sandbox.url, script, path="/_sandbox/script")).status == 200

        answers = [await ask(sandbox.url, CHAT, key=key) for key in ("sk-b", "sk-a", "sk-a", "sk-a")]

        assert [answer.status for answer in answers] == [200, 503, 503, 200]


async def test_behaviours_are_set_over_http() -> None:
    async with running_sandbox() as sandbox:
        await ask(sandbox.url, {"behaviours": {"gpt-4o": {"chunks": 3}}}, path="/_sandbox/script")

        received = await ask(sandbox.url, STREAM)

        assert received.events == 3 + 3  # role, finish, [DONE]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param({"faults": [{"kind": "gremlins"}]}, "gremlins", id="unknown-fault"),
        pytest.param({"fauls": []}, "fauls", id="unknown-field"),
        pytest.param(b"{", "truncated", id="no-json"),
    ],
)
async def test_wrong_script_is_refused_by_name(body: object, named: str) -> None:
    async with running_sandbox() as sandbox:
        received = await ask(sandbox.url, body, path="/_sandbox/script")

        assert received.status == 400
        assert named in json.loads(received.body)["error"]


async def test_log_is_read_over_http_from_where_one_left_off() -> None:
    async with running_sandbox(KEYS) as sandbox:
        await ask(sandbox.url, CHAT, key="sk-a")
        await ask(sandbox.url, CHAT, key="sk-b")

        brief = json.loads((await ask(sandbox.url, None, path="/_sandbox/log?after=1")).body)
        full = json.loads((await ask(sandbox.url, None, path="/_sandbox/log?bodies=1&limit=1")).body)

        assert [seen["key"] for seen in brief["seen"]] == ["sk-b"]
        assert brief["seen"][0]["body"] is None
        assert json.loads(base64.b64decode(full["seen"][0]["body"])) == CHAT
        assert sandbox.total == 2


async def test_stats_count_statuses_per_key() -> None:
    async with running_sandbox(KEYS) as sandbox:
        sandbox.script("server_error", key="sk-a")
        for key in ("sk-a", "sk-a", "sk-b"):
            await ask(sandbox.url, CHAT, key=key)

        stats = json.loads((await ask(sandbox.url, None, path="/_sandbox/stats")).body)

        assert stats["keys"] == {"sk-a": {"500": 1, "200": 1}, "sk-b": {"200": 1}}


async def test_reset_over_http_forgets_all() -> None:
    async with running_sandbox() as sandbox:
        await ask(sandbox.url, CHAT)
        sandbox.script("server_error")

        await ask(sandbox.url, {}, path="/_sandbox/reset")

        assert sandbox.total == 0
        assert (await ask(sandbox.url, CHAT)).status == 200


async def test_unknown_control_says_what_there_is() -> None:
    async with running_sandbox() as sandbox:
        received = await ask(sandbox.url, None, path="/_sandbox/nothing")

        assert received.status == 404
        assert b"POST script" in received.body
