"""`GET /v1/models`, for callers of either API, and the lists that accounts of either API give."""

import json
from random import Random

import pytest

from gateway.core.call import Schema
from gateway.core.errors import ModelNotFound
from gateway.core.ids import ProviderId
from gateway.core.snapshot import AuthStrategy, Provider, build_snapshot
from gateway.providers.catalog import KINDS
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
    return Checks(upstream=upstream, kinds=KINDS, credentials=credentials, clock=clock, rng=Random(1))


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
