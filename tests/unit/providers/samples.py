"""Rows and calls for tests of providers."""

from gateway.core.call import Call
from gateway.core.ids import CallId, ProviderId, Secret
from gateway.core.snapshot import AuthStrategy, Credential, Provider, ProviderSettings
from gateway.wire.endpoints import find


def provider(**fields):
    defaults = {
        "id": ProviderId("openai"),
        "name": "OpenAI",
        "kind": "openai",
        "base_url": "https://api.openai.com/v1",
        "auth_strategy": AuthStrategy.API_KEY,
    }
    settings = ProviderSettings(**fields.pop("settings", {}))
    return Provider(**(defaults | fields), settings=settings)


def credential(strategy=AuthStrategy.API_KEY, text="sk-test", **fields):
    return Credential(strategy, Secret(text), **fields)


def call(path="/chat/completions", method="POST", **fields):
    endpoint = find(method, path)
    assert endpoint is not None
    return Call(id=CallId("req_1"), endpoint=endpoint, **fields)
