import pytest

from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    InvalidCall,
    ModelNotFound,
    NoAccountAvailable,
    ShuttingDown,
    UpstreamFailed,
    UpstreamTimedOut,
)
from gateway.core.fallbacks import MAX_FALLBACKS, fallback_models, falls_back, is_too_long
from gateway.core.outcome import Outcome, OutcomeKind


@pytest.mark.parametrize(
    "error",
    [AllRateLimited, AllOutOfQuota, AllOverloaded, NoAccountAvailable, ModelNotFound, UpstreamFailed, UpstreamTimedOut],
)
def test_a_model_that_nobody_could_serve_falls_back(error):
    assert falls_back(error("no"), None)


@pytest.mark.parametrize("error", [InvalidCall, ShuttingDown])
def test_what_no_model_could_mend_does_not(error):
    assert not falls_back(error("no"), None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OutcomeKind.TOO_LARGE, True),
        (OutcomeKind.NO_ACCESS_TO_MODEL, True),
        (OutcomeKind.OVERLOADED, True),
        (OutcomeKind.UPSTREAM_ERROR, True),
        (OutcomeKind.UNREACHABLE, True),
        (OutcomeKind.TIMED_OUT, True),
        (OutcomeKind.FORBIDDEN, False),
        (OutcomeKind.CALLER_FAULT, False),
        (OutcomeKind.CANCELLED, False),
    ],
)
def test_refusals_as_they_came_fall_back_when_they_speak_of_the_model(kind, expected):
    assert falls_back(None, Outcome(kind, 400)) is expected


def test_no_attempt_and_no_error_is_no_reason():
    assert not falls_back(None, None)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(OutcomeKind.CALLER_FAULT, 400, "context_length_exceeded"),
        Outcome(OutcomeKind.CALLER_FAULT, 400, message="prompt is too long: 210000 tokens > 200000 maximum"),
        Outcome(OutcomeKind.CALLER_FAULT, 400, message="This model's maximum context length is 8192 tokens."),
    ],
    ids=["OpenAI's code", "Anthropic", "vLLM"],
)
def test_a_call_too_long_for_the_model_falls_back(outcome):
    assert is_too_long(outcome)
    assert falls_back(None, outcome)
    assert falls_back(None, outcome, is_creating=True)


@pytest.mark.parametrize("code", ["content_policy_violation", "content_filter", "invalid_prompt", None])
def test_a_policy_refusal_never_does(code):
    outcome = Outcome(OutcomeKind.CALLER_FAULT, 400, code, "Your request was rejected by our safety system.")

    assert not falls_back(None, outcome)
    assert not falls_back(UpstreamFailed("unreadable"), outcome)


@pytest.mark.parametrize(
    ("error", "last", "expected"),
    [
        (UpstreamTimedOut("silent"), Outcome(OutcomeKind.TIMED_OUT), False),
        (UpstreamFailed("cut"), Outcome(OutcomeKind.UPSTREAM_ERROR), False),
        (None, Outcome(OutcomeKind.UPSTREAM_ERROR, 500), False),
        (UpstreamFailed("refused"), Outcome(OutcomeKind.UNREACHABLE, is_definite_refusal=True), True),
        (None, Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404, is_definite_refusal=True), True),
        (AllRateLimited("full"), None, True),
    ],
)
def test_creating_calls_fall_back_only_when_nothing_can_have_been_made(error, last, expected):
    assert falls_back(error, last, is_creating=True) is expected


def test_each_fallback_is_tried_once_and_never_the_model_asked_for():
    assert fallback_models("GPT-4", ("b", "gpt-4", "B", "c"), allowed=()) == ("b", "c")


def test_only_models_that_the_key_may_use_are_tried():
    assert fallback_models("gpt-4", ("claude-3", "gpt-4o", "gpt-3.5-turbo"), allowed=("gpt-4*",)) == ("gpt-4o",)


def test_a_long_list_is_cut():
    models = tuple(f"m{place}" for place in range(50))

    assert fallback_models(None, models, allowed=()) == models[:MAX_FALLBACKS]
