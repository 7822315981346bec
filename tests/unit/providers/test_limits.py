import pytest

from gateway.providers.limits import is_reasoning, limits_for
from tests.unit.providers.samples import provider


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param("gpt-4o", False, id="gpt-4o"),
        pytest.param("gpt-3.5-turbo", False, id="gpt-3.5"),
        pytest.param("o1", True, id="o1"),
        pytest.param("o3-mini", True, id="o3"),
        pytest.param("O4-Mini", True, id="case"),
        pytest.param("gpt-5.6-sol", True, id="gpt-5"),
        pytest.param("ft:o4-mini:acme::id", True, id="fine-tuned"),
        pytest.param("openai/gpt-5", True, id="vendor-before"),
        pytest.param("deepseek-reasoner", True, id="deepseek"),
        pytest.param("deepseek-chat", False, id="deepseek-chat"),
        pytest.param("anthropic/claude-sonnet-5", True, id="claude"),
        pytest.param("omni-moderation-latest", False, id="only-an-o"),
        pytest.param("", False, id="empty"),
    ],
)
def test_reasoning_models_are_known_by_their_beginnings(model, expected):
    assert is_reasoning(model) is expected


@pytest.mark.parametrize(
    ("settings", "model", "is_stream", "expected"),
    [
        pytest.param({}, "gpt-4o", True, (60.0, 30.0, 60.0), id="stream"),
        pytest.param({}, "o3", True, (600.0, 600.0, 600.0), id="reasoning-stream"),
        pytest.param({}, "gpt-4o", False, (600.0, 30.0, 60.0), id="whole"),
        pytest.param({}, None, False, (600.0, 30.0, 60.0), id="no-model"),
        pytest.param({"timeout_s": 20.0}, "o3", True, (20.0, 600.0, 20.0), id="never-beyond-the-deadline"),
        pytest.param(
            {"first_token_timeout_s": 5.0, "stall_timeout_s": 7.0}, "o3", True, (5.0, 7.0, 5.0), id="settings-win"
        ),
    ],
)
def test_limits_are_the_settings_or_what_the_model_needs(settings, model, is_stream, expected):
    limits = limits_for(provider(settings=settings), model, is_stream=is_stream)

    assert (limits.headers_s, limits.stall_s, limits.first_event_s) == expected


def test_connection_limits_are_the_providers():
    row = provider(settings={"connect_timeout_s": 1.0, "keep_alive_s": 2.0, "max_idle_connections": 3})

    limits = limits_for(row, "gpt-4o", is_stream=False)

    assert (limits.connect_s, limits.keep_alive_s, limits.max_idle) == (1.0, 2.0, 3)
