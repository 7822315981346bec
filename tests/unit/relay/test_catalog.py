"""`GET /v1/models`, for callers of either API, and the lists that accounts of either API give."""

import json
from random import Random

import pytest

from gateway.core.call import Schema
from gateway.core.errors import InvalidCall, ModelNotFound
from gateway.core.ids import KeyId, ProviderId
from gateway.core.snapshot import AuthStrategy, ClientKey, Provider, ProviderSettings, Route, build_snapshot
from gateway.providers.catalog import KINDS
from gateway.relay.asking import Asking
from gateway.relay.catalog import ModelCatalog
from gateway.relay.checks import Checks
from gateway.relay.credentials import Credentials
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import account
from tests.fakes.scripted_upstream import Reply, ScriptedUpstream
from tests.fakes.token_store import MemoryTokens

ANTHROPIC = Provider(
    id=ProviderId("anthropic"),
    name="Anthropic",
    kind="anthropic",
    base_url="https://api.anthropic.com/v1",
    auth_strategy=AuthStrategy.API_KEY,
)
SNAPSHOT = build_snapshot(
    version=1, providers=[ANTHROPIC], accounts=[account("a", provider_id=ANTHROPIC.id, key="sk-ant-oat-a")], routes=[]
)
LISTED = [
    {"type": "model", "id": "claude-opus-5-5", "display_name": "Opus", "created_at": "2026-09-22T00:00:00Z"},
    {"type": "model", "id": "claude-b", "display_name": "B", "created_at": "soon"},
    {"type": "model", "id": "claude-a", "created": 10**15, "created_at": 5, "owned_by": "x"},
]


def checks_of(upstream: ScriptedUpstream, clock: FakeClock) -> Checks:
    credentials = Credentials(upstream=upstream, store=MemoryTokens(clock), kinds=KINDS, clock=clock)
    return Checks(asking=Asking(upstream=upstream, kinds=KINDS, credentials=credentials, rng=Random(1)), clock=clock)


@pytest.fixture
async def catalog():
    """It has read the list of the only account."""
    clock = FakeClock()
    upstream = ScriptedUpstream(clock)
    upstream.on("sk-ant-oat-a", Reply(pieces=(json.dumps({"data": LISTED, "has_more": False}).encode(),)))
    catalog = ModelCatalog(checks=checks_of(upstream, clock))
    await catalog.refresh(SNAPSHOT, only_changed=False)
    assert upstream.attempts[0].request.target == b"/v1/models?limit=1000"
    return catalog


async def test_anthropics_models_are_listed_as_openai_lists_its(catalog):
    listed = json.loads(catalog.answer("", SNAPSHOT, None))

    assert listed == {
        "object": "list",
        "data": [
            {"id": "claude-a", "object": "model", "created": 10**15, "owned_by": "x"},
            {"id": "claude-b", "object": "model", "created": 0, "owned_by": "anthropic"},
            {"id": "claude-opus-5-5", "object": "model", "created": 1790035200, "owned_by": "anthropic"},
        ],
    }


async def test_callers_of_anthropics_api_read_its_list(catalog):
    listed = json.loads(catalog.answer("", SNAPSHOT, None, Schema.ANTHROPIC))

    assert [model["id"] for model in listed["data"]] == ["claude-a", "claude-b", "claude-opus-5-5"]
    assert listed["data"][0]["created_at"] == "9999-12-31T23:59:59Z"
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "claude-a", "claude-opus-5-5")


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        pytest.param(b"limit=2", ["claude-a", "claude-b"], True, id="first"),
        pytest.param(b"limit=2&after_id=claude-b", ["claude-opus-5-5"], False, id="after"),
        pytest.param(b"after_id=claude-opus-5-5", [], False, id="behind-the-last"),
        pytest.param(b"limit=1&before_id=claude-opus-5-5", ["claude-b"], True, id="before"),
        pytest.param(b"before_id=claude-b", ["claude-a"], False, id="back-to-the-first"),
        pytest.param(b"limit=1000", ["claude-a", "claude-b", "claude-opus-5-5"], False, id="all"),
    ],
)
async def test_callers_of_anthropics_api_page_as_they_do_there(catalog, query, names, has_more):
    page = json.loads(catalog.answer("", SNAPSHOT, None, Schema.ANTHROPIC, query))

    assert ([model["id"] for model in page["data"]], page["has_more"]) == (names, has_more)
    assert (page["first_id"], page["last_id"]) == ((names[0], names[-1]) if names else (None, None))


@pytest.mark.parametrize(
    ("query", "param"),
    [(b"limit=0", "limit"), (b"limit=x", "limit"), (b"after_id=z", "after_id"), (b"before_id=z", "before_id")],
)
async def test_a_page_that_cannot_be_is_refused(catalog, query, param):
    with pytest.raises(InvalidCall) as caught:
        catalog.answer("", SNAPSHOT, None, Schema.ANTHROPIC, query)

    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


async def test_one_model_has_the_callers_form(catalog):
    assert json.loads(catalog.answer("Claude-Opus-5-5", SNAPSHOT, None, Schema.ANTHROPIC)) == {
        "type": "model",
        "id": "claude-opus-5-5",
        "display_name": "claude-opus-5-5",
        "created_at": "2026-09-22T00:00:00Z",
    }
    assert json.loads(catalog.answer("claude-b", SNAPSHOT, None))["object"] == "model"
    with pytest.raises(ModelNotFound):
        catalog.answer("claude-c", SNAPSHOT, None, Schema.ANTHROPIC)


async def test_nothing_is_a_list_as_well():
    clock = FakeClock()
    empty = ModelCatalog(checks=checks_of(ScriptedUpstream(clock), clock))

    assert json.loads(empty.answer("", SNAPSHOT, None, Schema.ANTHROPIC)) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


# -- which models of which accounts ------------------------------------------------------------------------------


def a_provider(id_="openai", models=(), **settings):
    return Provider(
        id=ProviderId(id_),
        name=id_,
        kind="openai",
        base_url=f"https://{id_}.test/v1",
        auth_strategy=AuthStrategy.API_KEY,
        supported_models=models,
        settings=ProviderSettings(**settings),
    )


def models_of(*ids):
    return Reply(pieces=(json.dumps({"data": [{"id": id_} for id_ in ids]}).encode(),))


class Kit:
    """A catalogue over accounts that list what they are scripted to."""

    def __init__(self, **scripts):
        self.clock = FakeClock()
        self.upstream = ScriptedUpstream(self.clock)
        for name, reply in scripts.items():
            self.upstream.on(f"sk-{name}", *(reply if isinstance(reply, tuple) else (reply,)))
        self.catalog = ModelCatalog(checks=checks_of(self.upstream, self.clock))

    async def names(self, snapshot, key=None, *, only_changed=True):
        await self.catalog.refresh(snapshot, only_changed=only_changed)
        return [entry.id for entry in self.catalog.entries(snapshot, key)]


def rows(providers, accounts, routes=()):
    return build_snapshot(version=1, providers=providers, accounts=accounts, routes=routes)


async def test_names_that_are_written_out_need_no_call():
    kit = Kit(a=models_of("never"))

    assert await kit.names(rows([a_provider(models=("gpt-4", "o3"))], [account("a")])) == ["gpt-4", "o3"]
    assert kit.upstream.attempts == []


async def test_globs_choose_from_what_accounts_list():
    kit = Kit(a=models_of("gpt-4", "gpt-4o", "o3"), b=models_of("o3", "o4-mini"))
    snapshot = rows([a_provider(models=("gpt-*",))], [account("a"), account("b", supported_models=("o?-*", "o3"))])

    assert await kit.names(snapshot) == ["gpt-4", "gpt-4o", "o3", "o4-mini"]


async def test_models_behind_deployments_are_listed_as_far_as_the_allow_list_goes():
    kit = Kit(a=models_of())
    deployed = {"deployments": {"gpt-4o": "prod", "o3": "think"}}

    assert await kit.names(rows([a_provider(**deployed)], [account("a")])) == ["gpt-4o", "o3"]
    assert await kit.names(rows([a_provider(models=("gpt-*",), **deployed)], [account("a")])) == ["gpt-4o"]


async def test_names_of_routes_are_models_where_an_account_may_serve_them():
    kit = Kit()
    routes = [
        Route(pattern="best", provider_id=ProviderId("openai"), upstream_model="gpt-4"),
        Route(pattern="other", provider_id=ProviderId("openai"), upstream_model="claude"),
        Route(pattern="same", provider_id=ProviderId("openai")),
        Route(pattern="gone", provider_id=ProviderId("nobody"), upstream_model="gpt-4"),
    ]

    assert await kit.names(rows([a_provider(models=("gpt-4",))], [account("a")], routes)) == ["best", "gpt-4"]


async def test_a_key_lists_what_it_may_use():
    kit = Kit()
    key = ClientKey(id=KeyId("k"), name="", owner="", digest=b"", models=("o*",))

    assert await kit.names(rows([a_provider(models=("gpt-4", "o3"))], [account("a")]), key) == ["o3"]


async def test_lists_are_read_again_when_their_account_changes_and_kept_when_they_cannot_be():
    kit = Kit(a=(models_of("one"), models_of("two"), Reply(500)))
    snapshot = rows([a_provider()], [account("a")])

    assert await kit.names(snapshot) == ["one"]
    assert await kit.names(snapshot) == ["one"]
    assert await kit.names(rows([a_provider()], [account("a", weight=2.0)])) == ["two"]
    assert await kit.names(snapshot, only_changed=False) == ["two"]
    assert len(kit.upstream.attempts) == 3
    assert await kit.names(rows([a_provider()], [])) == []
