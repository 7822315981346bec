"""What tests of realtime sessions say: upgrades by a client and by hand, keys, the call of a session."""

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.gateway_fixture import Gateway, until, until_answered
from tests.fakes.relay_kit import error_json

MODEL = "gpt-realtime"
NO_MODEL = error_json("The model does not exist", type_="invalid_request_error", code="model_not_found")
NO_UTF8 = b"\x81\x82\x00\x00\x00\x00\xc3\x28"
"""A text's frame, masked with zeros."""
UPGRADE = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==")


def dial(gateway: Gateway, query: str = f"?model={MODEL}", **options) -> connect:
    options.setdefault("max_size", None)
    path = options.pop("path", "/v1/realtime")
    return connect(f"ws://127.0.0.1:{gateway.port}{path}{query}", proxy=None, compression=None, **options)


def handshake(*lines: str, path: str = "/v1/realtime?model=gpt-realtime", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: gateway", *lines)).encode() + b"\r\n\r\n"


async def refused(gateway: Gateway, *args, **options) -> tuple[int, dict, dict]:
    """Status, headers and body of an upgrade that fails."""
    with pytest.raises(InvalidStatus) as raised:
        async with dial(gateway, *args, **options):
            pass
    response = raised.value.response
    return response.status_code, dict(response.headers.raw_items()), msgspec.json.decode(response.body)


async def ended_call(gateway: Gateway) -> dict:
    """The call of the session that ends now."""

    async def calls() -> list:
        return (await gateway.get("/api/v1/calls")).json()["data"]

    await until_answered(calls, "the call's line")
    return (await calls())[0]


async def made_key(gateway: Gateway, **fields) -> tuple[str, str]:
    """Its id, and the key."""
    body = {"name": "mine", **fields}
    answer = await gateway.client.post("/api/v1/keys", json=body, headers={"authorization": "Bearer token"})
    id_ = answer.json()["id"]
    await until(lambda: any(key.id == id_ for key in gateway.snapshot.keys.values()), "the key")
    return id_, answer.json()["key"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
