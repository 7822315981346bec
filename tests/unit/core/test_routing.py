import msgspec
import pytest

from gateway.core.call import Call, Endpoint, ModelUse
from gateway.core.errors import InvalidCall, ModelNotFound
from gateway.core.ids import AccountId, CallId, ModelName, ProviderId
from gateway.core.routing import provider_for, route_of, targets_for
from gateway.core.snapshot import (
    Account,
    AuthStrategy,
    Credential,
    Provider,
    ProviderSettings,
    Route,
    build_snapshot,
)

CHAT = Endpoint(name="chat.completions", method="POST", path="/chat/completions", model=ModelUse.REQUIRED)
FILES = Endpoint(name="files.create", method="POST", path="/files")
IMAGES = Endpoint(name="images.generations", method="POST", path="/images/generations", model=ModelUse.OPTIONAL)


def a_provider(id_, *models, default_model=None):
    return Provider(
        id=ProviderId(id_),
        name=id_,
        kind="openai",
        base_url=f"https://{id_}.test/v1",
        auth_strategy=AuthStrategy.API_KEY,
        supported_models=models,
        settings=ProviderSettings(default_model=default_model),
    )


def an_account(id_, provider="openai", *, tier=0, models=None):
    return Account(
        id=AccountId(id_),
        provider_id=ProviderId(provider),
        label=id_,
        credential=Credential(AuthStrategy.API_KEY),
        tier=tier,
        supported_models=models,
    )


def a_route(pattern, provider="openai", **fields):
    return Route(pattern=pattern, provider_id=ProviderId(provider), **fields)


def a_snapshot(providers=(), accounts=(), routes=(), default=None):
    return build_snapshot(version=1, providers=providers, accounts=accounts, routes=routes, default_provider=default)


def a_call(model=None, named=None, *, endpoint=CHAT, pinned=None):
    return Call(
        id=CallId("c"),
        endpoint=endpoint,
        pinned=None if pinned is None else frozenset(AccountId(id_) for id_ in pinned),
        model=ModelName(model) if model is not None else None,
        named_provider=ProviderId(named) if named is not None else None,
    )


OPENAI, AZURE, OTHER = a_provider("openai"), a_provider("azure"), a_provider("other")


@pytest.mark.parametrize(
    ("routes", "model", "expected"),
    [
        pytest.param([a_route("gpt-4*"), a_route("gpt-4o", "azure")], "gpt-4o", "gpt-4o", id="exact-beats-prefix"),
        pytest.param([a_route("gpt-*"), a_route("gpt-4*")], "gpt-4o", "gpt-4*", id="longer-beats-shorter"),
        pytest.param([a_route("*"), a_route("gpt-*")], "claude", "*", id="a-lone-star-fits-all"),
        pytest.param([a_route("gpt-*")], "GPT-4O", "gpt-*", id="case-does-not-matter"),
        pytest.param([a_route("gpt-*")], "o1", None, id="none-fits"),
        pytest.param([a_route("gpt-4", "gone"), a_route("gpt-*")], "gpt-4", "gpt-*", id="inactive-exact-is-not-there"),
        pytest.param(
            [a_route("gpt-4*", "gone"), a_route("gpt-*")], "gpt-4", "gpt-*", id="inactive-prefix-is-not-there"
        ),
    ],
)
def test_route_of_a_model(routes, model, expected):
    route = route_of(a_snapshot([OPENAI, AZURE], routes=routes), model)

    assert (route and route.pattern) == expected


@pytest.mark.parametrize("pattern", ["gpt-4", "gpt-*"])
def test_priority_decides_between_routes_of_the_same_pattern(pattern):
    routes = [a_route(pattern, "openai", priority=1), a_route(pattern, "azure", priority=5)]

    route = route_of(a_snapshot([OPENAI, AZURE], routes=routes), "gpt-4")

    assert route.provider_id == "azure"


def test_named_provider_goes_before_the_route():
    snapshot = a_snapshot([OPENAI, AZURE], routes=[a_route("gpt-*")])

    assert provider_for(snapshot, a_call("gpt-4", named="azure")) == AZURE
    assert provider_for(snapshot, a_call("gpt-4", named="Azure")) == AZURE


def test_unknown_named_provider_is_refused_with_the_header_named():
    with pytest.raises(InvalidCall) as refused:
        provider_for(a_snapshot([OPENAI]), a_call("gpt-4", named="nobody" * 50))

    assert refused.value.status == 400
    assert refused.value.param == "x-provider"
    assert len(refused.value.message) < 300


def test_route_goes_before_the_default_provider():
    snapshot = a_snapshot([OPENAI, AZURE], routes=[a_route("gpt-*")], default="azure")

    assert provider_for(snapshot, a_call("gpt-4")) == OPENAI
    assert provider_for(snapshot, a_call("claude")) == AZURE
    assert provider_for(snapshot, a_call()) == AZURE


def test_inactive_default_provider_is_as_if_it_were_not_there():
    assert provider_for(a_snapshot([OPENAI], default="gone"), a_call("claude")) == OPENAI


def test_only_active_provider_serves_what_no_route_names():
    assert provider_for(a_snapshot([OPENAI], routes=[a_route("gpt-*", "gone")]), a_call("gpt-4")) == OPENAI


def test_model_without_any_provider_is_not_found():
    with pytest.raises(ModelNotFound) as refused:
        provider_for(a_snapshot([OPENAI, AZURE]), a_call("claude"))

    assert refused.value.status == 404
    assert refused.value.code == "model_not_found"
    assert "claude" in refused.value.message


@pytest.mark.parametrize("model", [None, ""])
def test_call_without_model_and_provider_is_invalid(model):
    with pytest.raises(InvalidCall) as refused:
        provider_for(a_snapshot([OPENAI, AZURE]), a_call(model))

    assert refused.value.param == "model"


def test_call_without_model_gets_the_provider_s_default():
    targets = targets_for(a_snapshot([a_provider("openai", default_model="gpt-4o")], [an_account("a")]), a_call())

    assert targets.upstream_model == "gpt-4o"
    assert not targets.is_model_kept


def test_call_without_model_is_invalid_where_the_provider_has_no_default():
    with pytest.raises(InvalidCall) as refused:
        targets_for(a_snapshot([OPENAI], [an_account("a")]), a_call())

    assert refused.value.param == "model"


def test_model_is_sent_as_it_was_written():
    targets = targets_for(a_snapshot([OPENAI], [an_account("a")], [a_route("gpt-*")]), a_call("GPT-4o"))

    assert targets.upstream_model == "GPT-4o"
    assert targets.is_model_kept


def test_route_renames_the_model_and_brings_its_fallbacks():
    route = a_route("fast", upstream_model="gpt-4o-mini", fallbacks=(ModelName("gpt-4o"),))

    targets = targets_for(a_snapshot([OPENAI], [an_account("a")], [route]), a_call("Fast"))

    assert targets.upstream_model == "gpt-4o-mini"
    assert not targets.is_model_kept
    assert targets.fallbacks == ("gpt-4o",)


def test_named_provider_is_asked_under_the_name_that_its_own_route_gives():
    routes = [a_route("gpt-4"), a_route("gpt-*", "azure", upstream_model="deployment-4")]
    snapshot = a_snapshot([OPENAI, AZURE, OTHER], routes=routes)

    assert targets_for(snapshot, a_call("gpt-4", named="azure")).upstream_model == "deployment-4"
    assert targets_for(snapshot, a_call("gpt-4", named="other")).upstream_model == "gpt-4"


def test_accounts_come_tier_by_tier():
    accounts = [an_account("late", tier=2), an_account("a"), an_account("mid", tier=1), an_account("b")]

    targets = targets_for(a_snapshot([OPENAI], accounts), a_call("gpt-4"))

    assert [account.id for account in targets.accounts] == ["a", "b", "mid", "late"]


def test_account_s_own_list_goes_before_the_provider_s():
    accounts = [
        an_account("inherits"),
        an_account("narrow", models=("gpt-4o",)),
        an_account("wide", models=("gpt-*",)),
        an_account("all", models=()),
    ]
    snapshot = a_snapshot([a_provider("openai", "gpt-3.5-turbo")], accounts)

    def serving(model):
        return [account.id for account in targets_for(snapshot, a_call(model)).accounts]

    assert serving("GPT-3.5-turbo") == ["inherits", "wide", "all"]
    assert serving("gpt-4o") == ["narrow", "wide", "all"]
    assert serving("o1") == ["all"]


def test_allow_list_may_name_the_upstream_s_name():
    snapshot = a_snapshot(
        [a_provider("openai", "gpt-4o")], [an_account("a")], [a_route("fast", upstream_model="gpt-4o")]
    )

    assert [account.id for account in targets_for(snapshot, a_call("fast")).accounts] == ["a"]


@pytest.mark.parametrize("accounts", [[an_account("a")], []], ids=["accounts", "no-accounts"])
def test_model_outside_the_allow_list_is_not_found_and_the_column_is_named(accounts):
    with pytest.raises(ModelNotFound) as refused:
        targets_for(a_snapshot([a_provider("openai", "gpt-4")], accounts), a_call("gpt-5"))

    assert "supported_models" in refused.value.message
    assert "gpt-5" in refused.value.message
    assert refused.value.param == "model"


def test_provider_without_accounts_gives_no_targets():
    assert targets_for(a_snapshot([OPENAI]), a_call("gpt-4")).accounts == ()


@pytest.mark.parametrize(
    ("routes", "model", "sent"),
    [
        pytest.param([], "gpt-4o", "prod-4o", id="the-callers-name"),
        pytest.param([], "GPT-4o", "prod-4o", id="in-any-case"),
        pytest.param([a_route("best", upstream_model="gpt-4o")], "best", "prod-4o", id="the-routes-name"),
        pytest.param([a_route("gpt-*")], "gpt-5", "gpt-5", id="one-that-is-not-mapped"),
    ],
)
def test_a_model_is_sent_under_the_name_of_its_deployment(routes, model, sent):
    provider = msgspec.structs.replace(OPENAI, settings=ProviderSettings(deployments={"gpt-4o": "prod-4o"}))
    snapshot = a_snapshot([provider], [an_account("a", models=("gpt-*",))], routes)

    targets = targets_for(snapshot, a_call(model))

    assert targets.upstream_model == sent
    assert targets.is_model_kept is (sent == model)
    assert [account.id for account in targets.accounts] == ["a"]


# -- calls without a model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", [FILES, IMAGES])
def test_call_that_needs_no_model_goes_without_one_to_all_accounts(endpoint):
    provider = a_provider("openai", "gpt-*", default_model="gpt-4o")
    snapshot = a_snapshot([provider], [an_account("a"), an_account("b", models=("o1",))])

    targets = targets_for(snapshot, a_call(endpoint=endpoint))

    assert [account.id for account in targets.accounts] == ["a", "b"]
    assert (targets.upstream_model, targets.is_model_kept, targets.fallbacks) == ("", True, ())


def test_call_without_model_goes_to_the_default_provider_before_the_only_one():
    snapshot = a_snapshot([OPENAI, AZURE], default=ProviderId("azure"))

    assert provider_for(snapshot, a_call(endpoint=FILES)) is AZURE


def test_named_provider_beats_the_default_for_calls_without_model():
    snapshot = a_snapshot([OPENAI, AZURE], default=ProviderId("azure"))

    assert provider_for(snapshot, a_call(endpoint=FILES, named="openai")) is OPENAI


@pytest.mark.parametrize("providers", [[], [OPENAI, AZURE]], ids=["none", "two"])
def test_call_without_model_that_no_provider_can_be_told_for_is_invalid(providers):
    with pytest.raises(InvalidCall) as caught:
        targets_for(a_snapshot(providers), a_call(endpoint=FILES))

    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "x-provider", "provider_required")


def test_model_that_an_optional_endpoint_names_is_routed():
    snapshot = a_snapshot(
        [OPENAI, AZURE], [an_account("a", "azure")], [a_route("dall-e-*", "azure", upstream_model="mine")]
    )

    targets = targets_for(snapshot, a_call("dall-e-3", endpoint=IMAGES))

    assert (targets.provider, targets.upstream_model) == (AZURE, "mine")


# -- pinned calls ------------------------------------------------------------------------------------------------


def test_pinned_call_goes_to_its_accounts_alone():
    snapshot = a_snapshot([OPENAI, AZURE], [an_account("a"), an_account("b"), an_account("c", "azure")])

    targets = targets_for(snapshot, a_call(endpoint=FILES, pinned=["b", "gone"]))

    assert (targets.provider, [account.id for account in targets.accounts]) == (OPENAI, ["b"])


def test_pin_beats_the_route_of_the_model():
    routes = [a_route("gpt-*", "azure", fallbacks=("o1",)), a_route("gpt-4*", upstream_model="gpt-4-mine")]
    snapshot = a_snapshot([OPENAI, AZURE], [an_account("a"), an_account("c", "azure")], routes)

    targets = targets_for(snapshot, a_call("gpt-4o", pinned=["c"]))

    assert (targets.provider, [account.id for account in targets.accounts]) == (AZURE, ["c"])
    assert (targets.upstream_model, targets.fallbacks) == ("gpt-4o", ())


def test_pin_to_accounts_that_are_gone_leaves_nobody():
    snapshot = a_snapshot([OPENAI], [an_account("a")])

    assert targets_for(snapshot, a_call(endpoint=FILES, pinned=["gone"])).accounts == ()
