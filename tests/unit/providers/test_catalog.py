import pytest

from gateway.core.snapshot import StreamUsage, Validation
from gateway.providers.catalog import KINDS, validation_of
from tests.unit.providers.samples import provider


def test_every_kind_stands_under_its_name():
    assert {name: kind.name for name, kind in KINDS.items()} == {
        "openai": "openai",
        "openai_compatible": "openai_compatible",
    }


def test_every_kind_asks_for_usage_unless_told_otherwise():
    assert {kind.stream_usage for kind in KINDS.values()} == {StreamUsage.ASK}


@pytest.mark.parametrize(
    ("kind", "setting", "expected"),
    [
        pytest.param("openai", None, Validation.RANGES, id="openai"),
        pytest.param("openai_compatible", None, Validation.TYPES, id="compatible"),
        pytest.param("openai", Validation.OFF, Validation.OFF, id="setting-wins"),
    ],
)
def test_validation_is_the_settings_or_the_kinds(kind, setting, expected):
    assert validation_of(provider(kind=kind, settings={"validation": setting})) is expected
