"""Settings → what is brought into the tables."""

from gateway.core.ids import ProviderId, Secret
from gateway.core.snapshot import AuthStrategy, Provider, ProviderSettings, SelectionStrategy, build_snapshot
from gateway.declared_settings import declared_in_environment, declared_in_file, overlaid
from gateway.settings import (
    AccountDeclaration,
    OpenAIEnvironment,
    ProviderDeclaration,
    RouteDeclaration,
    Settings,
)


def test_keys_of_the_environment_give_the_provider_openai():
    openai = OpenAIEnvironment(keys=(Secret("sk-1"), Secret("sk-2")), organization="org-1", project="proj-1")

    (provider,) = declared_in_environment(Settings(openai=openai)).providers

    assert (provider.id, provider.base_url) == ("openai", "https://api.openai.com/v1")
    assert [account.auth_data for account in provider.accounts] == [
        {"api_key": "sk-1", "organization": "org-1", "project": "proj-1"},
        {"api_key": "sk-2", "organization": "org-1", "project": "proj-1"},
    ]
    assert "sk-1" not in repr(provider.accounts)


def test_settings_of_the_provider_openai_reach_the_row_that_the_environment_makes():
    settings = Settings(
        openai=OpenAIEnvironment(keys=(Secret("sk-1"),), base_url="http://localhost:9/v1"),
        providers={"openai": ProviderDeclaration(timeout_s=30.0, strategy=SelectionStrategy.FILL_FIRST)},
    )

    (provider,) = declared_in_environment(settings).providers

    assert provider.base_url == "http://localhost:9/v1"
    assert provider.settings == {"timeout_s": 30.0, "strategy": "fill_first"}


def test_no_key_declares_nothing():
    assert declared_in_environment(Settings(openai=OpenAIEnvironment(organization="org-1"))).providers == ()


def test_settings_alone_make_no_row():
    settings = Settings(providers={"openai": ProviderDeclaration(timeout_s=30.0)})

    assert declared_in_file(settings).providers == ()


def test_provider_of_the_file_with_its_accounts():
    account = AccountDeclaration(label="a", api_key=Secret("k"), header="x-key", quota_group="g", tier=1, weight=2.0)
    given = ProviderDeclaration(
        base_url="https://x", auth_strategy=AuthStrategy.HEADER, supported_models=["m"], accounts=[account]
    )

    (provider,) = declared_in_file(Settings(providers={"x": given})).providers

    assert (provider.id, provider.name, provider.kind, provider.auth_type) == ("x", "x", "openai", "api_key")
    assert (provider.auth_strategy, provider.supported_models) == (AuthStrategy.HEADER, ["m"])
    (declared,) = provider.accounts
    assert declared.auth_data == {"api_key": "k", "header": "x-key"}
    assert (declared.label, declared.quota_group, declared.tier, declared.weight) == ("a", "g", 1, 2.0)


def test_known_provider_needs_no_base_url_and_none_needs_no_key():
    accounts = [AccountDeclaration(label="a")]
    providers = {
        "openai": ProviderDeclaration(accounts=accounts),
        "local": ProviderDeclaration(base_url="http://l", auth_strategy=AuthStrategy.NONE, accounts=accounts),
    }

    known, local = declared_in_file(Settings(providers=providers)).providers

    assert known.base_url == "https://api.openai.com/v1"
    assert (local.auth_type, local.accounts[0].auth_data) == ("none", {})


def test_routes_of_the_file():
    routes = {"gpt-*": RouteDeclaration(provider="openai", upstream_model="u", fallbacks=["b"], priority=3)}

    (route,) = declared_in_file(Settings(routes=routes)).routes

    assert (route.pattern, route.provider_id, route.upstream_model) == ("gpt-*", "openai", "u")
    assert (route.fallbacks, route.priority) == (["b"], 3)


def snapshot_with(settings: ProviderSettings):
    provider = Provider(
        id=ProviderId("openai"),
        name="OpenAI",
        kind="openai",
        base_url="https://api.openai.com/v1",
        auth_strategy=AuthStrategy.API_KEY,
        settings=settings,
    )
    return build_snapshot(version=1, providers=[provider], accounts=[], routes=[])


def test_settings_alone_lie_over_the_row_that_is_there():
    snapshot = snapshot_with(ProviderSettings(timeout_s=100.0, keep_alive_s=7.0))

    over = overlaid(snapshot, {"openai": ProviderDeclaration(timeout_s=30.0, streaming=False)})

    settings = over.providers[ProviderId("openai")].settings
    assert (settings.timeout_s, settings.keep_alive_s, settings.streaming) == (30.0, 7.0, False)
    assert over.version == snapshot.version


def test_row_that_the_settings_made_holds_them_already():
    snapshot = snapshot_with(ProviderSettings(timeout_s=100.0))

    assert overlaid(snapshot, {"openai": ProviderDeclaration(base_url="http://x", timeout_s=30.0)}) is snapshot
    assert overlaid(snapshot, {"other": ProviderDeclaration(timeout_s=30.0)}) is snapshot


def test_proxy_of_the_settings_reaches_rows_and_snapshots_but_nothing_printed():
    url = "http://me:hidden@proxy:3128"
    given = ProviderDeclaration(proxy=Secret(url), http2=True)
    made = ProviderDeclaration(base_url="http://l", proxy=Secret(url))

    over = overlaid(snapshot_with(ProviderSettings()), {"openai": given})
    (declared,) = declared_in_file(Settings(providers={"local": made})).providers

    assert over.providers[ProviderId("openai")].settings == ProviderSettings(proxy=url, http2=True)
    assert declared.settings == {"proxy": url}
    assert "hidden" not in repr(over) + repr(declared) + repr(given)


def test_a_preset_fills_in_what_the_file_does_not_say():
    given = ProviderDeclaration(preset="mistral", timeout_s=30.0, accounts=[AccountDeclaration(api_key=Secret("key"))])

    (provider,) = declared_in_file(Settings(providers={"eu": given})).providers

    assert (provider.id, provider.name, provider.base_url) == ("eu", "Mistral", "https://api.mistral.ai/v1")
    assert provider.kind == "openai_compatible"
    assert provider.settings["stream_usage"] == "leave"
    assert provider.settings["timeout_s"] == 30.0


def test_a_preset_alone_makes_a_row():
    (provider,) = declared_in_file(Settings(providers={"ollama": ProviderDeclaration(preset="ollama")})).providers

    assert (provider.auth_strategy, provider.auth_type) == (AuthStrategy.NONE, "none")


def test_client_credentials_are_declared_like_keys():
    account = AccountDeclaration(
        tenant_id="t", client_id="app", client_secret=Secret("hidden"), base_url="https://r.openai.azure.com"
    )
    given = ProviderDeclaration(
        preset="azure",
        base_url="https://r.openai.azure.com",
        auth_strategy=AuthStrategy.OAUTH_CLIENT_CREDENTIALS,
        accounts=[account],
    )

    (provider,) = declared_in_file(Settings(providers={"azure": given})).providers

    assert provider.auth_type == "oauth"
    assert provider.accounts[0].auth_data == {
        "tenant_id": "t",
        "client_id": "app",
        "client_secret": "hidden",
        "base_url": "https://r.openai.azure.com",
    }
