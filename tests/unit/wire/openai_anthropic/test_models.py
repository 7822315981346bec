import pytest

from gateway.wire.openai_anthropic.models import traits_of, version_of


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-3-opus-20240229", (3, 0)),
        ("claude-3-5-haiku-latest", (3, 5)),
        ("claude-3.7-sonnet", (3, 7)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4-5-20251101", (4, 5)),
        ("claude-opus-4-6", (4, 6)),
        ("anthropic/claude-opus-4.7", (4, 7)),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
        ("claude-opus-4-5@20251101", (4, 5)),
        ("claude-sonnet-5", (5, 0)),
        ("Claude-Opus-5-5", (5, 5)),
        ("claude-2.1", (2, 1)),
    ],
)
def test_versions_are_read_from_names(model, version):
    assert version_of(model) == version


@pytest.mark.parametrize("model", ["claude-mythos-preview", "claude-next", "my-model", "claude-sonnet-12", ""])
def test_a_name_without_a_known_version_is_taken_for_the_newest(model):
    traits = traits_of(model)

    assert (traits.has_effort, traits.takes_sampling) == (True, False)
    assert "xhigh" in traits.efforts


@pytest.mark.parametrize(
    ("model", "max_tokens"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-20241022", 8192),
        ("claude-opus-4-1", 32_000),
        ("claude-haiku-4-5", 64_000),
        ("claude-opus-5-5", 64_000),
    ],
)
def test_every_model_has_a_greatest_answer(model, max_tokens):
    assert traits_of(model).max_tokens == max_tokens
