"""Azure OpenAI as an upstream: its paths and headers, Entra's tokens, its errors and streams; callers speak OpenAI."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from openai import BadRequestError

from tests.fakes.certificates import signed_by_itself
from tests.fakes.gateway_fixture import running_gateway, until
from tests.fakes.plain_sdk import plain_sdk
from tests.fakes.raw_server import Peer, raw_server
from tests.fakes.token_endpoint import part, token_endpoint
from tests.golden.test_golden import golden

CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]}  # fmt: skip
FILTERED = {"error": {"code": "content_filter", "type": None, "param": "prompt", "status": 400, "message": "filtered",
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}}}  # fmt: skip
WRONG_KEY = {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}
LIMITED = {"error": {"code": "429", "message": "Requests to the ChatCompletions_Create Operation have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 37 seconds."}}  # fmt: skip
HELLO = [{"role": "user", "content": "hi"}]


class Azure:
    """A resource: answers by the credential that comes."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, str]] = []
        """Target and credential."""
        self.answers: dict[str, bytes] = {}
        """By credential; those that are not here get 401."""

    async def serve(self, peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            fields = dict(request.headers)
            credential = (fields.get(b"api-key") or fields[b"authorization"]).decode()
            if request.method == b"POST":
                self.seen.append((request.target.decode(), credential))
            await peer.send(self.answers.get(credential, written(401, WRONG_KEY)))


def written(status, body, content_type="application/json", *headers):
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {content_type}", f"content-length: {len(text)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


@asynccontextmanager
async def azure_resource() -> AsyncIterator[Azure]:
    azure = Azure()
    async with raw_server(azure.serve) as server:
        azure.url = f"http://127.0.0.1:{server.origin.port}"
        yield azure


@pytest.fixture
async def azure() -> AsyncIterator[Azure]:
    async with azure_resource() as azure:
        yield azure


async def add(registry, azure, **settings):
    deployments = {"deployments": {"gpt-4o": "prod-4o"}, **settings}
    await registry.add_provider(
        "azure", azure.url, kind="azure_openai", auth_strategy="header", supported_models=[], settings=deployments
    )


async def add_with_entra(registry, azure, grant):
    """The id of the account that buys its tokens with `grant`."""
    await registry.add_provider(
        "azure", azure.url, kind="azure_openai", auth_type="oauth", auth_strategy="oauth_client_credentials",
        supported_models=[],
    )  # fmt: skip
    return await registry.add_account("entra", "azure", auth_data=grant)


def client(gateway):
    return plain_sdk(gateway.url)


async def test_a_call_goes_to_its_deployment_with_the_accounts_key(database_url, registry, azure):
    azure.answers["k1"] = written(200, CHAT)
    await add(registry, azure, api_version="2024-10-21")
    await registry.add_account("k1", "azure")
    async with running_gateway(database_url) as gateway, client(gateway) as openai:
        await gateway.serves(accounts=1)

        answer = await openai.chat.completions.create(model="gpt-4o", messages=HELLO)
        models = [model.id async for model in openai.models.list()]

    assert answer.choices[0].message.content == "hello"
    assert azure.seen == [("/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21", "k1")]
    assert models == ["gpt-4o"]


async def test_resources_of_their_own_share_the_calls(database_url, registry, azure):
    azure.answers["k1"] = written(429, LIMITED, "application/json", "retry-after-ms: 37000", "retry-after: 37")
    async with azure_resource() as second:
        second.answers["k2"] = written(200, CHAT)
        await add(registry, azure)
        await registry.add_account("k1", "azure")
        await registry.add_account("k2", "azure", tier=1, auth_data={"api_key": "k2", "base_url": second.url})
        async with running_gateway(database_url) as gateway, client(gateway) as openai:
            await gateway.serves(accounts=2)

            answer = await openai.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)

    assert answer.headers["x-gateway-attempts"] == "2"
    assert azure.seen == [("/openai/v1/chat/completions", "k1")]
    assert second.seen == [("/openai/v1/chat/completions", "k2")]


async def test_what_the_filter_refuses_is_the_callers_to_read(database_url, registry, azure):
    azure.answers |= {"k1": written(400, FILTERED), "k2": written(400, FILTERED)}
    await add(registry, azure)
    await registry.add_account("k1", "azure")
    await registry.add_account("k2", "azure")
    async with running_gateway(database_url) as gateway, client(gateway) as openai:
        await gateway.serves(accounts=2)

        with pytest.raises(BadRequestError) as caught:
            await openai.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert caught.value.code == "content_filter"
    assert caught.value.body["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert len(azure.seen) == 1


async def test_a_stream_whose_first_event_is_the_filters_comes_whole(database_url, registry, azure):
    azure.answers["k1"] = written(200, golden("azure/chat_asked.sse"), "text/event-stream")
    await add(registry, azure)
    await registry.add_account("k1", "azure")
    async with running_gateway(database_url) as gateway, client(gateway) as openai:
        await gateway.serves(accounts=1)

        stream = await openai.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
        text = "".join([event.choices[0].delta.content or "" async for event in stream if event.choices])
        raw = await gateway.chat("hi", model="gpt-4o", stream=True)

    assert text == "Hi"
    assert raw.content == golden("azure/chat_plain.sse")


async def test_replicas_share_entras_tokens_and_renew_them_once_refused(database_url, registry, azure):
    azure.answers["Bearer token-1"] = written(200, CHAT)
    async with token_endpoint() as entra:
        grant = {"token_url": entra.url, "client_id": "app", "client_secret": "right", "scope": "s/.default"}
        await add_with_entra(registry, azure, grant)
        async with running_gateway(database_url) as one, running_gateway(database_url) as two:
            for replica in (one, two):
                await replica.serves(accounts=1)
                assert (await replica.chat(model="gpt-4o")).status_code == 200
            assert entra.asked == [
                {
                    "grant_type": "client_credentials",
                    "client_id": "app",
                    "client_secret": "right",
                    "scope": "s/.default",
                }
            ]

            for replica in (one, two):  # as if the token had been bought a while ago
                for entry in replica.service.credentials._entries.values():
                    entry.fetched -= 60
            azure.answers = {"Bearer token-2": written(200, CHAT)}
            statuses = [(await replica.chat(model="gpt-4o")).status_code for replica in (one, two, one)]

            assert statuses == [200] * 3
            assert len(entra.asked) == 2


async def test_a_certificate_buys_tokens_in_place_of_a_secret(database_url, registry, azure):
    azure.answers["Bearer token-1"] = written(200, CHAT)
    key = rsa.generate_private_key(65537, 2048)
    pem = b"".join(signed_by_itself(key, name="app")).decode()
    async with token_endpoint() as entra:
        entra.public_key = key.public_key()
        grant = {"token_url": entra.url, "client_id": "app", "client_certificate": pem, "scope": "s/.default"}
        account_id = await add_with_entra(registry, azure, grant)
        async with running_gateway(database_url) as gateway:
            await gateway.serves(accounts=1)
            answer = await gateway.chat(model="gpt-4o")
            shown = (await gateway.get(f"/api/v1/accounts/{account_id}")).text

        (asked,) = entra.asked
        claims = json.loads(part(asked["client_assertion"], 1))

    assert answer.status_code == 200
    assert (claims["aud"], claims["iss"], claims["sub"]) == (entra.url, "app", "app")
    assert "PRIVATE" not in shown


def secret_in(gateway, account_id):
    return gateway.snapshot.accounts[account_id].credential.grant.client_secret.reveal()


async def test_a_wrong_secret_parks_the_account_by_name_until_it_is_mended(database_url, registry, azure):
    azure.answers["Bearer token-1"] = written(200, CHAT)
    async with token_endpoint() as entra:
        grant = {"token_url": entra.url, "client_id": "app", "client_secret": "wr0ng"}
        account_id = await add_with_entra(registry, azure, grant)
        async with running_gateway(database_url) as gateway:
            await gateway.serves(accounts=1)

            answer = await gateway.chat(model="gpt-4o", headers={"x-gateway-max-wait": "0"})
            status = (await gateway.get(f"/api/v1/accounts/{account_id}/status")).text
            shown = (await gateway.get(f"/api/v1/accounts/{account_id}")).json()["auth_data"]

            assert answer.status_code == 503
            assert "wr0ng" not in answer.text + status
            assert "credential_rejected" in status
            assert shown["client_id"] == "app"
            assert "wr0ng" not in str(shown)

            mended = {"auth_data": {**grant, "client_secret": "right"}}
            await gateway.client.patch(f"/api/v1/accounts/{account_id}", json=mended)
            await until(lambda: secret_in(gateway, account_id) == "right", "mended")
            assert (await gateway.chat(model="gpt-4o")).status_code == 200
            verified = await gateway.client.post(f"/api/v1/accounts/{account_id}/verify")

    assert verified.json()["is_ok"]
    assert "wr0ng" in entra.asked[0].values()
    assert entra.sold == 1
