from pathlib import Path

import pytest

from gateway.core.hints import OPENAI_NAMES
from gateway.core.snapshot import StreamUsage
from gateway.providers.catalog import KINDS
from gateway.providers.presets import OTHER_NAMES, PRESETS, habits_at, preset_named
from gateway.store.row_checks import provider_doubts, provider_of
from tests.unit.providers.samples import credential

EVERY = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
TABLE_DEFAULTS = {"supported_models": [], "auth_type": "api_key", "auth_strategy": "api_key", "settings": {}}


def row_of(preset, **changes):
    own = {"base_url": "https://r.openai.azure.com"} if preset.base_url is None else {}
    return {**TABLE_DEFAULTS, "id": preset.name, **preset.columns(), **own, **changes}


@EVERY
def test_every_preset_is_a_row_that_serves_without_a_doubt(preset):
    row = row_of(preset)

    provider = provider_of(row, frozenset(KINDS))

    assert list(provider_doubts(row, provider)) == []
    KINDS[provider.kind].destination_of(provider, credential())


@EVERY
def test_base_urls_are_kept_as_they_are_written(preset):
    if preset.base_url is not None:
        assert provider_of(row_of(preset), frozenset(KINDS)).base_url == preset.base_url


@EVERY
def test_a_row_without_settings_has_the_vendors_habits(preset):
    if preset.base_url is None or "127.0.0.1" in preset.base_url:
        return
    with_settings = provider_of(row_of(preset), frozenset(KINDS))
    without = provider_of(row_of(preset, settings={}), frozenset(KINDS))

    assert without == with_settings


def test_what_a_row_says_goes_before_habits():
    row = row_of(PRESETS["mistral"], settings={"stream_usage": "ask", "limit_headers": {"tokens_remaining": "x-left"}})

    provider = provider_of(row, frozenset(KINDS))

    assert provider.settings.stream_usage is StreamUsage.ASK
    assert provider.settings.limit_headers == {"tokens_remaining": "x-left"}


def test_mistral_is_not_asked_for_usage_and_its_limits_are_read_under_their_names():
    provider = provider_of(row_of(PRESETS["mistral"], settings={}), frozenset(KINDS))

    destination = KINDS["openai_compatible"].destination_of(provider, credential())

    assert not destination.asks_usage
    assert destination.limit_names is not OPENAI_NAMES
    assert b"x-ratelimit-remaining-req-minute" in destination.limit_names.telling


def test_nobody_has_habits_elsewhere():
    assert habits_at("127.0.0.1") == habits_at("example.org") == {}


@pytest.mark.parametrize(("name", "found"), [("groq", "groq"), (" Groq ", "groq"), *OTHER_NAMES.items()])
def test_presets_are_found_by_any_of_their_names(name, found):
    assert preset_named(name).name == found


def test_an_unknown_preset_names_those_that_are_there():
    with pytest.raises(ValueError, match="anthropic, azure, cerebras"):
        preset_named("grog")


def test_a_preset_may_leave_out_how_keys_are_presented():
    assert "auth_strategy" not in PRESETS["vllm"].columns(has_auth=False)
    assert PRESETS["vllm"].columns()["auth_type"] == "none"


def test_the_manuals_table_is_the_presets():
    page = (Path(__file__).resolve().parents[3] / "docs" / "adding-a-provider.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 6]

    assert rows == [row_in_the_manual(preset) for preset in PRESETS.values()]


def row_in_the_manual(preset):
    cells = (f"`{preset.name}`", address(preset), f"`{preset.kind}`", preset.limits, preset.note)
    return f"| {' | '.join(cells)} |".replace("  ", " ")


def address(preset):
    return "yours" if preset.base_url is None else f"`{preset.base_url}`"
