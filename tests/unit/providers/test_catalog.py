from gateway.core.snapshot import StreamUsage, Validation
from gateway.providers.catalog import KINDS


def test_every_kind_stands_under_its_name():
    assert all(kind.name == name for name, kind in KINDS.items())


def test_ranges_are_checked_for_openai_and_only_types_for_those_who_speak_like_it():
    levels = {name: kind.validation for name, kind in KINDS.items()}

    assert levels == {
        "openai": Validation.RANGES,
        "openai_compatible": Validation.TYPES,
        "azure_openai": Validation.RANGES,
    }


def test_every_kind_asks_for_usage_unless_told_otherwise():
    assert {kind.stream_usage for kind in KINDS.values()} == {StreamUsage.ASK}
