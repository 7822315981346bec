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
        "anthropic": Validation.TYPES,
    }


def test_usage_is_asked_for_where_it_does_not_come_by_itself():
    left = {name for name, kind in KINDS.items() if kind.stream_usage is StreamUsage.LEAVE}

    assert left == {"anthropic"}
