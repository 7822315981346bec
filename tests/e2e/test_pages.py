"""What is seen from outside: lists of models, health, metrics; and no secret in any of it."""

import re

from gateway.sandbox.config import KeyConfig, SandboxConfig
from gateway.sandbox.faults import Fault
from tests.fakes.gateway_fixture import running_gateway, until_answered
from tests.fakes.sandbox_fixture import running_sandbox


async def test_models_are_the_union_of_names_and_of_what_accounts_say(pair, registry, sandbox):
    config = SandboxConfig(models=("only-here", "gpt-4o"))
    async with running_sandbox(config) as other:
        await registry.add_provider("other", other.url, supported_models=[])
        await registry.add_account("sk-o", "other")

        async def are_listed():
            listed = (await pair.get("/v1/models")).json()
            return {model["id"] for model in listed["data"]} == {"gpt-4", "gpt-4o", "only-here"}

        await until_answered(are_listed, "the union")
        listed = (await pair.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert all(model["object"] == "model" for model in listed["data"])
        assert len(listed["data"]) == 3


async def test_metrics_count_attempts_by_provider_and_model(pair, sandbox):
    await pair.chat()
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))
    await pair.chat(stream=True)
    await pair.chat(model="never-served")

    text = (await pair.get("/metrics")).text

    assert re.search(r'^openai_requests_total\{[^}]*model="gpt-4"[^}]*\} 3', text, re.MULTILINE), text
    assert "never-served" not in text
    assert 'gateway_cooldowns_total{provider="openai",reason="rate_limited"} 1' in text


async def test_health_counts_accounts_and_calls(pair, sandbox):
    sandbox.script("invalid_api_key", key="sk-a")
    await pair.chat()
    await pair.chat(stream=True)

    health = (await pair.get("/health")).json()

    assert (health["accounts"]["ready"], health["accounts"]["cooling"]) == (1, 1)
    assert health["database"]["is_connected"]
    assert health["stream_stats"]


async def test_readiness_ends_with_the_drain(gateway):
    assert (await gateway.get("/health/ready")).status_code == 200

    gateway.service.gate.is_draining = True

    assert (await gateway.get("/health/ready")).status_code == 503
    assert (await gateway.chat()).status_code == 503


SECRETS = ("sk-secret-of-account-one", "sk-secret-of-account-two", "org-SecretOrg123", "proj_SecretProj45", "sk-secre")
FAULTS = ("rate_limited", "insufficient_quota", "invalid_api_key", "model_not_found", "no_access_to_model", "too_large",
    "bad_request", "server_error", "overloaded", "html_502", "missing_scope", "garbage_body", "reset_before_headers",
    "rate_limited_per_day", "project_spend_limit")  # fmt: skip
LEAKY = "Error for {key} of {org} in {project}: sk-secret-of-account-one"


async def test_no_secret_shows_anywhere(database_url, registry, capfd):
    keys = {key: KeyConfig(org="org-SecretOrg123", project="proj_SecretProj45") for key in SECRETS[:2]}
    seen = []
    async with running_sandbox(SandboxConfig(keys=keys)) as sandbox:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as gateway:
            for key in keys:
                await registry.add_account(key, label=f"label {len(key)} {key[-3:]}")
            await gateway.serves(accounts=2)
            for kind in FAULTS:
                sandbox.script([Fault(kind, times=4), Fault(kind, times=2, message=LEAKY)])
                for stream in (False, True):
                    seen += [await gateway.chat(stream=stream, headers={"x-gateway-max-wait": "0"}) for _ in range(2)]
                await clear(gateway)
            sandbox.reset()
            sandbox.script([Fault("stream_error", after=3, message=LEAKY), Fault("json_error", message=LEAKY, times=4)])
            seen += [await gateway.chat(stream=True) for _ in range(4)]
            accounts = [f"/api/v1/accounts/{id_}" for id_ in gateway.snapshot.accounts]
            pages = ["/metrics", "/health", "/v1/models", "/api/v1/accounts", "/api/v1/providers", "/api/v1/problems",
                "/schema/openapi.json", *accounts]  # fmt: skip
            seen += [await gateway.get(page) for page in pages]
            statuses = [await gateway.get(f"{path}/status") for path in accounts]
            taken = {"provider_id": "openai", "label": "again", "auth_data": {"api_key": SECRETS[0]}}
            seen.append(await gateway.client.post("/api/v1/accounts", json=taken))
            seen += [await gateway.client.post(f"{path}/verify") for path in accounts]
    logged = capfd.readouterr()

    shown = "\n".join(f"{answer.status_code} {answer.headers}\n{answer.text}" for answer in seen)
    assert '"event":"call.finished"' in logged.out
    for text in (shown, logged.out, logged.err):
        for secret in SECRETS:
            assert secret not in text, text[max(0, text.index(secret) - 300) : text.index(secret) + 100]
    for status in statuses:  # what names an account's organisation is shown to its operator here, and nowhere else
        assert not any(secret in status.text for secret in SECRETS if not secret.startswith("org-"))


async def clear(gateway):
    for account_id in gateway.snapshot.accounts:
        await gateway.client.post(f"/api/v1/accounts/{account_id}/clear-cooldown")
